"""The verdict on one completion, a score and the reason for it, and a bounded memory of verdicts."""

from __future__ import annotations

from collections.abc import Hashable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

Reason = Literal[
    "match",  # the answer is right: 1.0
    "mismatch",  # the answer is wrong: 0.0
    "no_answer",  # no final answer was given: 0.0
    "several_answers",  # different final answers were given: 0.0
    "timeout",  # the answer could not be checked within the time limit: 0.0
    "worker_crash",  # the answer exhausted the checker's memory or crashed it: 0.0
    "gold_unparseable",  # the row's own answer cannot be checked against: None
    "scorer_error",  # the row's scorer or its worker failed through no fault of the completion: None
]

MAX_SHOWN = 200  # characters of a compared text that a verdict keeps


@dataclass(frozen=True)
class Verdict:
    """Outcome of verifying one completion; two are equal if score and reason are.

    Attributes:
        score: 1.0 right, 0.0 wrong, a share in between for partial credit (code tests), `None` not scorable.
        reason: why.
        gold: the gold answer that was compared, at most `MAX_SHOWN` characters; `None` if the row's kind has none.
        answer: the completion's answer, likewise.
    """

    score: float | None
    reason: Reason
    gold: str | None = field(default=None, compare=False)
    answer: str | None = field(default=None, compare=False)


class VerdictCache(dict[Hashable, Verdict]):
    """The last `size` verdicts that were put; a pickled copy is empty."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def put(self, key: Hashable, verdict: Verdict) -> None:
        """Store a verdict; the oldest leaves where there are too many."""
        self[key] = verdict
        with suppress(RuntimeError, StopIteration):  # another thread puts one too
            while len(self) > self.size:
                self.pop(next(iter(self)), None)

    def __reduce__(self) -> tuple[Any, ...]:
        return VerdictCache, (self.size,)
