"""One logged completion, whoever logged it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trl_rlsp.text import completion_text

ACCURACY_PARTS = ("outcome_verifier", "accuracy")
"""Names, or parts of names, of reward functions that say whether the outcome is right, in order of preference."""


@dataclass(frozen=True, slots=True)
class Completion:
    """One completion with its verdict.

    Attributes:
        text: everything the model wrote; nobody vouches for what it holds.
        problem: what completions of the same problem share: its index in an evaluation, or what the prompt asks.
        prompt: text or messages as logged; `None` if not recorded.
        score: 1.0, 0.0, a share, or `None` where it is not scorable.
        reason: the verdict's reason, `""` if none was recorded.
        gold: the gold answer as the verifier compared it, `None` if not recorded.
        answer: the completion's answer, likewise.
        tokens: length in tokens, `None` if not recorded.
        finished: it ends with a final answer within the limit; `None` if not recorded.
        step: training step, `None` in an evaluation.
        sample: number among the completions of its problem or batch.
        level: difficulty as the data set gives it.
        rewards: reward function -> value, `None` where it gave none.
        extra: other figures of the task, such as the search steps of countdown.
        columns: `solution`, `task`, `tests`, as far as the file has them.
        messages: how many messages it consists of.
        file: name of the file it was read from.
        sha256: of that file.
    """

    text: str
    problem: str = ""
    prompt: Any = None
    score: float | None = None
    reason: str = ""
    tokens: int | None = None
    finished: bool | None = None
    step: int | None = None
    sample: int = 0
    level: str | None = None
    rewards: Mapping[str, float | None] = field(default_factory=dict)
    extra: Mapping[str, float] = field(default_factory=dict)
    columns: Mapping[str, Any] = field(default_factory=dict)
    messages: int = 1
    gold: str | None = None
    answer: str | None = None
    file: str = ""
    sha256: str = ""

    @property
    def question(self) -> str:
        """What the prompt asks, see `question`."""
        return question(self.prompt)


def question(prompt: Any) -> str:
    """What a prompt asks: its last user message, or all of it where it has none.

    >>> question([{"role": "system", "content": "Think."}, {"role": "user", "content": "3 + 4?"}])
    '3 + 4?'
    """
    if prompt is None or isinstance(prompt, str):
        return prompt or ""
    turns = [message for message in prompt if message.get("role") == "user"][-1:] or list(prompt)
    return "\n".join(completion_text([{**turn, "role": "assistant"}]) for turn in turns)


def accuracy_part(names: Sequence[str]) -> str | None:
    """The reward function among `names` that is the accuracy, if one is.

    Example:
        >>> accuracy_part(["format_reward", "accuracy_reward"])
        'accuracy_reward'
    """
    return next((name for wanted in ACCURACY_PARTS for name in names if wanted in name), None)


def mean(values: Sequence[float]) -> float | None:
    """Mean, `None` of nothing."""
    return sum(values) / len(values) if values else None


def by_problem(completions: Sequence[Completion]) -> dict[str, list[Completion]]:
    """Completions of each problem, in the order in which the problems first occur."""
    groups: dict[str, list[Completion]] = {}
    for completion in completions:
        groups.setdefault(completion.problem, []).append(completion)
    return groups


def accuracy(completions: Sequence[Completion]) -> float | None:
    """Mean score of those that are scorable, `None` if none is."""
    return mean([c.score for c in completions if c.score is not None])
