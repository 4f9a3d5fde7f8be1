"""Logged completions back to their problems, and verified again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trl_rlsp.problems.data import problem_key
from trl_rlsp.runs import Completion, question

if TYPE_CHECKING:
    from trl_rlsp.rewards import OutcomeVerifier

CHUNK = 1000
"""Completions verified in one call; the verifier limits the seconds of a call."""


@dataclass(frozen=True)
class Judged:
    """A logged completion with its problem and its verdict.

    Attributes:
        completion: as logged.
        row: its row of `load_problems`; `None` if the problem is not known.
        key: what completions of the same problem share, see `problem_key`.
        score: 1.0, 0.0, a share, or `None` where it is not scorable.
        verdict: the verifier's reason, or `logged` where the score is the one of the log.
    """

    completion: Completion
    row: Mapping[str, Any] | None
    key: str
    score: float | None
    verdict: str


def key_of(row: Mapping[str, Any]) -> str:
    """`problem_key`, also for prompts without a user message."""
    return problem_key(row if row.get("task") else {"prompt": question(row["prompt"])})


class ProblemIndex:
    """Rows of a data set by what they ask.

    Args:
        rows: as `load_problems` gives them.
    """

    def __init__(self, rows: Iterable[Mapping[str, Any]]) -> None:
        self.rows = [dict(row) for row in rows]
        self.by_text: dict[str, int] = {}
        for index, row in enumerate(self.rows):
            self.by_text.setdefault(question(row["prompt"]), index)

    def find(self, completion: Completion) -> Mapping[str, Any] | None:
        """The problem of a completion: by its prompt where that was logged, else by its index."""
        logged = int(completion.problem) if completion.problem.isdecimal() and completion.step is None else None
        index = self.by_text.get(completion.question, logged) if completion.prompt else logged
        return self.rows[index] if index is not None and index < len(self.rows) else None


def judge(completions: Sequence[Completion], problems: ProblemIndex, verifier: OutcomeVerifier) -> list[Judged]:
    """Verify completions whose problem is known; the others keep the score of the log.

    Args:
        completions: C completions.
        problems: the data set they were sampled for; may be empty.
        verifier: the outcome verifier.

    Returns:
        C judged completions, in the same order.
    """
    rows = [problems.find(completion) for completion in completions]
    known = [index for index, row in enumerate(rows) if row is not None]
    found = {index: (completion.score, "logged") for index, completion in enumerate(completions)}
    for start in range(0, len(known), CHUNK):
        chunk = known[start : start + CHUNK]
        given = [rows[index] or {} for index in chunk]
        columns = {name: [row.get(name) for row in given] for name in ("solution", "task", "tests")}
        texts = [completions[index].text for index in chunk]
        verdicts = verifier.verdicts(texts, prompts=[row["prompt"] for row in given], **columns)
        found |= {i: (verdict.score, verdict.reason) for i, verdict in zip(chunk, verdicts, strict=True)}
    return [
        Judged(completion, row, _key(completion, row), *found[index])
        for index, (completion, row) in enumerate(zip(completions, rows, strict=True))
    ]


def _key(completion: Completion, row: Mapping[str, Any] | None) -> str:
    if row is not None:
        return key_of(row)
    return key_of({"prompt": completion.prompt}) if completion.prompt else f"problem {completion.problem}"
