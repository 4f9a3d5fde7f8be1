from __future__ import annotations

from types import SimpleNamespace

import pytest

from countdown.budget import TokenBudget, optimizers
from countdown.runner import token_budget


def log(counter, mean, *, step, scheduler=None, most=400):
    """One logged step with completions of this mean length; returns (state, control)."""
    state = SimpleNamespace(global_step=step, max_steps=most, log_history=[{}])
    control = SimpleNamespace(should_training_stop=False)
    counter.on_log(None, state, control, logs={"completions/mean_length": mean}, lr_scheduler=scheduler)
    return state, control


@pytest.fixture
def counter():
    """A budget of 1,000 tokens, 10 completions a step, at most 400 steps."""
    counter = TokenBudget(1000, completions=10)
    counter.on_train_begin(None, SimpleNamespace(max_steps=400), None)
    return counter


@pytest.mark.parametrize(
    ("training", "completions", "updates"),
    [
        ({}, 16, 1),
        ({"steps_per_generation": 2}, 32, 2),
        ({"gradient_accumulation_steps": 4}, 64, 1),
        ({"gradient_accumulation_steps": 4, "steps_per_generation": 8, "num_iterations": 3}, 128, 6),
    ],
)
def test_what_a_generation_is(training, completions, updates):
    counter = token_budget(1000, {"per_device_train_batch_size": 16, **training})
    assert (counter.completions, counter.updates) == (completions, updates)


class TestTokenBudget:
    def test_counts_whole_tokens(self, counter):
        state, _ = log(counter, 7.3, step=1)
        assert counter.tokens == state.log_history[-1]["sampled_tokens"] == 73

    def test_a_mean_that_is_not_exact(self, counter):
        log(counter, "33.300000001", step=1)  # logs hold text in some versions
        assert counter.tokens == 333

    def test_stops_when_spent(self, counter):
        assert not log(counter, 99.9, step=1)[1].should_training_stop
        assert log(counter, 0.1, step=2)[1].should_training_stop

    def test_other_logs_do_not_count(self, counter):
        counter.on_log(None, None, None, logs={"train_runtime": 3.0})
        assert counter.tokens == 0

    def test_progress_is_that_of_the_budget(self, counter):
        # 200 of 1,000 tokens after 1 step: at this length the budget lasts 5 steps
        assert log(counter, 20, step=1)[0].max_steps == 5
        # 400 after 2, 450 after 3: ceil(3 * 1000 / 450) = 7
        log(counter, 20, step=2)
        assert log(counter, 5, step=3)[0].max_steps == 7

    def test_the_trainer_does_not_stop_before_the_budget(self, counter):
        # 990 of 1,000 after 1 step: 2 steps by the mean, but the second may be too short
        assert log(counter, 99, step=1)[0].max_steps == 3

    def test_two_updates_from_each_generation(self):
        counter = TokenBudget(1000, completions=10, updates=2)
        counter.on_train_begin(None, SimpleNamespace(max_steps=400), None)
        # 200 of 1,000 in one generation of two steps: 5 generations, 10 steps
        assert log(counter, 20, step=1)[0].max_steps == 10
        assert log(counter, 70, step=3)[0].max_steps == 6  # 900 of 1,000: beyond the generation of step 5

    def test_never_above_the_configured_steps(self, counter):
        assert log(counter, 0.1, step=1)[0].max_steps == 400  # 1,000 steps by the mean

    def test_learning_rate_falls_with_tokens(self, counter):
        import torch

        optimizer, scheduler = optimizers(torch.nn.Linear(1, 1), 0.1, counter)
        assert scheduler.get_last_lr() == [0.1]
        optimizer.step()
        scheduler.step()  # the trainer's own call: no token is counted yet
        assert scheduler.get_last_lr() == [0.1]
        log(counter, 25, step=1, scheduler=scheduler)  # 250 of 1,000: 0.1 * 0.75
        assert scheduler.get_last_lr() == [pytest.approx(0.075)]
        log(counter, 100, step=2, scheduler=scheduler)  # over the budget
        assert scheduler.get_last_lr() == [0.0]
