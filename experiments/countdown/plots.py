"""PNG figures from the results file: learning curves, accuracy by arm, effort against difficulty."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trl_rlsp.errors import MissingDependencyError

if TYPE_CHECKING:
    from countdown.grid import Grid

CURVES = {"accuracy": "accuracy on training batches", "length": "completion tokens"}
PLOTS = ("learning.png", "accuracy.png", "effort.png", "pass_at_k.png")


def write_plots(grid: Grid) -> None:
    """Write the figures of the results file beside it; nothing without results.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    if not grid.results_file.is_file():
        return
    try:
        import matplotlib
    except ImportError as error:
        raise MissingDependencyError("plots need matplotlib: pip install -e '.[report]'") from error
    matplotlib.use("Agg")
    found = json.loads(grid.results_file.read_text(encoding="utf-8"))
    if found["summary"]:
        _learning(found, grid)
        _accuracy(found, grid)
        _effort(found, grid)
        if found.get("pass_at_k"):
            _pass_at_k(found, grid)


def plot_file(grid: Grid, name: str) -> Any:
    """Where a figure lies: beside the report, with the experiment's name in front."""
    return grid.report_file.with_name(f"{grid.name}_{name}")


def _save(figure: Any, grid: Grid, name: str) -> None:
    import matplotlib.pyplot as plt

    figure.savefig(plot_file(grid, name), dpi=90, bbox_inches="tight", metadata={"Software": None})
    plt.close(figure)


def on_common_tokens(
    curves: Sequence[tuple[Sequence[float], Sequence[float | None]]], points: int = 25, window: int = 3
) -> tuple[np.ndarray, np.ndarray]:
    """Curves of several seeds on one axis of sampled tokens, each a running mean over `window` steps.

    Returns:
        tokens_T and values_ST; the axis ends where the shortest curve does.
    """
    known = [[(t, v) for t, v in zip(*curve, strict=True) if v is not None] for curve in curves]
    known = [pairs for pairs in known if pairs]
    axis = np.linspace(max(p[0][0] for p in known), min(p[-1][0] for p in known), points)
    rows = []
    for pairs in known:
        tokens, values = np.array(pairs, dtype=float).T
        smooth = [values[max(0, i - window + 1) : i + 1].mean() for i in range(len(values))]
        rows.append(np.interp(axis, tokens, smooth))
    return axis, np.array(rows)


def _learning(found: dict[str, Any], grid: Grid) -> None:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(10, 3.8))
    for axis, (metric, label) in zip(axes, CURVES.items(), strict=True):
        for arm in found["summary"]:
            own = [run["curve"] for run in found["runs"] if run["arm"] == arm and run["curve"].get("tokens")]
            if not own:
                continue
            tokens_T, values_ST = on_common_tokens([(curve["tokens"], curve[metric]) for curve in own])
            (line,) = axis.plot(tokens_T / 1000, values_ST.mean(axis=0), label=arm, linewidth=1.3)
            low, high = values_ST.min(axis=0), values_ST.max(axis=0)
            axis.fill_between(tokens_T / 1000, low, high, color=line.get_color(), alpha=0.12, linewidth=0)
        axis.set(xlabel="thousand sampled tokens", ylabel=label)
    if axes[0].lines:
        axes[0].legend(fontsize=7)
    figure.suptitle("Mean over seeds (running mean of 3 steps); bands from the lowest to the highest seed", fontsize=9)
    _save(figure, grid, PLOTS[0])


def _accuracy(found: dict[str, Any], grid: Grid) -> None:
    import matplotlib.pyplot as plt

    arms = list(found["summary"])
    figure, axis = plt.subplots(figsize=(7, 0.45 * len(arms) + 1.2))
    for place, metric in enumerate(("pass_at_1", "maj_at_8", "pass_at_8")):
        ends = np.array([found["summary"][arm][metric] for arm in arms])
        errors = np.abs(ends[:, 1:].T - ends[:, 0])
        rows = np.arange(len(arms)) + 0.18 * (place - 1)
        axis.errorbar(ends[:, 0], rows, xerr=errors, fmt="o", markersize=4, capsize=2, label=metric)
    axis.set_yticks(range(len(arms)), arms)
    axis.invert_yaxis()
    axis.set_xlabel("test problems solved, 95 % intervals over seeds and problems")
    axis.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
    _save(figure, grid, PLOTS[1])


def _effort(found: dict[str, Any], grid: Grid) -> None:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(10, 3.8))
    difficulty = found["difficulty"]["mean_difficulty"]
    for axis, metric, label in zip(axes, ("search_steps", "pass_at_1"), ("search steps", "pass@1"), strict=True):
        for arm in found["summary"]:
            axis.plot(difficulty, found["difficulty"][arm][metric], marker=".", linewidth=1.3, label=arm)
        axis.set(xlabel=grid.module().DIFFICULTY, ylabel=label)
    axes[0].legend(fontsize=7)
    _save(figure, grid, PLOTS[2])


def _pass_at_k(found: dict[str, Any], grid: Grid) -> None:
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(6, 3.8))
    for arm, own in found["pass_at_k"].items():
        ends = np.array(list(own["pass_at"].values()))
        (line,) = axis.plot(list(map(int, own["pass_at"])), ends[:, 0], marker=".", linewidth=1.3, label=arm)
        axis.fill_between(list(map(int, own["pass_at"])), *ends[:, 1:].T, color=line.get_color(), alpha=0.12)
    axis.set_xscale("log", base=2)
    axis.set(xlabel="k", ylabel="pass@k, 95 % intervals", ylim=(-0.02, 1.02))
    axis.legend(fontsize=7)
    _save(figure, grid, PLOTS[3])
