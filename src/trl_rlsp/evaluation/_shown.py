"""Evaluations as terminal and Markdown tables; charts as data, drawn by matplotlib as PNG or SVG."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Column, Table

from trl_rlsp.evaluation._compare import Comparison, Vote, equal_budget
from trl_rlsp.evaluation._metrics import Estimate, Evaluation, default_ks
from trl_rlsp.evaluation._store import read_lines
from trl_rlsp.text import visible_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INTERVALS = "95 % bootstrap intervals over problems"
Rows = Sequence[Sequence[str]]  # cells of a table; the first row has the column names
COLORS = ("#1f5fae", "#c2571a", "#1d8564", "#a13f86", "#8a6d0b", "#4a7fa8", "#b23a48", "#55606b")
"""The light colors `--c0` to `--c7` of the report's style sheet, which has others for dark mode."""

_INK, _GRID = "#5b636d", "#e8e6df"
_MANY = 30  # a line with at least this many points is drawn faint under its moving average
_THEMED = {color: f"var(--c{i})" for i, color in enumerate(COLORS)} | {_INK: "var(--soft)", _GRID: "var(--grid)"}


def terminal_table(rows: Rows, **options: Any) -> Table:
    """A terminal table with the first column aligned left and the others right."""
    table = Table(rows[0][0], *(Column(name, justify="right") for name in rows[0][1:]), **options)
    for row in rows[1:]:
        table.add_row(*row)
    return table


