"""The page: one file that loads nothing, and whose policy forbids that it ever does."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from trl_rlsp import __version__
from trl_rlsp.errors import MissingDependencyError
from trl_rlsp.report.charts import Chart, can_draw, svg
from trl_rlsp.report.table import columns, label, rows
from trl_rlsp.report.warnings import RunWarning
from trl_rlsp.runs.run import Run
from trl_rlsp.text import json_for_script, visible_text


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
