"""The before/after table: each evaluation's metrics with intervals, and the paired difference of last and first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trl_rlsp.evaluation.bootstrap import Estimate
from trl_rlsp.report.pairing import Value, difference, extra_value, finished_value, score_value, token_value
from trl_rlsp.runs.run import Evaluated, Run, natural

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
