"""`rlsp compare` and `rlsp efficiency`: evaluations beside each other, from their folders alone."""

from __future__ import annotations

import importlib.util
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from trl_rlsp.errors import ConfigError, DataError, MissingDependencyError
from trl_rlsp.files import write_json
from trl_rlsp.stages import parse_fields

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.table import Table

    from trl_rlsp.evaluation.compare import Difference
    from trl_rlsp.evaluation.token_efficiency import Point

NOTE = "95 % bootstrap intervals over problems"


@dataclass
class CompareArguments:
    """Paired difference of two evaluations on the same problems."""

    first: Path = field(metadata={"positional": 1, "help": "output_dir of an `rlsp eval`"})
    second: Path = field(metadata={"positional": 1, "help": "output_dir of another on the same problems"})
    output: Path | None = field(default=None, metadata={"help": "write the metrics to this JSON file"})


@dataclass
class EfficiencyArguments:
    """Accuracy of majority votes against tokens, from saved evaluations, the last of which sets the budgets."""

    runs: list[str] = field(metadata={"metavar": "NAME=FOLDER", "help": "base=FOLDER rlsp=FOLDER"})
    output_dir: Path | None = field(default=None, metadata={"help": "folder for efficiency.json and efficiency.png"})


def run_compare(arguments: list[str]) -> None:
    """Print what differs between two evaluations on the same problems.

    Args:
        arguments: two folders and, with `--output FILE`, where to write the metrics as JSON.

    Raises:
        RLSPError: an evaluation that is not complete, or different problems.
    """
    from trl_rlsp.evaluation.compare import compare_folders
    from trl_rlsp.text import Terminal

    given = parse_fields(CompareArguments, arguments, "rlsp compare")
    found = compare_folders(given.first, given.second)
    if given.output:
        metrics = {name: {**asdict(difference), "clear": difference.clear} for name, difference in found.items()}
        write_json(given.output, metrics)
    Terminal().print(difference_table(str(given.first), str(given.second), found))


def difference_table(first: str, second: str, found: Mapping[str, Difference]) -> Table:
    """The table of a paired comparison; an asterisk marks differences whose interval leaves out 0."""
    from rich.table import Table

    problems = max(difference.problems for difference in found.values())
    table = Table(
        caption=f"{problems} problems, paired; {NOTE}; differences of shares in points; * the interval leaves out 0"
    )
    for column in ("", first, second, "difference", "left out"):
        table.add_column(column, justify="right" if column else "left")
    for name, entry in found.items():
        shown = [e.number() if name == "tokens" else e.percent() for e in (entry.first, entry.second, entry.difference)]
        table.add_row(name, *shown[:2], shown[2] + (" *" if entry.clear else ""), str(entry.left_out or ""))
    return table


def run_efficiency(arguments: list[str]) -> None:
    """Print accuracy of majority votes against tokens, and the models at equal budgets; write JSON and a plot.

    Args:
        arguments: `--runs NAME=FOLDER ...`, the last of which sets the budgets, and `--output_dir`.

    Raises:
        RLSPError: an evaluation that is not complete, or different problems.
        MissingDependencyError: a plot is wanted and matplotlib is not installed.
    """

    from trl_rlsp.evaluation.token_efficiency import plot_curves
    from trl_rlsp.text import Terminal

    runs, output = parse_efficiency(arguments)
    curves = load_curves(runs)
    console = Terminal()
    console.print(curve_table(curves))
    budget = list(curves)[-1]
    for rival in list(curves)[:-1]:
        console.print(equal_table(budget, curves[budget], rival, curves[rival]))
    if output is not None:
        metrics = {name: [asdict(point) for point in points] for name, points in curves.items()}
        write_json(output / "efficiency.json", metrics)
        plot_curves(curves, output / "efficiency.png")
        console.print(f"{output / 'efficiency.json'}, {output / 'efficiency.png'}")


def parse_efficiency(arguments: list[str]) -> tuple[dict[str, Path], Path | None]:
    """Model -> folder of its evaluation, and where to write.

    Raises:
        ConfigError: a run that is not NAME=FOLDER, or a name that is given twice.
        MissingDependencyError: a plot is wanted and matplotlib is not installed.
    """
    given = parse_fields(EfficiencyArguments, arguments, "rlsp efficiency")
    runs: dict[str, Path] = {}
    for run in given.runs:
        name, _, folder = run.partition("=")
        if not name or not folder or name in runs:
            raise ConfigError(f"each of --runs is NAME=FOLDER with a name of its own, got {run!r}")
        runs[name] = Path(folder)
    if given.output_dir and importlib.util.find_spec("matplotlib") is None:
        raise MissingDependencyError("the plot needs matplotlib: pip install 'trl-rlsp[report]', or omit --output_dir")
    return runs, given.output_dir


def load_curves(runs: Mapping[str, Path]) -> dict[str, list[Point]]:
    """The curve of each run.

    Raises:
        DataError: the runs are not on the same problems.
    """
    from trl_rlsp.evaluation.store import load_evaluation, load_scored
    from trl_rlsp.evaluation.token_efficiency import efficiency_curve

    hashes = {name: load_evaluation(folder).problems_hash for name, folder in runs.items()}
    samples = {name: load_scored(folder) for name, folder in runs.items()}
    if len(set(hashes.values())) > 1:
        raise DataError(f"an equal budget is one on the same problems, got different ones: {hashes}")
    return {name: efficiency_curve(found) for name, found in samples.items()}


def curve_table(curves: Mapping[str, Sequence[Point]]) -> Table:
    """maj@k and tokens of every model, for k in powers of two and the largest."""
    from rich.table import Table

    from trl_rlsp.evaluation.metrics import default_ks

    table = Table(caption=NOTE)
    for column in ("model", "k", "tokens a problem", "accuracy (maj@k)", "left out"):
        table.add_column(column, justify="left" if column == "model" else "right")
    for name, points in curves.items():
        shown = {1, *default_ks(points[-1].k)} if points else set()
        for p in (point for point in points if point.k in shown):
            table.add_row(name, str(p.k), p.tokens.number(), p.accuracy.percent(), str(p.left_out or ""))
    return table


def equal_table(name: str, points: Sequence[Point], rival: str, others: Sequence[Point]) -> Table:
    """Two models at the budgets that one of them sets."""
    from rich.table import Table

    from trl_rlsp.evaluation.metrics import default_ks
    from trl_rlsp.evaluation.token_efficiency import equal_budget

    table = Table(caption=f"equal budget: the largest vote of {rival} that costs no more tokens")
    columns = (f"{name}: k", "tokens", "accuracy", f"{rival}: k", "tokens", "accuracy")
    for column in columns:
        table.add_column(column, justify="right")
    shown = {1, *default_ks(points[-1].k)} if points else set()
    for equal in equal_budget([point for point in points if point.k in shown], others):
        table.add_row(*_cells(equal.point), *(_cells(equal.rival) if equal.rival else ("none", "", "")))
    return table


def _cells(point: Point) -> tuple[str, str, str]:
    return str(point.k), f"{point.tokens.mean:.1f}", point.accuracy.percent()
