"""Written-out searches, read back: against the search that wrote them, and with every fault by hand."""

from __future__ import annotations

import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trl_rlsp.behaviours import find_behaviours
from trl_rlsp.countdown import read_search
from trl_rlsp.countdown.search import Term, _leaves, written_search

FOUR = (
    "5 + 3 = 8 | 8 + 2 = 10 | 10 + 7 = 17 ? 60 no | 10 - 7 = 3 ? 60 no | 8 * 2 = 16 | 16 + 7 = 23 ? 60 no "
    "| 5 * 3 = 15 | 15 * 2 = 30 | 30 + 7 = 37 ? 60 no"
)


def written_returns(numbers, seed, budget):
    """Returns to an earlier branch, counted where the search itself knows them."""
    inner, returns = [], 0
    leaves = _leaves(tuple(map(Term.given, numbers)), 144, random.Random(seed))
    for count, path in zip(range(budget), leaves, strict=False):
        returns += count > 0 and any(a is not b for a, b in zip(path[:-1], inner, strict=False))
        inner = path[:-1]
    return returns


class TestAgainstTheSearch:
    @given(st.lists(st.integers(1, 40), min_size=3, max_size=4, unique=True), st.integers(0, 10**6), st.integers(1, 40))
    @example([5, 1, 11, 3], 296, 26)  # 1 * 11 = 11, and 5 * 11 belongs to the 11 given
    def test_written_search(self, numbers, seed, budget):
        # 997 is never hit: results are at most 144
        trace = written_search(numbers, 997, random.Random(seed), budget=budget)
        read = read_search(trace.reasoning, numbers)
        counts = read.counts()
        assert counts["attempts"] == trace.attempts
        assert counts["wrong_steps"] == counts["wrong_claims"] == counts["strays"] == 0

    @pytest.mark.parametrize("numbers", [[6, 3, 2], [9, 4, 25], [5, 3, 2, 7]])
    @pytest.mark.parametrize("seed", range(20))
    def test_returns(self, numbers, seed):
        trace = written_search(numbers, 997, random.Random(seed), budget=40)
        assert read_search(trace.reasoning).counts()["backtracks"] == written_returns(numbers, seed, 40)

    def test_hit(self):
        trace = written_search([6, 3, 2], 18, random.Random(0))
        assert trace.solved
        assert read_search(trace.reasoning).steps[-1].claim_right is True


class TestByHand:
    def test_four_numbers(self):
        # back from {10, 7} to {8, 2, 7} with 8 * 2, and from {16, 7} to the given numbers with 5 * 3
        trace = read_search(FOUR)
        assert [s.written for s in trace.steps if s.turned_back] == ["8 * 2", "5 * 3"]
        assert [trace.counts()[name] for name in ("attempts", "repeats", "strays")] == [4, 0, 0]
        assert trace.steps[2].expression == "( ( ( 5 + 3 ) + 2 ) + 7 )"

    def test_wrong_arithmetic(self):
        trace = read_search("6 + 3 = 8 | 8 * 2 = 16 ? 18 no")
        assert [s.right for s in trace.steps] == [False, True]
        # ( 6 + 3 ) * 2 is 18: a hit called a miss
        assert trace.counts()["wrong_claims"] == 1

    def test_hit_claimed_wrongly(self):
        assert read_search("6 + 3 = 9 | 9 + 2 = 11 ? 18 yes").counts()["wrong_claims"] == 1

    def test_repeated_attempt_also_with_operands_swapped(self):
        trace = read_search("9 + 2 = 11 ? 18 no | 2 + 9 = 11 ? 18 no | 9 - 2 = 7 ? 18 no")
        assert [s.repeated for s in trace.steps] == [False, True, False]

    def test_numbers_that_are_not_there(self):
        trace = read_search("6 + 3 = 9 | 9 + 5 = 14 ? 18 no", [6, 3, 2])
        assert [s.stray for s in trace.steps] == [False, True]

    @pytest.mark.parametrize("text", ["", "6 + 3 = 9", "x = 5 | y = 6 yes", "The answer is 9 ? no"])
    def test_no_search(self, text):
        assert read_search(text).steps == ()

    def test_behaviours(self):
        text = "6 + 3 = 9 | 9 + 2 = 11 ? 18 no | 9 - 2 = 7 ? 18 no | 6 - 3 = 3 | 3 * 2 = 6 ? 18 no"
        found = [(b.kind, text[b.start : b.end]) for b in find_behaviours(text)]
        assert found == [
            ("verification", "? 18 no"),
            ("alternatives", "9 - 2"),
            ("verification", "? 18 no"),
            ("backtracking", "6 - 3"),
            ("verification", "? 18 no"),
        ]

    @given(
        st.lists(st.sampled_from(["6 + 3 = 9", "9 - 0 = 9 ? 9 yes", "( 1", "|", "?", "no", "\n", "= 2"]), max_size=30)
    )
    def test_any_pieces(self, pieces):
        text = " | ".join(pieces)
        for step in read_search(text).steps:
            assert text[step.start : step.end].startswith(step.written)