def markdown_rows(rows: Rows, *, left: int = 1) -> str:
    """A Markdown table; the first `left` columns are aligned left, the others right."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|" + "---|" * left + "---:|" * (len(rows[0]) - left))
    return "\n".join(lines)


def table_rows(results: Mapping[str, Evaluation]) -> list[tuple[str, ...]]:
    """The column names, then one row per model; pass@k and maj@k are for the largest k that every result has."""
    k = max(set.intersection(*({*r.pass_at} & {*r.maj_at} for r in results.values())), default=None)
    own = list(dict.fromkeys(name for result in results.values() for name in result.task_metrics))
    votes = () if k is None else (f"pass@{k}", f"maj@{k}")
    named = (name.replace("_", " ") for name in own)
    rows: list[tuple[str, ...]] = [("model", "accuracy (pass@1)", *votes, "completion tokens", *named, "finished")]
    for name, r in results.items():
        shared = () if k is None else (r.pass_at[k].percent(), r.maj_at[k].percent())
        measured = (r.task_metrics[metric].number() if metric in r.task_metrics else "" for metric in own)
        rows.append((name, r.pass_at_1.percent(), *shared, r.tokens.number(), *measured, r.finished.percent()))
    return rows


def note(results: Mapping[str, Evaluation]) -> str:
    """A caption: the number of problems and completions, the kind of interval, and what could not be scored."""
    first, *_ = results.values()
    skipped = sum(result.not_scorable for result in results.values())
    parts = [f"{first.problems} problems x {first.samples} completions", INTERVALS]
    parts += [f"{skipped} completions not scorable"] if skipped else []
    parts += [f"{name}: {f} without {c} problems" for name, r in results.items() for f, c in r.left_out.items()]
    return "; ".join(parts)


def evaluation_table(results: Mapping[str, Evaluation]) -> Table:
    """The metrics of each model, for the terminal."""
    return terminal_table(table_rows(results), caption=note(results))


def markdown_table(results: Mapping[str, Evaluation]) -> str:
    """The same table in Markdown."""
    return f"{markdown_rows(table_rows(results))}\n\n{note(results)}.\n"


def slice_tables(result: Evaluation) -> list[Table]:
    """A table by level and one by subject, each only if the problems have more than one."""
    tables = []
    for name, slices in (("level", result.levels), ("subject", result.subjects)):
        rows = [(name, "problems", "accuracy (pass@1)", "completion tokens", "finished")]
        for label, part in slices.items():
            accuracy = "not scorable" if part.pass_at_1 is None else part.pass_at_1.percent()
            rows.append((label, str(part.problems), accuracy, part.tokens.number(), part.finished.percent()))
        if len(slices) > 1:
            tables.append(terminal_table(rows))
    return tables


def curve_tables(result: Evaluation) -> list[Table]:
    """pass@k and maj@k for each k, and Cover@tau for each tau; nothing if each problem has one completion."""
    if result.samples == 1:
        return []
    rows: list[tuple[str, ...]] = [("k", "pass@k", "maj@k")]
    for k in sorted({*result.pass_at, *result.maj_at}):
        rows.append((str(k), *(at_k[k].percent() if k in at_k else "" for at_k in (result.pass_at, result.maj_at))))
    covers = [("tau", "Cover@tau"), *((f"{tau:.3g}", cover.percent()) for tau, cover in result.cover_at.items())]
    caption = "Cover@tau: share of problems of which at least a share tau of the completions is right"
    return [terminal_table(rows), terminal_table(covers, caption=caption)]


def comparison_tables(comparisons: Sequence[Comparison]) -> list[Table]:
    """Models side by side with their paired differences (in a second table for more than two models), and the problems
    that only one of two models solves.
    """
    names = list(dict.fromkeys(name for pair in comparisons for name in (pair.first, pair.second)))
    values, changes = [["", *names]], [["", *(f"{pair.second} − {pair.first}" for pair in comparisons), "left out"]]
    if len(comparisons) == 1:
        changes[0][1] = "difference"
    for name, entry in comparisons[0].metrics.items():
        means = {pair.second: pair.metrics[name].second for pair in comparisons} | {names[0]: entry.first}
        values.append([name, *(_value(name, means[model]) for model in names)])
        changes.append([name, *(_change(name, pair) for pair in comparisons), str(entry.left_out or "")])
    caption = f"{max(d.problems for d in comparisons[0].metrics.values())} problems, paired; {INTERVALS}"
    about = "differences of shares in points; * the interval excludes 0; × another model is ahead than before"
    if len(comparisons) == 1:
        values, caption = (
            [[*row, *change[1:]] for row, change in zip(values, changes, strict=True)],
            f"{caption}; {about}",
        )
    tables = [terminal_table(values, caption=caption)]
    if len(comparisons) > 1:
        tables.append(terminal_table(changes, caption=about))
    return [*tables, terminal_table(unsolved_rows(comparisons), caption=UNSOLVED)]


def _value(name: str, estimate: Estimate) -> str:
    return estimate.number() if name == "tokens" else estimate.percent()


def _change(name: str, pair: Comparison) -> str:
    """A difference; marked if its interval excludes 0, and where the pass@k curves cross."""
    metric, crossing = pair.metrics[name], pair.crossing
    crosses = crossing is not None and name == f"pass@{crossing.k}"
    return _value(name, metric.difference) + " *" * metric.clear + " ×" * crosses


def crossing_text(pair: Comparison) -> str:
    """A sentence on where the pass@k curves of two models cross; `""` if they do not."""
    if (crossing := pair.crossing) is None:
        return ""
    ahead, behind = (pair.second, pair.first) if crossing.rises else (pair.first, pair.second)
    now = pair.curve[crossing.k]
    shown, before = (found.difference.number(100, sign="+") for found in (now, pair.curve[crossing.before]))
    known = "the interval excludes 0" if now.clear else "not clear, as the interval includes 0"
    changed = f"{behind} is ahead at k = {crossing.before} and {ahead} at k = {crossing.k}"
    return f"pass@k crosses: {changed}; {pair.second} − {pair.first} is {before}, then {shown} points ({known})."


UNSOLVED = "solve rate at most: of each problem before sampling, one-sided 95 %; expected: by leaving one sample out"
"""The caption of a table of `unsolved_rows`."""


def unsolved_rows(compared: Sequence[Comparison]) -> list[tuple[str, ...]]:
    """The column names, then two rows for each pair: newly solved and lost problems."""
    rows: list[tuple[str, ...]] = [("", "problems", "solve rate at most", "expected", "solved", "pass@1", "pass@k")]
    sides = [("newly solved", pair.first, pair.second, pair.newly_solved) for pair in compared]
    lost = [("lost", pair.second, pair.first, pair.lost) for pair in compared]
    for what, one, other, unsolved in (side for both in zip(sides, lost, strict=True) for side in both):
        *_, (k, last) = unsolved.pass_at.items() or [(1, None)]
        first = unsolved.pass_at.get(1)
        cells = [f"{what}: {other} where {one} has 0 of {unsolved.samples}", f"{unsolved.problems} of {unsolved.known}"]
        cells += [_small(unsolved.upper_bound), "" if unsolved.expected is None else _small(unsolved.expected)]
        cells += [str(unsolved.solved), first.percent() if first else "", f"{last.percent()} (k = {k})" if last else ""]
        rows.append((*cells,))
    return rows


def _small(share: float) -> str:
    return f"{100 * share:.2g} %"


def efficiency_tables(curves: Mapping[str, Sequence[Vote]]) -> list[Table]:
    """Accuracy and tokens of each model's votes for some k; then every other model at the budgets of the last one."""
    shown = {name: [v for v in votes if v.k in default_ks(votes[-1].k)] for name, votes in curves.items()}
    rows: list[tuple[str, ...]] = [("model", "k", "tokens per problem", "accuracy (maj@k)", "left out")]
    for name, votes in shown.items():
        rows += [(name, str(v.k), v.tokens.number(), v.accuracy.percent(), str(v.left_out or "")) for v in votes]
    tables = [terminal_table(rows, caption=INTERVALS)]
    *rivals, last = curves
    for rival in rivals:
        rows = [(f"{last}: k", "tokens", "accuracy", f"{rival}: k", "tokens", "accuracy")]
        for vote in shown[last]:
            both = (vote, equal_budget(vote, curves[rival]))
            cells = [(str(v.k), f"{v.tokens.mean:.1f}", v.accuracy.percent()) if v else ("none", "", "") for v in both]
            rows.append((*cells[0], *cells[1]))
        tables.append(terminal_table(rows, caption=f"equal budget: the largest vote of {rival} for no more tokens"))
    return tables


