"""Objectives over a group: what MaxRL and pass@k pay beside the verdict."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trl_rlsp import RLSPRewards
from trl_rlsp.errors import ConfigError
from trl_rlsp.rewards import check_balance

SCORES = {"right": 1.0, "half": 0.5, "wrong": 0.0}


def verdicts(completions, **_):
    """A verifier whose verdict is the completion's text; anything else is not scorable."""
    return [SCORES.get(completion) for completion in completions]


def words(completions, **_):
    """An exploration reward: wrong completions get the highest value, right ones the lowest."""
    return [0.0 if completion == "right" else 1.0 for completion in completions]


def suite(objective, k=4, exploration=(), **arguments):
    return RLSPRewards(verdicts, exploration, objective=objective, k=k, **arguments)


def totals(completions, objective, k=4, exploration=(), **arguments):
    rewards = suite(objective, k, exploration, **arguments)
    return rewards(prompts=["p"] * len(completions), completions=completions)


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        (["right", "wrong", "wrong", "wrong"], [4, 0, 0, 0]),  # V / p at p = 1/4
        (["right", "right", "wrong", "wrong"], [2, 2, 0, 0]),
        (["right", "half", "wrong", "wrong"], [8 / 3, 4 / 3, 0, 0]),  # p = 3/8
        (["right", "right"], [1, 1]),
        (["wrong", "wrong"], [0, 0]),
        (["right", "what", "wrong"], [2, None, 0]),  # what is not scorable is in no mean
    ],
)
def test_max_rl_divides_by_the_solve_rate(group, expected):
    assert totals(group, "max_rl") == pytest.approx(expected)


@pytest.mark.parametrize(
    ("group", "k", "expected"),
    [
        (["right", "wrong", "wrong", "wrong"], 1, [1, 0, 0, 0]),  # pass@1 is the verdict
        (["right", "wrong", "wrong", "wrong"], 2, [1, 1 / 3, 1 / 3, 1 / 3]),  # one of three others is the right one
        (["right", "right", "wrong", "wrong"], 2, [1, 1, 2 / 3, 2 / 3]),
        (["right", "right", "wrong", "wrong"], 3, [1, 1, 1, 1]),  # one of two others is always right
        (["wrong", "wrong", "wrong"], 2, [0, 0, 0]),
        (["right", "half", "wrong"], 2, [1, 3 / 4, 1 / 2]),  # 1 - (1 - V) * 1/2
        (["right", "wrong"], 9, [1, 1]),  # k is at most the group
        (["right", "what", "wrong", "wrong"], 2, [1, None, 1 / 2, 1 / 2]),
    ],
)
def test_pass_at_k_pays_a_wrong_completion_for_the_others(group, k, expected):
    assert totals(group, "pass@k", k) == pytest.approx(expected)


@given(st.lists(st.sampled_from(["right", "wrong"]), min_size=1, max_size=7), st.integers(1, 7))
def test_pass_at_k_is_the_mean_over_all_subsets(group, k):
    k = min(k, len(group))
    paid = totals(group, "pass@k", k)
    for place, total in enumerate(paid):
        subsets = [subset for subset in itertools.combinations(range(len(group)), k) if place in subset]
        solved = [any(group[member] == "right" for member in subset) for subset in subsets]
        assert total == pytest.approx(sum(solved) / len(solved))


@given(
    st.lists(st.sampled_from(["right", "wrong"]), min_size=2, max_size=8),
    st.sampled_from(["max_rl", "pass@k"]),
    st.integers(1, 8),
    st.sampled_from(["none", "incorrect", "adaptive"]),
)
def test_a_wrong_completion_never_outranks_a_right_one(group, objective, k, gate):
    paid = totals(group, objective, k, [words], alpha=0.51, gate=gate)
    right = [total for total, name in zip(paid, group, strict=True) if name == "right"]
    wrong = [total for total, name in zip(paid, group, strict=True) if name == "wrong"]
    assert not right or not wrong or max(wrong) <= min(right) + 1e-12


RARE = "8 * 9 = 72 \\boxed{72}"
DETOUR = "8 * 8 = 64 | 64 + 8 = 72 \\boxed{72}"


def by_answer(completions, **_):
    """Right if the answer is 72; not scorable without an answer."""
    return [None if "boxed" not in text else float("boxed{72}" in text) for text in completions]


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ([RARE, RARE, RARE, DETOUR], [4 / 3, 4 / 3, 4 / 3, 2]),  # two of three others went the same way
        ([RARE, "8 + 9 = 17 \\boxed{17}", "\\boxed{9}"], [2, 0, 0]),  # nobody else did
        ([RARE, "8 * 9 = 72 \\boxed{17}"], [2, 0]),  # nobody else solved it that way
        ([RARE, "8 + 9 = 17 | 9 * 8 = 72 \\boxed{72}"], [1, 1]),  # one way, with an attempt before
        ([RARE, RARE + " 72 - 1 = 71 | 71 + 1 = 72"], [1, 1]),  # what comes after the derivation is none
        ([RARE, RARE, "what"], [1, 1, None]),
        ([RARE, "It is \\boxed{72}"], [2, 1]),  # no way is seen
        ([RARE], [1]),
    ],
)
def test_a_right_completion_pays_more_the_fewer_went_its_way(group, expected):
    rewards = RLSPRewards(by_answer, [], objective="rare")
    assert rewards(prompts=["8 1 9 : 72"] * len(group), completions=group) == pytest.approx(expected)


@given(st.lists(st.sampled_from([RARE, DETOUR, "\\boxed{72}", "8 * 9 = 72 \\boxed{71}"]), min_size=2, max_size=8))
def test_a_wrong_completion_never_outranks_a_rare_one(group):
    rewards = RLSPRewards(by_answer, [words], objective="rare", alpha=0.51, gate="adaptive")
    paid = rewards(prompts=["8 1 9 : 72"] * len(group), completions=group)
    right = [total for total, text in zip(paid, group, strict=True) if "{72}" in text]
    assert not right or all(total < min(right) for total, text in zip(paid, group, strict=True) if "{71}" in text)


def test_groups_are_told_apart_by_their_prompts():
    rewards = suite("max_rl")
    paid = rewards(prompts=["a", "a", "b", "b"], completions=["right", "wrong", "right", "right"])
    assert paid == [2, 0, 1, 1]


def test_the_columns_keep_the_accuracy_apart():
    rewards = suite("pass@k", k=2)
    assert [part.__name__ for part in rewards] == ["verdicts", "pass_at_k"]
    columns = [part(prompts=["p"] * 2, completions=["right", "wrong"]) for part in rewards]
    assert columns == [[1, 0], [0, 1]]
    assert [part.__name__ for part in RLSPRewards(verdicts, [])] == ["verdicts"]


@pytest.mark.parametrize("given_", [{"objective": "pass"}, {"objective": "pass@k", "k": 0}])
def test_what_cannot_be_meant_is_refused(given_):
    with pytest.raises(ConfigError, match=r"objective must be 'verdict', 'max_rl', 'pass@k' or 'rare', and k"):
        RLSPRewards(verdicts, [], **given_)


def test_settings_that_undo_an_objective_are_warned_about():
    args = SimpleNamespace(scale_rewards="group", num_generations=8)
    assert [finding.code for finding in check_balance(suite("max_rl"), args)] == ["objective"]
    assert check_balance(suite("verdict"), args) == []
    args = SimpleNamespace(scale_rewards="none", num_generations=2)
    assert [finding.code for finding in check_balance(suite("pass@k", 4), args)] == ["objective_k"]
