"""Accuracy against tokens, as a figure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from trl_rlsp.errors import MissingDependencyError
from trl_rlsp.evaluation.budget.curve import Curve, Point

STYLES = {"at most": "-", "forced": "--"}


def plot_curves(curves: Mapping[str, Curve], path: Path) -> None:
    """Write a PNG: one line a model and mode, bars for the 95 % intervals, a cross where there is no budget.

    Args:
        curves: model name -> its points.
        path: where to write.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    require_matplotlib()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for number, (name, curve) in enumerate(curves.items()):
        for mode, style in STYLES.items():
            points = [point for point in curve.points if point.mode == mode]
            if points:
                _draw(axes, points, f"{name}, {mode}", f"C{number}", f"o{style}")
        free = [point for point in curve.points if point.mode == "free"]
        if free:
            _draw(axes, free, f"{name}, no budget", f"C{number}", "X")
    axes.set_xlabel("completion tokens (mean)")
    axes.set_ylabel("accuracy, %")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=150)


def require_matplotlib() -> None:
    """Say how to get matplotlib before anything is computed.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError("the figure needs matplotlib: pip install 'trl-rlsp[report]'") from error


def _draw(axes: object, points: list[Point], label: str, colour: str, style: str) -> None:
    accuracy = [point.figures.pass_at_1 for point in points]
    axes.errorbar(  # type: ignore[attr-defined]
        [point.figures.tokens.mean for point in points],
        [100 * estimate.mean for estimate in accuracy],
        yerr=[
            [100 * (estimate.mean - estimate.low) for estimate in accuracy],
            [100 * (estimate.high - estimate.mean) for estimate in accuracy],
        ],
        fmt=style,
        color=colour,
        capsize=3,
        label=label,
    )
