"""Countdown searched in one fixed order: how many attempts a problem needs is then known beforehand."""

from __future__ import annotations

from typing import Any

from countdown.domain import canonical
from trl_rlsp.countdown import LARGEST_NUMBER, written_search
from trl_rlsp.countdown.search import countdown_of

__all__ = ["DIFFICULTY", "canonical", "difficulty", "worked"]

DIFFICULTY = "the attempts that the systematic search needs"
"""What `difficulty` measures, for the report."""


def difficulty(row: dict[str, Any]) -> float:
    """Attempts until the first hit of the systematic search; infinite where there is none.

    Args:
        row: a countdown row of `load_problems`.
    """
    trace = written_search(*countdown_of(row), None, limit=LARGEST_NUMBER)
    return float(trace.attempts) if trace.solved else float("inf")


def worked(row: dict[str, Any]) -> str:
    """The whole systematic search up to its first hit, as a completion.

    Args:
        row: a countdown row of `load_problems` that has a solution.
    """
    trace = written_search(*countdown_of(row), None, limit=LARGEST_NUMBER)
    return f"{trace.reasoning} \\boxed{{ {trace.answer} }}"
