"""alpha over training: values by hand, what a suite makes of them, and that a resumed run goes on exactly."""

from __future__ import annotations

import math
import pickle
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trl_rlsp import AlphaSchedule, RLSPRewards
from trl_rlsp.errors import ConfigError
from trl_rlsp.rewards.balance import OUTCOME_METRIC

ALPHAS = st.floats(0.01, 1)


def state(step=0, steps=100, rates=(), metric=OUTCOME_METRIC):
    """A trainer's state with a log of solve rates, and entries of other kinds between them."""
    log = [entry for rate in rates for entry in ({metric: rate, "reward": 9.0}, {f"eval_{metric}": 0.123})]
    return SimpleNamespace(global_step=step, max_steps=steps, log_history=log)


class TestValues:
    @pytest.mark.parametrize(
        ("shape", "step", "expected"),
        [
            ("linear", 0, 0.6),
            ("linear", 25, 0.7),  # 0.6 + 0.4 * 0.25
            ("linear", 100, 1.0),
            ("linear", 120, 1.0),
            ("cosine", 0, 0.6),
            ("cosine", 25, 0.65857864376269),  # 0.6 + 0.4 * (1 - cos(pi / 4)) / 2 = 0.6 + 0.2 * 0.2928932188134524
            ("cosine", 50, 0.8),
            ("cosine", 100, 1.0),
        ],
    )
    def test_by_step(self, shape, step, expected):
        assert AlphaSchedule(shape, 0.6, 1.0).value(state(step)) == pytest.approx(expected)

    def test_downwards(self):
        assert AlphaSchedule("linear", 0.9, 0.7).value(state(50)) == pytest.approx(0.8)

    def test_constant(self):
        assert {AlphaSchedule("constant", 0.7).value(state(step)) for step in (0, 50, 100)} == {0.7}

    @pytest.mark.parametrize(
        ("rates", "window", "expected"),
        [
            ([], 10, 0.6),  # nothing logged yet: the start
            ([0.5], 10, 0.8),  # 0.6 + 0.4 * 0.5
            ([0.0, 0.5, 0.25, 0.75], 2, 0.8),  # the last two: (0.25 + 0.75) / 2
            ([0.0, math.nan, 0.5], 2, 0.7),  # a step with nothing scorable is left out: (0 + 0.5) / 2
            ([1.5], 1, 1.0),  # another verifier's scores above 1 go no further than the end
        ],
    )
    def test_by_solve_rate(self, rates, window, expected):
        schedule = AlphaSchedule("solve_rate", 0.6, 1.0, window=window)
        assert schedule.value(state(rates=rates)) == pytest.approx(expected)

    def test_solve_rate_of_another_verifier(self):
        schedule = AlphaSchedule("solve_rate", 0.6, 1.0)
        there = state(rates=[1.0], metric="rewards/exact/mean")
        assert schedule.value(there) == 0.6
        assert schedule.value(there, metric="rewards/exact/mean") == 1.0

    @pytest.mark.parametrize("shape", ["linear", "cosine", "solve_rate"])
    def test_without_a_state_it_is_the_start(self, shape):
        assert AlphaSchedule(shape, 0.6, 0.9).value(None) == 0.6

    def test_before_the_number_of_steps_is_known_it_is_the_start(self):
        assert AlphaSchedule("linear", 0.6, 0.9).value(state(5, steps=0)) == 0.6

    @given(
        st.sampled_from(["linear", "cosine", "solve_rate"]),
        ALPHAS,
        ALPHAS,
        st.integers(0, 1000),
        st.lists(st.floats(0, 1), max_size=5),
    )
    def test_never_leaves_its_ends(self, shape, start, end, step, rates):
        schedule = AlphaSchedule(shape, start, end)
        assert schedule.low <= schedule.value(state(step, 500, rates)) <= max(start, end)
        assert schedule.low == min(start, end)

    def test_pickles_and_compares(self):
        schedule = AlphaSchedule("cosine", 0.6, 0.9)
        assert pickle.loads(pickle.dumps(schedule)) == schedule != AlphaSchedule("linear", 0.6, 0.9)


