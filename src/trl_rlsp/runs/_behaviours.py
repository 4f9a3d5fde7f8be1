"""Behaviors of many completions as metrics: per completion, per 1,000 words, and answer changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from trl_rlsp.behaviours import KINDS, candidate_answers, changes_of, count_behaviours
from trl_rlsp.countdown import read_search
from trl_rlsp.runs._completions import Completion, mean
from trl_rlsp.text import novel_words, words

Scorer = Callable[[list[Completion]], Sequence[float | None]]
"""Scores of completions by the outcome verifier."""


@dataclass(frozen=True)
class Summary:
    """Metrics of some completions.

    Attributes:
        completions: how many there are.
        words: their mean length; numbers and punctuation marks are words.
        per_completion: mean occurrences of each kind.
        per_1000_words: occurrences of each kind per 1,000 words.
        search: of written-out countdown searches, totals of attempts, repeats, wrong steps and wrong claims; empty
            where there are none.
        changes: transitions between answers stated in one completion; `None` if nothing could score them.
    """

    completions: int
    words: float
    per_completion: dict[str, float]
    per_1000_words: dict[str, float]
    search: dict[str, int]
    changes: dict[str, int] | None


def summarize(completions: Sequence[Completion], score: Scorer | None = None) -> Summary:
    """Metrics of one or more completions.

    Args:
        completions: N completions.
        score: the outcome verifier; `None` leaves answer changes out.
    """
    totals: dict[str, int] = dict.fromkeys(KINDS, 0)
    for completion in completions:
        for kind, count in count_behaviours(completion.text).items():
            totals[kind] += count
    length = sum(len(words(c.text)) for c in completions)
    return Summary(
        completions=len(completions),
        words=length / len(completions),
        per_completion={kind: total / len(completions) for kind, total in totals.items()},
        per_1000_words={kind: 1000 * total / length if length else 0.0 for kind, total in totals.items()},
        search=_search_totals(completions),
        changes=_change_totals(completions, score) if score is not None else None,
    )


def _search_totals(completions: Sequence[Completion]) -> dict[str, int]:
    counts = [trace.counts() for c in completions if (trace := read_search(c.text)).steps]
    return {name: sum(count[name] for count in counts) for name in counts[0]} if counts else {}


def _change_totals(completions: Sequence[Completion], score: Scorer) -> dict[str, int] | None:
    """Transitions of all completions that say how to score them; every candidate is scored in one batch."""
    stated = [(c, answers) for c in completions if c.columns and len(answers := candidate_answers(c.text)) > 1]
    if not any(c.columns for c in completions):
        return None
    asked = [
        Completion(f"\\boxed{{{answer}}}", prompt=c.prompt, columns=c.columns)
        for c, answers in stated
        for answer in answers
    ]
    scores = iter(score(asked) if asked else ())
    names = ("wrong_to_right", "right_to_wrong", "wrong_to_wrong", "not_scorable")
    totals: dict[str, int] = dict.fromkeys(names, 0)
    for _, answers in stated:
        changes: Any = changes_of(answers, lambda given: [next(scores) for _ in given])
        for name in names:
            totals[name] += getattr(changes, name)
    return totals


def shown_steps(steps: Sequence[int]) -> list[int]:
    """The first, the quarter points and the last of some steps.

    Example:
        >>> shown_steps([10, 20, 30, 40, 50, 60, 70, 80, 90])
        [10, 30, 50, 70, 90]
    """
    distinct = sorted(set(steps))
    last = len(distinct) - 1
    return sorted({distinct[round(last * quarter / 4)] for quarter in range(5)}) if distinct else []


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
