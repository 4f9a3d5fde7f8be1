"""Effort in calculations that hold; what it cannot be had by is in test_attacks.py, what every form promises in
test_properties.py."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trl_rlsp import CalculationExploration
from trl_rlsp.errors import ConfigError

ASKED = "6 3 2 : 18"


def score(*texts, K=2, prompt=ASKED, **kwargs):
    return CalculationExploration(K=K)(prompts=[prompt] * len(texts), completions=list(texts), **kwargs)


def counted(completion, prompt):
    logged = {}
    CalculationExploration()(prompts=[prompt], completions=[completion], log_metric=logged.__setitem__)
    return logged["exploration/calculations"]


class TestCounted:
    @pytest.mark.parametrize(
        ("reasoning", "count"),
        [
            ("6 + 3 = 9 | 9 + 2 = 11 ? 18 no | 9 * 2 = 18 ? 18 yes", 3),
            ("6 + 3 = 9 | 9 + 2 = 12 ? 18 no | 9 * 2 = 18 ? 18 yes", 2),  # 9 + 2 is not 12
            ("6 + 3 = 9 | 3 + 6 = 9 | ( 6 + 3 ) * 1 = 9", 1),  # once whatever the order; times 1 is nothing
            ("6 + 3 = 8 | 8 * 2 = 17", 0),
            ("20 + 21 = 41 | 41 + 1 = 42", 0),  # from none of the problem's numbers
            ("we could try many things, and should", 0),
            ("\\boxed{ { 6 + 3 } = 9 }", 0),  # what a box on the way holds is an answer
            ("", 0),
        ],
    )
    def test_by_hand(self, reasoning, count):
        assert counted(f"{reasoning} \\boxed{{ 18 }}", ASKED) == count

    def test_after_the_answer_or_without_one(self):
        assert counted("6 + 3 = 9 \\boxed{9} 9 * 2 = 18", ASKED) == 1
        assert counted("6 + 3 = 9 | 9 * 2 = 18", ASKED) == 0
        assert counted("6 + 3 = 9 \\boxed{9} \\boxed{18}", ASKED) == 0

    def test_messages(self):
        completion = [{"role": "assistant", "content": "6 + 3 = 9 \\boxed{9}"}]
        assert counted(completion, [{"role": "user", "content": ASKED}]) == 1

    def test_a_problem_without_numbers(self):
        assert counted("20 + 21 = 41 \\boxed{41}", "Add two numbers of your choice.") == 1


def test_the_value():
    # n / (n + K) with K = 2: 0, 1 / 3, 2 / 4
    texts = ["\\boxed{1}", "6 + 3 = 9 \\boxed{9}", "6 + 3 = 9 | 9 * 2 = 18 \\boxed{18}"]
    assert score(*texts) == [0.0, 1 / 3, 0.5]


def test_the_answer_plays_no_part():
    assert score("6 + 3 = 9 \\boxed{9}") == score("6 + 3 = 9 \\boxed{18}")


def test_logged():
    logged = {}
    score("6 + 3 = 9 \\boxed{9}", "\\boxed{9}", log_metric=logged.__setitem__)
    assert logged == {"exploration/calculations": 0.5}
    logged.clear()
    assert score(log_metric=logged.__setitem__) == []
    assert not logged


def test_without_prompts():
    assert CalculationExploration(K=1)(completions=["20 + 21 = 41 \\boxed{41}"]) == [0.5]


@given(st.lists(st.tuples(st.integers(1, 30), st.sampled_from("+-*"), st.integers(1, 30), st.integers(-1, 1))))
def test_each_true_calculation_counts_once_and_no_false_one(steps):
    written, true = [], set()
    for left, operator, right, off in steps:
        result = {"+": left + right, "-": left - right, "*": left * right}[operator]
        written.append(f"{left} {operator} {right} = {result + off}")
        if off == 0 and not (operator == "-" and left == right) and not (operator == "*" and 1 in (left, right)):
            true.add((operator, frozenset({left, right}) if operator in "+*" else (left, right)))
    assert counted(" | ".join(written) + " \\boxed{1}", "Any numbers.") == len(true)


@pytest.mark.parametrize("K", [0, -1, float("inf"), float("nan")])
def test_refused(K):
    with pytest.raises(ConfigError, match=f"K must be a number of calculations, positive and finite, got {K}"):
        CalculationExploration(K=K)


def test_travels_between_processes():
    reward = pickle.loads(pickle.dumps(CalculationExploration(K=3)))
    assert repr(reward) == "CalculationExploration(K=3)"
    assert reward.__name__ == "calculation_exploration"
