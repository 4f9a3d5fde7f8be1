"""From runs to files: `index.html`, `report.json` and `plots/*.png`."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from trl_rlsp import __version__
from trl_rlsp.errors import ConfigError, MissingDependencyError
from trl_rlsp.evaluation import Estimate
from trl_rlsp.files import atomic_write
from trl_rlsp.report._browser import LIMIT, browser_data
from trl_rlsp.report._charts import Chart, can_draw, save_plots, svg
from trl_rlsp.report._curves import effort_charts, training_curves
from trl_rlsp.report._warnings import (
    RunWarning,
    Value,
    difference,
    extra_value,
    find,
    finished_value,
    score_value,
    token_value,
)
from trl_rlsp.runs import Evaluated, Run, natural, step_metrics
from trl_rlsp.text import json_for_script, visible_text

PAGE_FILE, NUMBERS_FILE, PLOTS_FOLDER = "index.html", "report.json", "plots"


def build(runs: Sequence[Run], *, limit: int = LIMIT, plots: bool = False) -> Contents:
    """Everything that the page shows.

    Args:
        runs: at least one.
        limit: most completions that the page holds.
        plots: there will be PNG plots beside it.

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
    """Write the report.

    Args:
        runs: at least one.
        folder: made if it does not exist.
        limit: most completions that the page holds.
        plots: write PNG plots; default: if matplotlib is installed.

    Returns:
        What was written.
    """
    contents = build(runs, limit=limit, plots=can_draw() if plots is None else plots)
    atomic_write(folder / PAGE_FILE, render(contents))
    atomic_write(folder / NUMBERS_FILE, json.dumps(numbers(contents), indent=1) + "\n")
    if contents.plots:
        save_plots([*contents.curves, *contents.effort], folder / PLOTS_FOLDER)
    return contents


def numbers(contents: Contents) -> dict[str, Any]:
    """The report's numbers as JSON values: warnings, evaluations, and the points of every chart."""
    return {
        "warnings": [asdict(warning) for warning in contents.warnings],
        "runs": [
            {
                "name": run.name,
                "evaluations": {
                    evaluated.name: {name: asdict(estimate) for name, estimate in evaluated.metrics.items()}
                    for evaluated in run.evaluations
                },
                "completions_logged": len(run.completions),
                "missing": list(run.missing),
            }
            for run in contents.runs
        ],
        "charts": {chart.key: asdict(chart) for chart in [*contents.curves, *contents.effort]},
    }


@dataclass(frozen=True)
class Contents:
    """All that the page shows.

    Attributes:
        runs: R runs, in the order in which they are shown.
        warnings: of all runs.
        curves: charts over training steps.
        effort: charts of length, correctness and difficulty.
        browser: data of the browser of completions.
        plots: there are PNG plots beside the page.
    """

    runs: Sequence[Run]
    warnings: Sequence[RunWarning]
    curves: Sequence[Chart]
    effort: Sequence[Chart]
    browser: dict[str, Any]
    plots: bool = False

    @property
    def title(self) -> str:
        """The names of the runs."""
        return " · ".join(run.name for run in self.runs)


def render(contents: Contents) -> str:
    """The page as HTML; every text that comes from a run is escaped, and its hidden characters are shown.

    Raises:
        MissingDependencyError: jinja2 is not installed.
    """
    try:
        from jinja2 import Environment
        from markupsafe import Markup
    except ImportError as error:
        raise MissingDependencyError("the report needs jinja2: pip install 'trl-rlsp[report]'") from error

    def finalize(value: Any) -> Any:
        return visible_text(value) if isinstance(value, str) and not isinstance(value, Markup) else value

    environment = Environment(autoescape=True, finalize=finalize)
    style, script = asset("page.css"), asset("browser.js")
    drawn = can_draw()
    shown = contents.browser if any(source["items"] for source in contents.browser["sources"]) else None
    return environment.from_string(asset("page.html")).render(
        title=contents.title,
        policy=policy(script, style),
        style=Markup(style),
        script=Markup(script),
        several=len(contents.runs) > 1,
        warnings=contents.warnings,
        missing=[(run.name, text) for run in contents.runs for text in run.missing],
        headings=[label(column) for column in columns(contents.runs)],
        rows=rows(contents.runs),
        drawn=drawn,
        curves=[(chart, Markup(svg(chart)) if drawn else "") for chart in contents.curves],
        effort=[(chart, Markup(svg(chart)) if drawn else "") for chart in contents.effort],
        browser=Markup(json_for_script(shown)) if shown else None,
        plots=contents.plots,
        version=__version__,
    )


def asset(name: str) -> str:
    """A file of the page."""
    return files("trl_rlsp.report").joinpath("assets", name).read_text(encoding="utf-8").strip()


def policy(script: str, style: str) -> str:
    """Content security policy: no network, no script and no style but these two."""
    return (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


LABELS = {
    "pass_at_1": "accuracy (pass@1)",
    "tokens": "tokens",
    "finished": "finished",
}
PAIRED: dict[str, Value] = {
    "pass_at_1": score_value,
    "tokens": token_value,
    "finished": finished_value,
}
SHARES = ("pass", "maj", "finished", "share")


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        run: name of the run.
        name: model, or the difference.
        cells: text for each column, `""` where there is no such metric.
        is_change: it is a difference.
        note: of how many problems and completions.
    """

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


def label(column: str) -> str:
    """A column's heading."""
    return LABELS.get(column, column.replace("_", " "))


def rows(runs: Sequence[Run]) -> list[Row]:
    """Rows of every run, the paired difference under each run with more than one evaluation."""
    names, found = columns(runs), []
    for run in runs:
        found += [_row(run, evaluated, names) for evaluated in run.evaluations]
        if len(run.evaluations) > 1:
            found += _changes(run, names)
    return found


def _row(run: Run, evaluated: Evaluated, names: Sequence[str]) -> Row:
    problems = len({completion.problem for completion in evaluated.completions})
    unscored = sum(completion.score is None for completion in evaluated.completions)
    note = f"{problems} problems, {len(evaluated.completions)} completions"
    if unscored:
        note += f", {unscored} not scorable"
    cells = [_cell(name, evaluated.metrics[name]) if name in evaluated.metrics else "" for name in names]
    return Row(run.name, evaluated.name, cells, note=note)


def _changes(run: Run, names: Sequence[str]) -> list[Row]:
    """Last against first, and against the one before it where that is another."""
    last, found = run.evaluations[-1], []
    for before in dict.fromkeys((0, len(run.evaluations) - 2)):
        earlier = run.evaluations[before]
        cells, problems = [], 0
        for name in names:
            paired = difference(earlier, last, PAIRED.get(name) or extra_value(name))
            cells.append(_cell(name, paired.change, signed=True) if paired else "")
            problems = max(problems, paired.problems if paired else 0)
        if any(cells):
            note = f"the same {problems} problems"
            found.append(Row(run.name, f"{last.name} − {earlier.name}", cells, is_change=True, note=note))
    return found


def _cell(name: str, estimate: Estimate, *, signed: bool = False) -> str:
    scale, unit = (100, " points" if signed else " %") if name.startswith(SHARES) else (1, "")
    sign = "+" if signed else ""
    low, mean, high = (f"{scale * v:{sign}.1f}" for v in (estimate.low, estimate.mean, estimate.high))
    return f"{mean}{unit} [{low}, {high}]".replace("-", "−")
