"""The page: one file that loads nothing, enforced by its content security policy; and the files beside it.

It must open for runs of any size: it holds at most `limit` completions and about `CHARACTERS` characters. Completions
that are left out are counted on the page.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from trl_rlsp import __version__
from trl_rlsp.behaviours import KINDS, find_behaviours
from trl_rlsp.errors import ConfigError
from trl_rlsp.evaluation import UNSOLVED, Chart, Comparison, Estimate, can_draw, natural, save_plot, svg, unsolved_rows
from trl_rlsp.files import atomic_write
from trl_rlsp.report._curves import effort_charts, solved, training_curves
from trl_rlsp.report._warnings import RunWarning, find
from trl_rlsp.runs import Completion, Run, difference, step_metrics
from trl_rlsp.text import json_for_script, visible_text

PAGE_FILE, NUMBERS_FILE, PLOTS_FOLDER = "index.html", "report.json", "plots"
LABELS = {"pass_at_1": "accuracy (pass@1)", "tokens": "tokens", "finished": "finished"}
LIMIT = 10_000
CHARACTERS = 60_000_000
SHARES = ("pass", "maj", "finished", "share")


@dataclass(frozen=True)
class Contents:
    """The contents of the page; `plots` is whether there are PNG plots beside it."""

    runs: Sequence[Run]
    warnings: Sequence[RunWarning]
    curves: Sequence[Chart]
    effort: Sequence[Chart]
    solved: Sequence[Chart]
    compared: Sequence[Comparison]
    browser: dict[str, Any]
    plots: bool = False


def build(runs: Sequence[Run], *, limit: int = LIMIT, plots: bool = False) -> Contents:
    """The contents of the page for at least one run; a ConfigError for none, duplicate names, or a limit below 1."""
    names = [run.name for run in runs]
    if not names or len(set(names)) < len(names):
        raise ConfigError(f"a report needs one or more runs with different names, got {names}")
    if limit < 1:
        raise ConfigError(f"limit is the number of completions on the page, at least 1; got {limit}")
    steps = [step_metrics(run.completions) for run in runs]
    charts, compared = solved(runs)
    return Contents(
        runs=runs,
        warnings=[warning for run, metrics in zip(runs, steps, strict=True) for warning in find(run, metrics)],
        curves=training_curves(runs, steps),
        effort=effort_charts(runs),
        solved=charts,
        compared=compared,
        browser=browser_data(runs, limit=limit),
        plots=plots,
    )


def write(runs: Sequence[Run], folder: Path, *, limit: int = LIMIT, plots: bool | None = None) -> Contents:
    """Write `index.html`, `report.json` and `plots/*.png` for at least one run into a folder; return the contents.

    At most `limit` completions are on the page; by default, `plots` are written if matplotlib is installed.
    """
    contents = build(runs, limit=limit, plots=can_draw() if plots is None else plots)
    charts = [*contents.solved, *contents.curves, *contents.effort]
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
        "compared": [
            {**asdict(pair), "crossing": pair.crossing and asdict(pair.crossing)} for pair in contents.compared
        ],
        "charts": {chart.key: asdict(chart) for chart in charts},
    }
    atomic_write(folder / PAGE_FILE, render(contents))
    atomic_write(folder / NUMBERS_FILE, json.dumps(numbers, indent=1) + "\n")
    for chart in charts if contents.plots else ():
        save_plot(chart, folder / PLOTS_FOLDER / f"{chart.key}.png")
    return contents


def render(contents: Contents) -> str:
    """The page as HTML; every text from a run is escaped, and its hidden characters are made visible."""
    from jinja2 import Environment
    from markupsafe import Markup

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
        unsolved=unsolved_rows(contents.compared) if contents.compared else [],
        about_unsolved=UNSOLVED,
        sections=[
            ("solved", "pass@k and Cover@tau", drawn(contents.solved)),
            ("training", "Training", drawn(contents.curves)),
            ("effort", "Length, correctness and difficulty", drawn(contents.effort)),
        ],
        browser=Markup(json_for_script(shown)) if shown else None,
        kinds=contents.browser["kinds"],
        plots=contents.plots,
        version=__version__,
    )


def asset(name: str) -> str:
    """The text of one of the page's assets."""
    return files("trl_rlsp.report").joinpath("assets", name).read_text(encoding="utf-8").strip()


def policy(script: str, style: str) -> str:
    """Content security policy: no network, and only this script and this style."""
    hashed = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (script, style))
    allowed = "script-src 'sha256-{}'; style-src 'sha256-{}'".format(*hashed)
    return f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'"


@dataclass(frozen=True)
class Row:
    """A row of the before/after table: a model or a difference between two, with a text or `""` for each column."""

    run: str
    name: str
    cells: Sequence[str]
    is_change: bool = False
    note: str = ""


def columns(runs: Sequence[Run]) -> list[str]:
    """Names of the metrics, those in `LABELS` first."""
    names = {name for run in runs for evaluated in run.evaluations for name in evaluated.metrics}
    names -= {"pass@1"}  # the same as the accuracy
    return [name for name in LABELS if name in names] + sorted(names - LABELS.keys(), key=natural)


