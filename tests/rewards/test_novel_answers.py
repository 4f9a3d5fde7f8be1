"""Novelty of final answers: values by hand, which answers are one, and what is remembered over a run."""

from __future__ import annotations

import dataclasses
import json
import pickle
from math import sqrt

import pytest
from transformers import TrainerState

from trl_rlsp import NoveltyExploration, RLSPRewards
from trl_rlsp.errors import ConfigError
from trl_rlsp.rewards import batch

ASKED = "6 3 2 : 18"


def boxed(*answers):
    return [f"Perhaps so \\boxed{{{answer}}}" for answer in answers]


def scores(completions, form="batch", prompts=None, **columns):
    return NoveltyExploration(form)(prompts=prompts or [ASKED] * len(completions), completions=completions, **columns)


def test_the_share_of_others_with_another_answer():
    """Of the 4 others: 2 do not say 7, 4 do not say 8; the one without an answer is one of them, and earns nothing."""
    assert scores([*boxed(7, 7, 7, 8), "Seven"]) == [0.5, 0.5, 0.5, 1.0, 0.0]
    assert scores(boxed(7, 7, 7)) == [0.0] * 3
    assert scores(boxed(7)) == [0.0]


def test_groups_are_apart():
    assert scores(boxed(7, 7, 7, 8), prompts=["p", "p", "q", "q"]) == [0.0, 0.0, 1.0, 1.0]


@pytest.mark.parametrize(
    "other",
    ["4.0", "04", "$4$", "x = 4", "\\frac{8}{2}", "4\\text{ cm}", "2+2", "４", "4 cm", "[4]", "4\u200b", "(+4)"],
)
def test_one_answer_in_another_form_is_not_new(other):
    assert scores(boxed(4, other)) == [0.0, 0.0]


@pytest.mark.parametrize("other", ["5", "-4", "\\frac{1}{4}", "4, 5", "x^2", "\\sqrt{2}"])
def test_another_answer_is(other):
    assert scores(boxed(4, other)) == [1.0, 1.0]


def test_text_answers_are_compared_by_their_letters():
    assert scores(boxed("B", "(b)", "\\text{B}", "C")) == pytest.approx([1 / 3, 1 / 3, 1 / 3, 1.0])
    assert scores(boxed("\\pi", "\\theta", "\\pi")) == [0.5, 1.0, 0.5]


@pytest.mark.parametrize("text", ["No idea.", "Either \\boxed{8} or \\boxed{9}", "It is \\boxed{8", "\\boxed{}", ""])
def test_no_answer_is_not_a_new_answer(text):
    assert scores([*boxed(7, 7), text]) == [0.5, 0.5, 0.0]


def test_an_answer_without_reasoning_counts_and_earns_nothing():
    assert scores(["\\boxed{7}", f"{ASKED} \\boxed{{8}}", *boxed(7, 9)]) == pytest.approx([0.0, 0.0, 2 / 3, 1.0])


def test_programs_earn_nothing():
    programs = [f"Try it.\n```python\nprint({number})\n```" for number in (1, 2)]
    assert scores(programs, tests=["[]", "[]"]) == [0.0, 0.0]


class TestHistorical:
    def test_counts_over_the_run(self):
        state = TrainerState()
        assert scores(boxed(7, 7, 8), "historical", trainer_state=state) == pytest.approx([1 / sqrt(2)] * 2 + [1.0])
        assert scores(boxed("7.0", 8, 9), "historical", trainer_state=state) == pytest.approx(
            [1 / sqrt(3), 1 / sqrt(2), 1.0]
        )
        assert scores(boxed(7), "historical", prompts=["q"], trainer_state=state) == [1.0]

    def test_the_counts_are_in_the_trainers_state(self, tmp_path):
        state = TrainerState()
        scores(boxed(7, 7, 8), "historical", trainer_state=state)
        state.save_to_json(str(tmp_path / "trainer_state.json"))
        resumed = TrainerState.load_from_json(str(tmp_path / "trainer_state.json"))
        assert scores(boxed(7), "historical", trainer_state=resumed) == [1 / sqrt(3)]
        assert json.dumps(dataclasses.asdict(state)["stateful_callbacks"])

    def test_without_a_state_the_batch_counts(self):
        for _ in range(2):
            assert scores(boxed(7, 7, 8), "historical") == pytest.approx([1 / sqrt(2)] * 2 + [1.0])

    def test_all_ranks_count_the_same(self, monkeypatch):
        """The other rank has the rest of the group, and a group of its own."""
        items = {}
        for rank in (0, 1):
            own = boxed(7, 7) if rank == 0 else boxed(7, 8)
            monkeypatch.setattr(batch, "gather_ranks", lambda found, rank=rank: items.update({rank: found}) or [])
            with pytest.raises(KeyError):
                scores(own, "historical", prompts=[ASKED, ASKED] if rank == 0 else [ASKED, "q"])
        states = [TrainerState(), TrainerState()]
        monkeypatch.setattr(batch, "gather_ranks", lambda found: [items[0], items[1]])
        first = scores(boxed(7, 7), "historical", trainer_state=states[0])
        second = scores(boxed(7, 8), "historical", prompts=[ASKED, "q"], trainer_state=states[1])
        assert (first, second) == (pytest.approx([1 / sqrt(3)] * 2), pytest.approx([1 / sqrt(3), 1.0]))
        assert states[0].stateful_callbacks == states[1].stateful_callbacks


def test_a_run_logs_and_remembers(taught_folder, tmp_path):
    from tiny_grpo import tiny_grpo

    rewards = RLSPRewards(exploration=[NoveltyExploration("historical")], gate="adaptive")
    columns = {"prompt": ["<user> 8 1 9 : 72 <assistant>"] * 4, "solution": ["72"] * 4}
    settings = {"num_generations": 8, "save_strategy": "steps", "save_steps": 1, "log_completions": False}
    trainer = tiny_grpo(tmp_path, taught_folder, rewards, columns, **settings)
    trainer.train()
    assert all(0 <= entry["novelty/answers"] <= 8 for entry in trainer.state.log_history[:2])
    saved = [
        json.loads((tmp_path / f"checkpoint-{step}" / "trainer_state.json").read_text())["stateful_callbacks"]
        for step in (1, 2)
    ]
    totals = [sum(sum(counts.values()) for counts in each["NoveltyExploration"].values()) for each in saved]
    assert 0 < totals[0] < totals[1] <= 16
    trainer.reward_funcs[0].scorer.verifier.close()


def test_it_can_be_sent_to_another_process():
    assert pickle.loads(pickle.dumps(NoveltyExploration("historical"))).form == "historical"


def test_what_cannot_work_is_refused():
    with pytest.raises(ConfigError, match="form must be 'batch' or 'historical', got 'run'"):
        NoveltyExploration("run")
    with pytest.raises(ConfigError, match="got no prompts"):
        NoveltyExploration()(completions=boxed(1))
