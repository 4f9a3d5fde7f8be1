"""Answers side by side: what exploration sees of them, alone and in a suite."""

from __future__ import annotations

import pytest

from trl_rlsp import LengthExploration, OutcomeVerifier, RLSPRewards
from trl_rlsp.rewards.batch import as_explored
from trl_rlsp.text import read
from trl_rlsp.verification import Verdict

WORDS = "Half of it , six words . "
BY_VALUE = WORDS + r"\boxed{\sqrt{8}} or \boxed{2\sqrt{2}}"
BY_TEXT = WORDS + r"\boxed{2\sqrt2} or \boxed{2\sqrt{2}}"
DIFFERENT = WORDS + r"\boxed{\sqrt{2}} or \boxed{2\sqrt{2}}"
EXPLORED = 7 / (7 + 7)


def test_alone_only_equal_text_is_one_answer():
    assert LengthExploration(C=7)(completions=[BY_VALUE, BY_TEXT, DIFFERENT]) == [0.0, EXPLORED, 0.0]


@pytest.mark.parametrize(("solution", "by_value"), [(r"2\sqrt{2}", EXPLORED + 1), ("7", 0.0)])
def test_in_a_suite_the_verdict_says(solution, by_value):
    """To a wrong value the verifier says several answers where it does not compare them with each other."""
    with OutcomeVerifier() as verifier:
        suite = RLSPRewards(verifier, [LengthExploration(C=7)], alpha=0.5)
        values = suite(completions=[BY_VALUE, DIFFERENT], solution=[solution] * 2)
    assert values == [by_value, 0.0]


@pytest.mark.parametrize(
    ("verdict", "finished"),
    [
        (Verdict(1.0, "match"), True),
        (Verdict(0.0, "mismatch"), True),
        (Verdict(0.0, "several_answers"), False),
        (Verdict(None, "scorer_error"), False),
        (1.0, True),
        (0.0, False),
        (None, False),
    ],
)
def test_a_verifier_with_and_without_reasons(verdict, finished):
    assert as_explored(read(BY_VALUE), verdict).finished is finished


def test_a_reading_without_rivals_stays_as_it_is():
    for text in (r"\boxed{1}", "no answer", "<think>cut off"):
        assert as_explored(read(text), Verdict(1.0, "match")) == read(text)