def rows(runs: Sequence[Run]) -> list[Row]:
    """Rows of every run; for several evaluations, also last minus first and last minus the one before it."""
    names, table = columns(runs), []
    for run in runs:
        for e in run.evaluations:
            problems, unscored = {c.problem for c in e.completions}, sum(c.score is None for c in e.completions)
            note = f"{len(problems)} problems, {len(e.completions)} completions"
            note += f", {unscored} not scorable" if unscored else ""
            table.append(Row(run.name, e.name, [_cell(name, e.metrics.get(name)) for name in names], note=note))
        for i in dict.fromkeys((0, len(run.evaluations) - 2)) if len(run.evaluations) > 1 else ():
            before, last = run.evaluations[i], run.evaluations[-1]
            paired = [difference(before, last, partial(_value, name)) for name in names]
            if any(paired):
                changes = [d.difference if d else None for d in paired]
                cells = [_cell(name, change, signed=True) for name, change in zip(names, changes, strict=True)]
                note = f"the same {max(d.problems for d in paired if d)} problems"
                table.append(Row(run.name, f"{last.name} − {before.name}", cells, is_change=True, note=note))
    return table


def _value(metric: str, completion: Completion) -> float | None:
    known = {"pass_at_1": completion.score, "tokens": completion.tokens, "finished": completion.finished}
    return known[metric] if metric in known else completion.extra.get(metric)


def _cell(name: str, estimate: Estimate | None, *, signed: bool = False) -> str:
    scale, unit = (100, " points" if signed else " %") if name.startswith(SHARES) else (1, "")
    return estimate.number(scale, unit, "+" if signed else "").replace("-", "−") if estimate else ""


class Source(NamedTuple):
    """Completions of an evaluation or of `training`; sources with equal `problem_set` answer the same problems."""

    run: str
    name: str
    problem_set: str
    completions: Sequence[Completion]


def browser_data(runs: Sequence[Run], *, limit: int = LIMIT, characters: int = CHARACTERS) -> dict[str, Any]:
    """The data for the page's script, limited to about `limit` completions and `characters` characters."""
    sources = []
    for run in runs:
        for e in run.evaluations:
            sources.append(Source(run.name, e.name, e.problems_hash or f"{run.name}/{e.name}", e.completions))
        if run.completions:
            sources.append(Source(run.name, "training", "training", run.completions))
    lengths = [len(c.text) for source in sources for c in source.completions]
    fitting = min(limit, max(1, characters * len(lengths) // max(1, sum(lengths))))
    shown = [
        {
            **{"run": visible_text(source.run), "name": visible_text(source.name), "set": source.problem_set},
            **{"of": len(source.completions), "items": list(map(_item, completions))},
        }
        for source, completions in zip(sources, choose(sources, fitting), strict=True)
    ]
    return {"kinds": [kind.replace("_", " ") for kind in KINDS], "sources": shown}


def choose(sources: Sequence[Source], limit: int) -> list[list[Completion]]:
    """At most about `limit` completions: the same problems in all sources of a set, spread evenly over training steps.

    Evaluations come first, because a comparison needs both sides; training gets the rest, but at least a quarter, in
    whole groups that share step and problem.
    """
    training = sum(len(source.completions) for source in sources if source.name == "training")
    evaluated = sum(len(source.completions) for source in sources) - training
    of_evaluations = max(1, math.ceil(evaluated / max(1, limit - training, limit * 3 // 4)))
    of_training = max(1, math.ceil(training / max(1, limit - evaluated // of_evaluations)))
    wanted_of: dict[tuple[str, str], set[tuple[int | None, str]]] = {}
    chosen = []
    for source in sources:
        every, owner = (of_training, source.run) if source.name == "training" else (of_evaluations, "")
        groups = list(dict.fromkeys((c.step, c.problem) for c in source.completions))
        wanted = wanted_of.setdefault((owner, source.problem_set), set(groups[::every]))
        chosen.append([c for c in source.completions if (c.step, c.problem) in wanted])
    return chosen


def _item(completion: Completion) -> dict[str, Any]:
    c = completion
    texts = {"problem": c.problem, "prompt": c.question, "reason": c.reason, "level": c.level or ""}
    texts["compared"] = "" if c.gold is None else f"compared {c.answer or 'nothing'} with {c.gold}"
    return {
        **{name: visible_text(text) for name, text in texts.items()},
        **{name: getattr(c, name) for name in ("score", "tokens", "finished", "step", "sample")},
        "rewards": [(visible_text(name), value) for name, value in c.rewards.items()],
        "parts": parts(c.text),
    }


def parts(text: str) -> list[tuple[str, int | None]]:
    """The text in pieces, each with the index of its behavior or `None`; an overlap goes to the earlier behavior."""
    pieces, end = [], 0
    for behaviour in find_behaviours(text):
        start = max(end, behaviour.start)
        if start < behaviour.end:
            pieces += [(text[end:start], None), (text[start : behaviour.end], KINDS.index(behaviour.kind))]
            end = behaviour.end
    return [(visible_text(piece), kind) for piece, kind in [*pieces, (text[end:], None)] if piece]
