"""Two evaluations on the same problems: the difference, problem by problem."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from trl_rlsp.evaluation.bootstrap import Estimate, bootstrap_mean
from trl_rlsp.runs.run import Completion, Evaluated, by_problem, mean

Value = Callable[[Completion], float | None]


@dataclass(frozen=True)
class Difference:
    """A figure of two models on the problems that both have.

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
    """Paired difference of a figure; `None` on different problem sets, or where no problem has the figure in both."""
    if before.problem_set != after.problem_set:
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


def steps_value(completion: Completion) -> float | None:
    """The attempts of a written-out search."""
    return None if completion.search_steps is None else float(completion.search_steps)


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
