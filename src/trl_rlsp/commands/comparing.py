"""`rlsp compare` and `rlsp efficiency`: evaluations beside each other, from their folders alone."""

from __future__ import annotations

import importlib.util
from dataclasses import asdict, dataclass, field
from pathlib import Path

from trl_rlsp.errors import ConfigError, MissingDependencyError
from trl_rlsp.files import write_json
from trl_rlsp.stages import parse_fields


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
    from trl_rlsp.evaluation import compare_folders, difference_table
    from trl_rlsp.text import Terminal

    given = parse_fields(CompareArguments, arguments, "rlsp compare")
    found = compare_folders(given.first, given.second)
    if given.output:
        metrics = {name: {**asdict(difference), "clear": difference.clear} for name, difference in found.items()}
        write_json(given.output, metrics)
    Terminal().print(difference_table(str(given.first), str(given.second), found))


def run_efficiency(arguments: list[str]) -> None:
    """Print accuracy of majority votes against tokens, and the models at equal budgets; write JSON and a plot.

    Args:
        arguments: `--runs NAME=FOLDER ...`, the last of which sets the budgets, and `--output_dir`.

    Raises:
        RLSPError: an evaluation that is not complete, or different problems.
        MissingDependencyError: a plot is wanted and matplotlib is not installed.
    """

    from trl_rlsp.evaluation import efficiency_tables, load_curves, plot_efficiency
    from trl_rlsp.text import Terminal

    runs, output = parse_efficiency(arguments)
    curves = load_curves(runs)
    console = Terminal()
    for table in efficiency_tables(curves):
        console.print(table)
    if output is not None:
        metrics = {name: [asdict(point) for point in points] for name, points in curves.items()}
        write_json(output / "efficiency.json", metrics)
        plot_efficiency(curves, output / "efficiency.png")
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
