r"""The adaptive gate: effort where the group fails, short completions where it succeeds.

The other gates: `test_suite.py`.
"""

from __future__ import annotations

import pickle

import pytest

from trl_rlsp import LengthExploration, RLSPRewards
from trl_rlsp.errors import ConfigError


class Verdicts:
    """A verifier whose verdict is the completion's first word; anything else is not scorable."""

    __name__ = "outcome_verifier"

    def __call__(self, *, completions, **kwargs):
        scores = {"right": 1.0, "half": 0.5, "wrong": 0.0}
        return [scores.get(completion.split()[0]) for completion in completions]


class Fixed:
    """An exploration reward with given values."""

    def __init__(self, values, *, costs=None, name="fixed"):
        self.__name__, self.values, self.known = name, values, costs
        self.measures_length = costs is not None

    def __call__(self, *, completions, **kwargs):
        return self.values

    def costs(self, completions, **kwargs):
        return self.known


def adaptive(completions, exploration, *, prompts=None, alpha=0.8, logger=None, **arguments):
    """What the exploration part pays; the scale is (1 - 0.8) / 0.8 = 0.25."""
    suite = RLSPRewards(Verdicts(), [exploration], alpha=alpha, gate="adaptive", **arguments)
    given = prompts if prompts is not None else ["p"] * len(completions)
    return suite[1](prompts=given, completions=completions, log_metric=logger)


