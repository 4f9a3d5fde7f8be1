"""The page: one file that loads nothing, and whose policy forbids that it ever does; and the files beside it."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

from trl_rlsp import __version__
from trl_rlsp.errors import ConfigError, MissingDependencyError
from trl_rlsp.evaluation import Chart, Estimate, can_draw, natural, save_plot, svg
from trl_rlsp.files import atomic_write
from trl_rlsp.report._browser import LIMIT, browser_data
from trl_rlsp.report._curves import effort_charts, training_curves
from trl_rlsp.report._warnings import RunWarning, find
from trl_rlsp.runs import Completion, Run, difference, step_metrics
from trl_rlsp.text import json_for_script, visible_text

PAGE_FILE, NUMBERS_FILE, PLOTS_FOLDER = "index.html", "report.json", "plots"
LABELS = {"pass_at_1": "accuracy (pass@1)", "tokens": "tokens", "finished": "finished"}
SHARES = ("pass", "maj", "finished", "share")


@dataclass(frozen=True)
class Contents:
    """All that the page shows, `plots` whether there are PNG plots beside it."""

    runs: Sequence[Run]
    warnings: Sequence[RunWarning]
    curves: Sequence[Chart]
    effort: Sequence[Chart]
    browser: dict[str, Any]
    plots: bool = False


def build(runs: Sequence[Run], *, limit: int = LIMIT, plots: bool = False) -> Contents:
    """Everything that the page shows of at least one run, at most `limit` completions.

    Raises:
        ConfigError: no run, two of one name, or a limit below 1.
    """
    names = [run.name for run in runs]
    if not names or len(set(names)) < len(names):
        raise ConfigError(f"a report needs one or more runs with different names, got {names}")
    if limit < 1:
        raise ConfigError(f"limit is the number of completions that the page holds, at least 1; got {limit}")
    steps = [step_metrics(run.completions) for run in runs]
    return Contents(
        runs=runs,
        warnings=[warning for run, metrics in zip(runs, steps, strict=True) for warning in find(run, metrics)],
        curves=training_curves(runs, steps),
        effort=effort_charts(runs),
        browser=browser_data(runs, limit=limit),
        plots=plots,
    )


def write(runs: Sequence[Run], folder: Path, *, limit: int = LIMIT, plots: bool | None = None) -> Contents:
    """Write `index.html`, `report.json` and `plots/*.png` of at least one run into a folder; return what was written.

    Args:
        runs: at least one.
        folder: made if it does not exist.
        limit: most completions that the page holds.
        plots: default: if matplotlib is installed.
    """
    contents = build(runs, limit=limit, plots=can_draw() if plots is None else plots)
    charts = [*contents.curves, *contents.effort]
    numbers = {
        "warnings": [asdict(warning) for warning in contents.warnings],
        "runs": [
            {
                "name": run.name,
                "evaluations": {e.name: {name: asdict(m) for name, m in e.metrics.items()} for e in run.evaluations},
                "completions_logged": len(run.completions),
                "missing": list(run.missing),
            }
            for run in runs
        ],
        "charts": {chart.key: asdict(chart) for chart in charts},
    }
    atomic_write(folder / PAGE_FILE, render(contents))
    atomic_write(folder / NUMBERS_FILE, json.dumps(numbers, indent=1) + "\n")
    for chart in charts if contents.plots else ():
        save_plot(chart, folder / PLOTS_FOLDER / f"{chart.key}.png")
    return contents


def render(contents: Contents) -> str:
    """The page as HTML; every text that comes from a run is escaped, and its hidden characters are shown."""
    try:
        from jinja2 import Environment
        from markupsafe import Markup
    except ImportError as error:
        raise MissingDependencyError("the report needs jinja2: pip install 'trl-rlsp[report]'") from error

    def finalize(value: Any) -> Any:
        return visible_text(value) if isinstance(value, str) and not isinstance(value, Markup) else value

    def drawn(charts: Sequence[Chart]) -> list[tuple[Chart, str]]:
        return [(chart, Markup(svg(chart)) if can_draw() else "") for chart in charts]

    style, script = asset("page.css"), asset("browser.js")
    shown = contents.browser if any(source["items"] for source in contents.browser["sources"]) else None
    page = Environment(autoescape=True, finalize=finalize).from_string(asset("page.html"))
    return page.render(
        title=" · ".join(run.name for run in contents.runs),
        policy=policy(script, style),
        style=Markup(style),
        script=Markup(script),
        several=len(contents.runs) > 1,
        warnings=contents.warnings,
        missing=[(run.name, text) for run in contents.runs for text in run.missing],
        headings=[LABELS.get(column, column.replace("_", " ")) for column in columns(contents.runs)],
        rows=rows(contents.runs),
        sections=[
            ("training", "Training", drawn(contents.curves)),
            ("effort", "Length, correctness and difficulty", drawn(contents.effort)),
        ],
        browser=Markup(json_for_script(shown)) if shown else None,
        plots=contents.plots,
        version=__version__,
    )


def asset(name: str) -> str:
    """The text of a file of the page."""
    return files("trl_rlsp.report").joinpath("assets", name).read_text(encoding="utf-8").strip()


def policy(script: str, style: str) -> str:
    """Content security policy: no network, no script and no style but these two."""
    hashed = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (script, style))
    allowed = "script-src 'sha256-{}'; style-src 'sha256-{}'".format(*hashed)
    return f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'"


@dataclass(frozen=True)
class Row:
    """A row of the before/after table: a model of a run or a difference, with a text or `""` for each column."""

    run: str
    name: str
    cells: Sequence[str]
    is_change: bool = False
    note: str = ""


def columns(runs: Sequence[Run]) -> list[str]:
    """Names of the metrics, the known ones first."""
    found = {name for run in runs for evaluated in run.evaluations for name in evaluated.metrics}
    found -= {"pass@1"}  # the accuracy, once more
    return [name for name in LABELS if name in found] + sorted(found - LABELS.keys(), key=natural)


def rows(runs: Sequence[Run]) -> list[Row]:
    """Rows of every run; under each with several evaluations, last minus first and last minus the one before it."""
    names, found = columns(runs), []
    for run in runs:
        for e in run.evaluations:
            problems, unscored = {c.problem for c in e.completions}, sum(c.score is None for c in e.completions)
            note = f"{len(problems)} problems, {len(e.completions)} completions"
            note += f", {unscored} not scorable" if unscored else ""
            found.append(Row(run.name, e.name, [_cell(name, e.metrics.get(name)) for name in names], note=note))
        for i in dict.fromkeys((0, len(run.evaluations) - 2)) if len(run.evaluations) > 1 else ():
            before, last = run.evaluations[i], run.evaluations[-1]
            paired = [difference(before, last, partial(_value, name)) for name in names]
            if any(paired):
                changes = [d.difference if d else None for d in paired]
                cells = [_cell(name, change, signed=True) for name, change in zip(names, changes, strict=True)]
                note = f"the same {max(d.problems for d in paired if d)} problems"
                found.append(Row(run.name, f"{last.name} − {before.name}", cells, is_change=True, note=note))
    return found


def _value(metric: str, completion: Completion) -> float | None:
    known = {"pass_at_1": completion.score, "tokens": completion.tokens, "finished": completion.finished}
    return known[metric] if metric in known else completion.extra.get(metric)


def _cell(name: str, estimate: Estimate | None, *, signed: bool = False) -> str:
    scale, unit = (100, " points" if signed else " %") if name.startswith(SHARES) else (1, "")
    return estimate.number(scale, unit, "+" if signed else "").replace("-", "−") if estimate else ""
