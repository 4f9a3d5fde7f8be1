"""From runs to files: `index.html`, `report.json` and `plots/*.png`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from trl_rlsp.errors import ConfigError
from trl_rlsp.files import atomic_write
from trl_rlsp.report.browser import LIMIT, browser_data
from trl_rlsp.report.charts import can_draw, save_plots
from trl_rlsp.report.curves import training_curves
from trl_rlsp.report.effort import effort_charts
from trl_rlsp.report.page import Contents, render
from trl_rlsp.report.step_metrics import step_metrics
from trl_rlsp.report.warnings import find
from trl_rlsp.runs.run import Run

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
