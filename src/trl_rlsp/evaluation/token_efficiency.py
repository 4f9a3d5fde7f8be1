"""Accuracy for tokens spent: a model that searches in one completion against majority votes of one that does not.

The paper compares RLSP with self-consistency of the base model at the same token budget (2502.06773, section 4).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trl_rlsp.errors import DataError
from trl_rlsp.evaluation.bootstrap import Estimate, bootstrap_mean
from trl_rlsp.evaluation.metrics import ScoredSample, by_problem
from trl_rlsp.evaluation.pass_at_k import majority_curve


@dataclass(frozen=True)
class Point:
    """A majority vote of k completions a problem.

    Attributes:
        k: completions that vote; one is plain sampling.
        tokens: completion tokens a problem, k times the mean of one completion.
        accuracy: maj@k, with a 95 % bootstrap interval over problems.
        left_out: problems whose maj@k is not known.
    """

    k: int
    tokens: Estimate
    accuracy: Estimate
    left_out: int


@dataclass(frozen=True)
class Equal:
    """Two models at one budget of tokens.

    Attributes:
        point: the model that sets the budget.
        rival: the largest vote of the other that costs no more; `None` where one completion already costs more.
    """

    point: Point
    rival: Point | None


def efficiency_curve(samples: Sequence[ScoredSample]) -> list[Point]:
    """maj@k against tokens, for k = 1..n.

    Args:
        samples: n scored completions of each problem, with the keys of their answers.

    Returns:
        One point for each k for which maj@k is known for some problem.

    Raises:
        DataError: no samples, or not equally many of each problem.
    """
    groups = list(by_problem(samples).values())
    sizes = sorted({len(group) for group in groups})
    if len(sizes) != 1:
        raise DataError(f"every problem has the same number of samples, got {sizes}: finish the evaluation")
    tokens = [sum(s.tokens for s in group) / len(group) for group in groups]
    curves = [majority_curve([s.answer for s in group], [s.score for s in group]) for group in groups]
    points = []
    for k in range(1, sizes[0] + 1):
        known = [curve[k - 1] for curve in curves]
        values = [value for value in known if value is not None]
        if values:
            spent = bootstrap_mean([k * count for count in tokens])
            points.append(Point(k, spent, bootstrap_mean(values), len(known) - len(values)))
    return points


def equal_budget(curve: Sequence[Point], rival: Sequence[Point]) -> list[Equal]:
    """Each point of a curve with the best that the rival can do for no more tokens.

    Args:
        curve: points of the model that sets the budgets.
        rival: points of the other model.
    """

    def affordable(budget: float) -> Point | None:
        within = [point for point in rival if point.tokens.mean <= budget]
        return max(within, key=lambda point: point.k, default=None)

    return [Equal(point, affordable(point.tokens.mean)) for point in curve]


def plot_curves(curves: Mapping[str, Sequence[Point]], path: Path) -> None:
    """Draw accuracy against tokens, a line with its 95 % band a model, as PNG.

    Args:
        curves: model -> its points.
        path: the file.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for name, points in curves.items():
        tokens = [point.tokens.mean for point in points]
        low, mean, high = ([100 * getattr(p.accuracy, part) for p in points] for part in ("low", "mean", "high"))
        (line,) = axes.plot(tokens, mean, marker="o", markersize=4, label=name)
        axes.fill_between(tokens, low, high, color=line.get_color(), alpha=0.15)
        if len(points) == 1:  # a band of one point has no width
            axes.errorbar(tokens, mean, [[mean[0] - low[0]], [high[0] - mean[0]]], color=line.get_color(), capsize=3)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("completion tokens per problem (k completions)")
    axes.set_ylabel("accuracy of the majority, %")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=150)
