"""The charts as PNG files, for slides and papers."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from trl_rlsp.report.chart import Chart, Line, smoothed
from trl_rlsp.report.svg import MANY
from trl_rlsp.text.visible import visible_text


def can_plot() -> bool:
    """Whether matplotlib is installed (`pip install 'trl-rlsp[report]'`)."""
    return find_spec("matplotlib") is not None


def save_plots(charts: Sequence[Chart], folder: Path) -> list[Path]:
    """Write each chart to `folder/KEY.png`.

    Args:
        charts: what to draw.
        folder: made if it does not exist.

    Returns:
        The files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return [_save(chart, folder / f"{chart.key}.png") for chart in charts]


def _save(chart: Chart, path: Path) -> Path:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for number, line in enumerate(chart.lines):
        _draw(axes, chart, line, number)
    axes.set_title(_plain(chart.title), loc="left", fontsize=11)
    axes.set_xlabel(_plain(chart.x_label))
    axes.grid(axis="y", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    if chart.percent:
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    if chart.categories:
        axes.set_xticks(range(len(chart.categories)), [_plain(name) for name in chart.categories])
    if len(chart.lines) > 1:
        axes.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=150)
    return path


def _draw(axes: Any, chart: Chart, line: Line, number: int) -> None:
    colour, name = f"C{number % 10}", _plain(line.name)
    shift = (number - (len(chart.lines) - 1) / 2) * 0.08 if chart.categories else 0.0
    xs = [x + shift for x in line.x]
    ys = [float("nan") if y is None else y for y in line.y]
    if line.low and line.high:
        spread = [
            [0.0 if end is None or y is None else abs(y - end) for y, end in zip(line.y, ends, strict=True)]
            for ends in (line.low, line.high)
        ]
        axes.errorbar(xs, ys, yerr=spread, color=colour, marker="o", markersize=4, label=name)
    elif len(ys) >= MANY:
        mean = smoothed(line.y, max(3, len(ys) // 12 | 1))
        axes.plot(xs, ys, color=colour, alpha=0.3, linewidth=1)
        axes.plot(xs, [float("nan") if y is None else y for y in mean], color=colour, label=name)
    else:
        axes.plot(xs, ys, color=colour, marker="o", markersize=3, label=name)


def _plain(text: str) -> str:
    """Text without mathematics: `$` is an ordinary character in a run's name."""
    return visible_text(text).replace("$", r"\$")