def plot_efficiency(curves: Mapping[str, Sequence[Vote]], path: Path) -> None:
    """Write a PNG plot of the accuracy of votes against their tokens, with one line per model."""
    lines = [
        estimates_line(name, [v.tokens.mean for v in votes], [v.accuracy for v in votes])
        for name, votes in curves.items()
    ]
    x_label = "completion tokens per problem (k completions)"
    save_plot(Chart("efficiency", "Accuracy of the majority", x_label, lines, percent=True, doubling=True), path)


def first_samples(folder: Path) -> dict[int, dict]:
    """Problem -> its first sample, as stored by an evaluation."""
    samples: dict[int, dict] = {}
    for line in read_lines(folder):
        samples.setdefault(line["problem"], line)
    return samples


@dataclass(frozen=True)
class Line:
    """One line of a chart: a value or `None` at each x and, where known, the ends of its 95 % interval."""

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
        title: the quantity on the y axis, with its unit.
        categories: names of x = 0, 1, ...; empty for a numeric x.
        doubling: whether x has a logarithmic scale of base 2.
        bands: whether intervals are drawn as bands along the lines, and not as bars at the points.
        marks: values of x with a dotted line and a cross above it.
    """

    key: str
    title: str
    x_label: str
    lines: Sequence[Line]
    note: str = ""
    percent: bool = False
    categories: Sequence[str] = ()
    doubling: bool = False
    bands: bool = False
    marks: Sequence[float] = ()


def can_draw() -> bool:
    """Whether matplotlib is installed (`pip install 'trl-rlsp[report]'`)."""
    return find_spec("matplotlib") is not None


def svg(chart: Chart) -> str:
    """The chart as one `<svg>` element in the page's colors, without style attributes, which its policy forbids."""
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


def estimates_line(name: str, x: Sequence[float], estimates: Sequence[Estimate | None]) -> Line:
    """A line of means with their intervals."""
    ends = ([getattr(estimate, end, None) for estimate in estimates] for end in ("mean", "low", "high"))
    return Line(name, x, *ends)


def save_plot(chart: Chart, path: Path) -> None:
    """Write a chart as PNG; creates the folder if needed."""
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
    for mark in chart.marks:
        axes.axvline(mark, color=_INK, linestyle=":", linewidth=1)
        axes.text(mark, 1, "×", transform=axes.get_xaxis_transform(), ha="center", color=_INK)
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
        if chart.bands:
            axes.fill_between(x, *ends, alpha=0.15, linewidth=0, color=style["color"])
            axes.plot(x, y, marker="o", markersize=3, label=name, **style)
            return
        axes.errorbar(x, y, yerr=np.nan_to_num(abs(ends - y)), marker="o", markersize=4, label=name, **style)
    elif there.sum() >= _MANY:
        axes.plot(x, y, alpha=0.3, linewidth=1, **style)
        width = len(y) // 12 | 1
        means = np.convolve(y[there], np.full(width, 1 / width), mode="valid")
        axes.plot(x[there][width // 2 :][: len(means)], means, label=name, **style)
    else:
        axes.plot(x, y, marker="o", markersize=3, label=name, **style)


def _plain(text: str) -> str:
    """Text in which matplotlib shows `$` as an ordinary character."""
    return visible_text(text).replace("$", r"\$")
