"""Answers stated in a completion and how they change."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trl_rlsp.behaviours import answer_changes, candidate_answers


def is_13(answers):
    return [None if answer == "?1" else float(answer == "13") for answer in answers]


class TestCandidates:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("\\boxed{12}", ["12"]),
            ("The answer is 12. Hmm. The answer is 12. \\boxed{12}", ["12"]),
            ("The answer is 12, because 3 * 4. No: the answer should be 13.", ["12", "13"]),
            ("the result is $\\frac{1}{2}$. Final answer: \\boxed{\\frac{1}{2}}", ["\\frac{1}{2}"]),
            ("The answer is no.", []),
            ("9 + 2 = 11 ? 11 yes \\boxed{ 9 + 2 }", ["9 + 2"]),
            ("", []),
        ],
    )
    def test_stated(self, text, expected):
        assert [answer.strip() for answer in candidate_answers(text)] == expected

    @given(st.text(max_size=200))
    def test_any_text(self, text):
        found = candidate_answers(text)
        assert all(a != b for a, b in pairwise(found))


class TestChanges:
    def test_every_way(self):
        text = "The answer is 12. The answer is 14. The answer is 13. The answer is 12. \\boxed{13}"
        changes = answer_changes(text, is_13)
        assert changes.scores == (0.0, 0.0, 1.0, 0.0, 1.0)
        assert (changes.wrong_to_wrong, changes.wrong_to_right, changes.right_to_wrong) == (1, 2, 1)

    def test_a_failed_verdict_is_no_change(self):
        changes = answer_changes("The answer is ?1. \\boxed{13}", is_13)
        assert (changes.not_scorable, changes.wrong_to_right) == (1, 0)

    def test_one_answer_is_not_scored(self):
        def never(answers):
            raise AssertionError("scored")

        assert answer_changes("\\boxed{13}", never).candidates == ("13",)
