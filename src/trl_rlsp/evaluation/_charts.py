"""Charts as data, drawn by matplotlib: as PNG, and as SVG inside the page of a report."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trl_rlsp.evaluation._metrics import Estimate
from trl_rlsp.text import visible_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLORS = ("#1f5fae", "#c2571a", "#1d8564", "#a13f86", "#8a6d0b", "#4a7fa8", "#b23a48", "#55606b")
"""Those of the report's style sheet, `--c0` to `--c7`, which has others for dark paper."""

_INK, _GRID = "#5b636d", "#e8e6df"
_MANY = 30  # from this many points on, a line is drawn faint with its moving average over it
_THEMED = {color: f"var(--c{i})" for i, color in enumerate(COLORS)} | {_INK: "var(--soft)", _GRID: "var(--grid)"}


@dataclass(frozen=True)
class Line:
    """At each x a value or `None`, and where they are known the ends of its 95 % interval."""

    name: str
    x: Sequence[float]
    y: Sequence[float | None]
    low: Sequence[float | None] = ()
    high: Sequence[float | None] = ()


@dataclass(frozen=True)
class Chart:
    """A chart.

    Attributes:
        key: file name of its PNG and name in `report.json`.
        title: what is drawn, with its unit.
        categories: names of the places 0, 1, ...; empty for a numeric x.
        doubling: each step along x is twice the one before.
    """

    key: str
    title: str
    x_label: str
    lines: Sequence[Line]
    note: str = ""
    percent: bool = False
    categories: Sequence[str] = ()
    doubling: bool = False


def can_draw() -> bool:
    """Whether matplotlib is installed (`pip install 'trl-rlsp[report]'`)."""
    return find_spec("matplotlib") is not None


def svg(chart: Chart) -> str:
    """The chart as one `<svg>` element, without the style attributes that the page's policy forbids, in its colors."""
    from matplotlib import rc_context

    def attributes(style: re.Match[str]) -> str:
        declared = re.findall(r"\s*([a-z-]+)\s*:\s*([^;]+)", style[1])
        return "".join(f' {name}="{value.strip()}"' for name, value in declared if name != "font-family")

    file = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": chart.key, "svg.id": chart.key}):
        _figure(chart, legend=False).savefig(file, format="svg", transparent=True, metadata={"Date": None})
    drawn = file.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    drawn = re.sub(r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>|<!--.*?-->", "", drawn, flags=re.DOTALL)
    for size in ("height", "width"):
        drawn = re.sub(rf'(<svg[^>]*?) {size}="[^"]*"', r"\1", drawn, count=1)
    drawn = re.sub(r' style="([^"]*)"', attributes, drawn)
    return re.sub("|".join(_THEMED), lambda found: _THEMED[found[0]], drawn).strip()


def tokens_line(name: str, points: Sequence[tuple[Estimate, Estimate]]) -> Line:
    """Accuracy against tokens, of which the points are pairs."""
    low, mean, high = ([getattr(accuracy, part) for _, accuracy in points] for part in ("low", "mean", "high"))
    return Line(name, [tokens.mean for tokens, _ in points], mean, low, high)


def save_plot(chart: Chart, path: Path) -> None:
    """Write a chart as PNG; makes the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _figure(chart).savefig(path, dpi=150)


def _figure(chart: Chart, *, legend: bool = True) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    figure = Figure(figsize=(5.0, 2.9), layout="constrained")
    axes = figure.add_subplot()
    for number, line in enumerate(chart.lines):
        _draw(axes, chart, line, number)
    axes.set_xlabel(_plain(chart.x_label), color=_INK)
    axes.grid(axis="y", color=_GRID)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["bottom", "left"]].set_color(_GRID)
    axes.tick_params(color=_GRID, labelcolor=_INK)
    if chart.percent:
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    if chart.categories:
        axes.set_xticks(range(len(chart.categories)), [_plain(name) for name in chart.categories])
    if chart.doubling:
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter("{x:g}")
    if legend:
        axes.set_title(_plain(chart.title), loc="left", fontsize=11)
        if len(chart.lines) > 1:
            axes.legend(frameon=False, fontsize=8)
    return figure


def _draw(axes: Any, chart: Chart, line: Line, number: int) -> None:
    import numpy as np

    style: dict[str, Any] = {"color": COLORS[number % len(COLORS)], "linestyle": "--" if number >= len(COLORS) else "-"}
    shift = (number - (len(chart.lines) - 1) / 2) * 0.08 if chart.categories else 0.0
    x, y, name = np.asarray(line.x) + shift, np.asarray(line.y, dtype=float), _plain(line.name)  # None is nan
    there = ~np.isnan(y)
    if line.low and line.high:
        ends = np.asarray([line.low, line.high], dtype=float)
        axes.errorbar(x, y, yerr=np.nan_to_num(abs(ends - y)), marker="o", markersize=4, label=name, **style)
    elif there.sum() >= _MANY:
        axes.plot(x, y, alpha=0.3, linewidth=1, **style)
        width = len(y) // 12 | 1
        means = np.convolve(y[there], np.full(width, 1 / width), mode="valid")
        axes.plot(x[there][width // 2 :][: len(means)], means, label=name, **style)
    else:
        axes.plot(x, y, marker="o", markersize=3, label=name, **style)


def _plain(text: str) -> str:
    """Text without mathematics: `$` is an ordinary character in a run's name."""
    return visible_text(text).replace("$", r"\$")
