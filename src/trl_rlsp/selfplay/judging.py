"""Logged completions back to their problems, and verified again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trl_rlsp.problems.data import problem_key
from trl_rlsp.runs.rollout import Rollout
from trl_rlsp.text.effective_length import prompt_text

if TYPE_CHECKING:
    from trl_rlsp.rewards.outcome import OutcomeVerifier

CHUNK = 1000
"""Completions verified in one call; the verifier limits the seconds of a call."""


@dataclass(frozen=True)
class Judged:
    """A logged completion with its problem and its verdict.

    Attributes:
        rollout: as logged.
        row: its row of `load_problems`; `None` if the problem is not known.
        key: what completions of the same problem share, see `problem_key`.
        score: 1.0, 0.0, a share, or `None` where it is not scorable.
        verdict: the verifier's reason, or `logged` where the score is the one of the log.
    """

    rollout: Rollout
    row: Mapping[str, Any] | None
    key: str
    score: float | None
    verdict: str


def asked(prompt: Any) -> str:
    """What a prompt asks: its last user message, or all of it where it has none."""
    if isinstance(prompt, (list, tuple)):
        turns = [message for message in prompt if message.get("role") == "user"]
        return prompt_text(turns[-1:] or list(prompt))
    return prompt_text(prompt)


def key_of(row: Mapping[str, Any]) -> str:
    """`problem_key`, also for prompts without a user message."""
    return problem_key(row) if row.get("task") else problem_key({"prompt": asked(row["prompt"])})


class ProblemIndex:
    """Rows of a data set by what they ask.

    Args:
        rows: as `load_problems` gives them.
    """

    def __init__(self, rows: Iterable[Mapping[str, Any]]) -> None:
        self.rows = [dict(row) for row in rows]
        self.by_text: dict[str, int] = {}
        for index, row in enumerate(self.rows):
            self.by_text.setdefault(asked(row["prompt"]), index)

    def find(self, rollout: Rollout) -> Mapping[str, Any] | None:
        """The problem of a completion: by its prompt where that was logged, else by its index."""
        index = self.by_text.get(asked(rollout.prompt), rollout.problem) if rollout.prompt else rollout.problem
        return self.rows[index] if index is not None and index < len(self.rows) else None


def judge(rollouts: Sequence[Rollout], problems: ProblemIndex, verifier: OutcomeVerifier) -> list[Judged]:
    """Verify completions whose problem is known; the others keep the score of the log.

    Args:
        rollouts: C completions.
        problems: the data set they were sampled for; may be empty.
        verifier: the outcome verifier.

    Returns:
        C judged completions, in the same order.
    """
    rows = [problems.find(rollout) for rollout in rollouts]
    known = [index for index, row in enumerate(rows) if row is not None]
    found = {index: (rollouts[index].score, "logged") for index in range(len(rollouts))}
    for start in range(0, len(known), CHUNK):
        chunk = known[start : start + CHUNK]
        given = [rows[index] or {} for index in chunk]
        columns = {name: [row.get(name) for row in given] for name in ("solution", "task", "tests")}
        texts = [rollouts[index].text for index in chunk]
        verdicts = verifier.verdicts(texts, prompts=[row["prompt"] for row in given], **columns)
        found |= {i: (verdict.score, verdict.reason) for i, verdict in zip(chunk, verdicts, strict=True)}
    return [
        Judged(rollout, row, _key(rollout, row), *found[index])
        for index, (rollout, row) in enumerate(zip(rollouts, rows, strict=True))
    ]


def _key(rollout: Rollout, row: Mapping[str, Any] | None) -> str:
    if row is not None:
        return key_of(row)
    return key_of({"prompt": rollout.prompt}) if rollout.prompt else f"problem {rollout.problem}"
