"""Behaviors of many completions as metrics: per completion, per 1,000 words, answer changes, and per step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from trl_rlsp.behaviours import KINDS, Kind, answer_changes, candidate_answers, count_behaviours
from trl_rlsp.countdown import read_search
from trl_rlsp.evaluation import known_mean
from trl_rlsp.runs._completions import Completion
from trl_rlsp.text import novel_words, words

Scorer = Callable[[list[Completion]], Sequence[float | None]]
PER_STEP, AT_MOST = 64, 4000  # completions whose text is read, per step and in all
NGRAM = 8


@dataclass(frozen=True)
class Summary:
    """Metrics of some completions.

    Attributes:
        words: mean length in words; numbers and punctuation marks count as words.
        per_completion: mean occurrences of each kind.
        search: totals over written-out countdown searches; empty if there are none.
        changes: transitions between answers stated in one completion; `None` if they could not be scored.
    """

    completions: int
    words: float
    per_completion: dict[str, float]
    per_1000_words: dict[str, float]
    search: dict[str, int]
    changes: dict[str, int] | None


def summarize(completions: Sequence[Completion], score: Scorer | None = None) -> Summary:
    """Metrics of one or more completions; `changes` needs a scorer."""
    totals, length = _occurrences(completions)
    searches = [trace.counts() for c in completions if (trace := read_search(c.text)).steps]
    return Summary(
        completions=len(completions),
        words=length / len(completions),
        per_completion={kind: total / len(completions) for kind, total in totals.items()},
        per_1000_words=_per_1000_words(totals, length),
        search={name: sum(count[name] for count in searches) for name in (searches or [{}])[0]},
        changes=_change_totals(completions, score) if score is not None else None,
    )


def _occurrences(completions: Sequence[Completion]) -> tuple[dict[Kind, int], int]:
    """Total occurrences of each kind, and total words."""
    counts = [count_behaviours(completion.text) for completion in completions]
    totals = {kind: sum(count[kind] for count in counts) for kind in KINDS}
    return totals, sum(len(words(completion.text)) for completion in completions)


def _per_1000_words(totals: Mapping[Kind, int], length: int) -> dict[str, float]:
    return {kind: 1000 * total / length if length else 0.0 for kind, total in totals.items()}


def _change_totals(completions: Sequence[Completion], score: Scorer) -> dict[str, int] | None:
    """Transitions in all completions that have gold columns; all candidate answers are scored in one batch."""
    scorable = [c for c in completions if c.columns]
    stated = [(c, answers) for c in scorable if len(answers := candidate_answers(c.text)) > 1]
    asked = [Completion(f"\\boxed{{{a}}}", prompt=c.prompt, columns=c.columns) for c, found in stated for a in found]
    scores = iter(score(asked) if asked else ())
    changes = [answer_changes(answers, lambda given: [next(scores) for _ in given]) for _, answers in stated]
    names = ("wrong_to_right", "right_to_wrong", "wrong_to_wrong", "not_scorable")
    return {name: sum(getattr(change, name) for change in changes) for name in names} if scorable else None


def shown_steps(steps: Sequence[int]) -> list[int]:
    """The first step, the three quarter points and the last step."""
    distinct = sorted(set(steps))
    last = len(distinct) - 1
    return sorted({distinct[round(last * quarter / 4)] for quarter in range(5)}) if distinct else []


@dataclass(frozen=True)
class StepMetrics:
    """Means over the completions of one logged step.

    Attributes:
        finished: share with exactly one final answer.
        repetition: share of the text that repeats earlier text; `None` if there is no text.
        behaviours: kind -> occurrences per 1,000 words.
    """

    step: int
    finished: float | None
    repetition: float | None
    behaviours: dict[str, float]


def step_metrics(completions: Sequence[Completion]) -> list[StepMetrics]:
    """Metrics of each step, in order; at most 64 texts per step and about 4,000 in all are read."""
    steps: dict[int, list[Completion]] = {}
    for completion in completions:
        if completion.step is not None:
            steps.setdefault(completion.step, []).append(completion)
    share = max(1, min(PER_STEP, AT_MOST // (len(steps) or 1)))
    metrics = []
    for step, group in sorted(steps.items()):
        count = min(share, len(group))
        read = [group[i * len(group) // count] for i in range(count)]  # spread evenly
        finished = known_mean(None if c.finished is None else float(c.finished) for c in group)
        repeated = known_mean(repetition(c.text) for c in read)
        metrics.append(StepMetrics(step, finished, repeated, _per_1000_words(*_occurrences(read))))
    return metrics


def repetition(text: str) -> float | None:
    """Share of words in an 8-gram or a sentence that already occurred in the text; `None` if the text is empty."""
    total = len(words(text))
    return 1 - novel_words(text, ngram=NGRAM) / total if total else None