class TestValues:
    @pytest.mark.parametrize(
        ("completions", "expected"),
        [
            (["wrong", "wrong"], [0.25, 0.125]),  # f = 1: 0.25 * 1 * 1, 0.25 * 1 * 0.5
            (["right", "wrong"], [0.125, 0.0625]),  # f = 1/2
            (["right", "right"], [0.0, 0.0]),  # f = 0
            (["half", "half"], [0.125, 0.0625]),  # f = 1/2: shares of tests count as they are
        ],
    )
    def test_exploration_is_paid_by_the_failure_rate(self, completions, expected):
        assert adaptive(completions, Fixed([1.0, 0.5])) == pytest.approx(expected)

    @pytest.mark.parametrize(
        ("completions", "length_penalty", "expected"),
        [
            # f = 1: effort alone
            (["wrong", "wrong"], 0.25, [0.1, 0.05]),  # 0.25 * 0.4, 0.25 * 0.2
            # f = 1/2: 0.25 * (0.5 * 0.4 + 0.25 * 0.5 * 0.2), 0.25 * (0.5 * 0.2 + 0.25 * 0.5 * 0.4)
            (["right", "wrong"], 0.25, [0.05625, 0.0375]),
            # f = 0: what was saved alone, 0.25 * 0.25 * 0.2, 0.25 * 0.25 * 0.4
            (["right", "right"], 0.25, [0.0125, 0.025]),
            (["right", "right"], 1.0, [0.05, 0.1]),
            (["right", "right"], 0.0, [0.0, 0.0]),
        ],
    )
    def test_length_costs_where_the_group_succeeds(self, completions, length_penalty, expected):
        exploration = Fixed([0.4, 0.2], costs=[0.8, 0.6])
        assert adaptive(completions, exploration, length_penalty=length_penalty) == pytest.approx(expected)

    def test_length_exploration(self):
        text = "3 times 4 is 12 . \\boxed{12}"  # 6 words of reasoning, 11 in all: \ boxed { 12 } are 5
        # with the first word and C = 7: E = 7 / 14, L = 12 / 19; f = 1/2
        # 0.25 * (0.5 * 7 / 14 + 0.25 * 0.5 * 7 / 19)
        values = adaptive([f"right {text}", f"wrong {text}"], LengthExploration(C=7))
        assert values == pytest.approx([0.0740131578947, 0.0740131578947])

    def test_what_is_said_after_the_answer_does_not_escape_the_cost(self):
        before, after = "right 3 times 4 is 12 . \\boxed{12}", "right \\boxed{12} 3 times 4 is 12 ."
        one, other, short = adaptive([before, after, "right \\boxed{12}"], LengthExploration(C=7))
        assert one == other < short  # f = 0, 12 words each

    def test_each_group_has_its_own_rate(self):
        completions = ["wrong", "right", "wrong", "right"]
        # q: f = 0; p: f = 2 / 3
        values = adaptive(completions, Fixed([0.6] * 4), prompts=["p", "p", "p", "q"])
        assert values == pytest.approx([0.1, 0.1, 0.1, 0.0])  # 0.25 * 2 / 3 * 0.6

    def test_one_prompt_with_two_solutions_is_two_groups(self):
        suite = RLSPRewards(Verdicts(), [Fixed([1.0, 1.0])], gate="adaptive")
        columns = {"prompts": ["p", "p"], "completions": ["right", "wrong"]}
        assert suite[1](**columns, solution=["1", "2"]) == pytest.approx([0.0, 0.25])  # f = 0, f = 1

    def test_what_is_not_scorable_does_not_count(self):
        # f = 1/2 of the two that are; nothing for the third; no rate at all in group q
        values = adaptive(["right", "wrong", "?", "?"], Fixed([1.0] * 4), prompts=["p", "p", "p", "q"])
        assert values == pytest.approx([0.125, 0.125, None, None])

    def test_none_from_exploration_is_the_groups_mean(self):
        assert adaptive(["wrong", "wrong"], Fixed([None, 1.0])) == pytest.approx([0.25, 0.25])

    def test_a_right_completion_is_paid_at_least_one(self):
        """Trainers that take rewards as a threshold of success (sdpo: 1.0) rely on it."""
        suite = RLSPRewards(Verdicts(), [LengthExploration(C=7)], gate="adaptive", length_penalty=1)
        values = suite(prompts=["p"] * 2, completions=["right " + "so on " * 500, "right"])
        assert min(values) >= 1.0

    def test_sum_of_the_suite(self):
        suite = RLSPRewards(Verdicts(), [Fixed([1.0, 1.0])], gate="adaptive")
        assert suite(prompts=["p", "p"], completions=["right", "wrong"]) == pytest.approx([1.125, 0.125])

    def test_several_rewards_share_the_scale(self):
        parts = [Fixed([1.0], name="one"), Fixed([1.0], costs=[1.0], name="two")]
        suite = RLSPRewards(Verdicts(), parts, gate="adaptive", length_penalty=1)
        assert suite(prompts=["p"], completions=["wrong"]) == pytest.approx([0.25])  # 0 + 0.125 + 0.125
        assert suite(prompts=["p"], completions=["right"]) == pytest.approx([1.0])  # 1 + 0 + 0.125 * (1 - 1)

    def test_the_failure_rate_is_logged(self):
        logged = {}
        adaptive(["wrong", "right", "wrong"], Fixed([1.0] * 3), prompts=["p", "p", "q"], logger=logged.__setitem__)
        assert logged == {
            "exploration/failure_rate": pytest.approx(2 / 3),
            "exploration/failed": 0.0,
        }  # (1/2 + 1/2 + 1) / 3

    def test_prompts_are_needed(self):
        with pytest.raises(ConfigError, match="a group is the completions of one prompt, got no prompts"):
            RLSPRewards(Verdicts(), gate="adaptive")(completions=["right"])

    def test_pickles(self):
        suite = RLSPRewards(Verdicts(), [LengthExploration(C=7)], gate="adaptive", length_penalty=0.5)
        columns = {"prompts": ["p", "p"], "completions": ["right 1 + 2", "wrong 3"]}
        copy = pickle.loads(pickle.dumps(suite))
        assert copy(**columns) == suite(**columns)
        assert (copy.gate, copy.length_penalty) == ("adaptive", 0.5)


@pytest.mark.parametrize("gate", ["none", "correct", "incorrect"])
def test_other_gates_ask_for_no_prompts_and_know_no_penalty(gate):
    values = [
        RLSPRewards(Verdicts(), [Fixed([1.0, 1.0], costs=[1.0, 1.0])], gate=gate, length_penalty=length_penalty)(
            completions=["right", "wrong"]
        )
        for length_penalty in (0, 1)
    ]
    assert values[0] == values[1]
