"""The verdict on one completion: a score and the reason for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Reason = Literal[
    "match",  # the answer is right: 1.0
    "mismatch",  # the answer is wrong: 0.0
    "no_answer",  # no final answer was given: 0.0
    "several_answers",  # two or more different final answers were given: 0.0
    "timeout",  # the answer could not be checked within the time limit: 0.0
    "worker_crash",  # the answer exhausted the checker's memory or crashed it: 0.0
    "gold_unparseable",  # the gold answer cannot be compared with: None
    "scorer_error",  # the row's scorer or its worker failed, not because of the completion: None
]

MAX_SHOWN = 200  # characters of a compared text that a verdict stores


@dataclass(frozen=True)
class Verdict:
    """Outcome of verifying one completion; verdicts are equal if their score and reason are.

    Attributes:
        score: 1.0 right, 0.0 wrong, a fraction in between for partial credit (code tests), `None` not scorable.
        reason: why the score was given.
        gold: the gold answer that was compared, at most `MAX_SHOWN` characters; `None` if the row's kind has none.
        answer: the completion's answer, in the same form.
    """

    score: float | None
    reason: Reason
    gold: str | None = field(default=None, compare=False)
    answer: str | None = field(default=None, compare=False)
