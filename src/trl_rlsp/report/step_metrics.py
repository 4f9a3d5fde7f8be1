"""Metrics of the logged completions over training: behaviors, repetition, share with a final answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trl_rlsp.behaviours import KINDS, count_behaviours
from trl_rlsp.runs.completion import Completion, mean
from trl_rlsp.text import novel_words, words

PER_STEP = 64
AT_MOST = 4000
NGRAM = 8


@dataclass(frozen=True)
class StepMetrics:
    """Means over the completions of one logged step.

    Attributes:
        step: training step.
        looked_at: completions that the text figures are of.
        finished: share with exactly one final answer, of all completions.
        repetition: share of the text that repeats what stood before it; `None` if there is no text.
        behaviours: kind -> occurrences per 1,000 words.
    """

    step: int
    looked_at: int
    finished: float | None
    repetition: float | None
    behaviours: dict[str, float]


def step_metrics(completions: Sequence[Completion]) -> list[StepMetrics]:
    """One for each step, in order; at most 64 completions a step and about 4,000 in all are read."""
    steps: dict[int, list[Completion]] = {}
    for completion in completions:
        if completion.step is not None:
            steps.setdefault(completion.step, []).append(completion)
    share = max(1, min(PER_STEP, AT_MOST // max(1, len(steps))))
    return [_of_step(step, group, evenly(group, share)) for step, group in sorted(steps.items())]


def _of_step(step: int, group: Sequence[Completion], sampled: Sequence[Completion]) -> StepMetrics:
    counts: dict[str, int] = dict.fromkeys(KINDS, 0)
    length = 0
    for completion in sampled:
        length += len(words(completion.text))
        for kind, count in count_behaviours(completion.text).items():
            counts[kind] += count
    repetitions = [r for completion in sampled if (r := repetition(completion.text)) is not None]
    return StepMetrics(
        step=step,
        looked_at=len(sampled),
        finished=mean([float(c.finished) for c in group if c.finished is not None]),
        repetition=mean(repetitions),
        behaviours={kind: 1000 * count / length if length else 0.0 for kind, count in counts.items()},
    )


def repetition(text: str) -> float | None:
    """Share of a text's words inside an n-gram of 8 words, or a sentence, that it already contained; `None` if empty.

    Example:
        >>> repetition("one two three. one two three.")
        0.5
    """
    total = len(words(text))
    return 1 - novel_words(text, ngram=NGRAM) / total if total else None


def evenly(items: Sequence[Completion], count: int) -> list[Completion]:
    """`count` items spread evenly over `items`; all of them if there are no more."""
    if len(items) <= count:
        return list(items)
    return [items[i * len(items) // count] for i in range(count)]
