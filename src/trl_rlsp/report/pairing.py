"""Two evaluations on the same problems: the difference, problem by problem."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from trl_rlsp.evaluation.bootstrap import Estimate, bootstrap_mean
from trl_rlsp.runs.completion import Completion, by_problem, mean
from trl_rlsp.runs.run import Evaluated

Value = Callable[[Completion], float | None]


@dataclass(frozen=True)
class Difference:
    """A metric of two models on the problems that both have.

    Attributes:
        before, after: its mean over these problems.
        change: `after - before`, with a 95 % bootstrap interval over problems.
        problems: how many they are.
    """

    before: float
    after: float
    change: Estimate
    problems: int


def difference(before: Evaluated, after: Evaluated, value: Value) -> Difference | None:
    """Paired difference of a metric; `None` on different problem sets, or where no problem has the metric in both."""
    if not before.problems_hash or before.problems_hash != after.problems_hash:
        return None
    first, last = _problem_means(before, value), _problem_means(after, value)
    shared = [problem for problem in first if problem in last]
    if not shared:
        return None
    return Difference(
        before=sum(first[p] for p in shared) / len(shared),
        after=sum(last[p] for p in shared) / len(shared),
        change=bootstrap_mean([last[p] - first[p] for p in shared]),
        problems=len(shared),
    )


def score_value(completion: Completion) -> float | None:
    """The score."""
    return completion.score


def token_value(completion: Completion) -> float | None:
    """The length in tokens."""
    return None if completion.tokens is None else float(completion.tokens)


def extra_value(name: str) -> Value:
    """A metric of the task, such as the search steps of countdown."""
    return lambda completion: completion.extra.get(name)


def finished_value(completion: Completion) -> float | None:
    """1.0 with a final answer, 0.0 without."""
    return None if completion.finished is None else float(completion.finished)


def _problem_means(evaluated: Evaluated, value: Value) -> dict[str, float]:
    means = {}
    for problem, completions in by_problem(evaluated.completions).items():
        known = mean([v for v in map(value, completions) if v is not None])
        if known is not None:
            means[problem] = known
    return means