class TestErrors:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("square", 0.6, 0.9), "a schedule must be one of constant, linear, cosine, solve_rate, got 'square'"),
            (("linear", 0.0, 0.9), "above 0 and at most 1, got 0.0"),
            (("linear", 0.6, 1.1), "above 0 and at most 1, got 1.1"),
            (("linear", math.nan, 0.9), "above 0 and at most 1, got nan"),
            (("cosine", 0.6), "other schedules have a start and an end, got 'cosine' with end=None"),
            (("constant", 0.6, 0.9), "'constant' has only a start.* got 'constant' with end=0.9"),
            (("solve_rate", 0.6, 0.9, 0), "window must be at least 1 log entry, got 0"),
        ],
    )
    def test_refused(self, arguments, message):
        with pytest.raises(ConfigError, match=message):
            AlphaSchedule(*arguments)


class Exact:
    """A verifier by another name: 1.0 for 'right'."""

    __name__ = "exact"

    def __call__(self, *, completions, **kwargs):
        return [float(completion == "right") for completion in completions]


class One:
    """An exploration reward of 1."""

    __name__ = "one"

    def __call__(self, *, completions, **kwargs):
        return [1.0] * len(completions)


class TestInASuite:
    def test_scale_follows_alpha(self):
        suite = RLSPRewards(Exact(), [One()], alpha=AlphaSchedule("linear", 0.5, 0.8))
        logged = {}
        columns = {"completions": ["right", "wrong"]}
        assert suite(**columns) == [2.0, 1.0]  # (1 - 0.5) / 0.5 = 1
        # (1 - 0.8) / 0.8 = 0.25
        late = suite(**columns, trainer_state=state(100), log_metric=logged.__setitem__)
        assert late == pytest.approx([1.25, 0.25])
        assert logged["exploration/alpha"] == pytest.approx(0.8)

    def test_solve_rate_reads_the_suites_own_verifier(self):
        suite = RLSPRewards(Exact(), [One()], alpha=AlphaSchedule("solve_rate", 0.5, 0.8))
        there = state(rates=[1.0], metric="rewards/exact/mean")
        assert suite(completions=["wrong"], trainer_state=there) == pytest.approx([0.25])

    def test_a_number_is_a_constant_schedule_and_not_logged(self):
        suite = RLSPRewards(Exact(), [One()], alpha=0.8)
        assert suite.schedule == AlphaSchedule("constant", 0.8)
        logged = {}
        suite(completions=["wrong"], trainer_state=state(3), log_metric=logged.__setitem__)
        assert "exploration/alpha" not in logged

    def test_start_and_repr(self):
        suite = RLSPRewards(Exact(), [One()], alpha=AlphaSchedule("linear", 0.8, 0.9))
        assert suite.alpha == 0.8
        assert "alpha=AlphaSchedule(shape='linear', start=0.8, end=0.9, window=10)" in repr(suite)


WATCHED = ("exploration/alpha", "exploration/failure_rate", "rewards/length_exploration/mean", "reward", OUTCOME_METRIC)


@pytest.mark.parametrize("shape", ["cosine", "solve_rate"])
def test_a_run_cut_off_and_resumed_is_the_uninterrupted_run(taught_folder, tmp_path, shape):
    from tiny_grpo import tiny_grpo

    from trl_rlsp import LengthExploration

    prompts = [f"<user> {problem} <assistant>" for problem in ("8 1 9 : 72", "1 2 : 3")]
    columns = {"prompt": prompts * 4, "solution": ["72", "3"] * 4}  # one epoch: TRL's sampler forgets earlier ones
    settings = {"max_steps": 4, "save_strategy": "steps", "save_steps": 2, "per_device_train_batch_size": 16}
    settings |= {"num_generations": 8, "max_completion_length": 12, "learning_rate": 1e-3, "log_completions": False}

    def run(checkpoint=None):
        schedule = AlphaSchedule(shape, 0.6, 0.95, window=2)
        with_rewards = RLSPRewards(exploration=[LengthExploration(C=6)], alpha=schedule, gate="adaptive")
        trainer = tiny_grpo(tmp_path, taught_folder, with_rewards, columns, **settings)
        trainer.train(resume_from_checkpoint=checkpoint)
        with_rewards.close()
        return [{name: entry[name] for name in WATCHED} for entry in trainer.state.log_history if "reward" in entry]

    whole = run()
    resumed = run(str(tmp_path / "checkpoint-2"))
    assert resumed == whole
    assert len(whole) == 4
    alphas = [entry["exploration/alpha"] for entry in whole]
    assert alphas[0] == pytest.approx(0.6)
    assert alphas[2] != alphas[3] != 0.6  # the steps after the cut have alphas of their own
