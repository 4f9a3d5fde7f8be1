"""`rlsp report RUN...`: one page about what the model learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trl_rlsp.stages.parsing import parse_stage


@dataclass
class ReportArguments:
    """What to report on, and where to write it."""

    runs: list[Path] = field(metadata={"positional": "+", "metavar": "RUN", "help": "run folder"})
    output: Path | None = field(
        default=None, metadata={"help": "folder to write; default RUN/report, for several runs report"}
    )
    limit: int = field(default=10_000, metadata={"help": "most completions on the page"})
    no_plots: bool = field(default=False, metadata={"flag": True, "help": "write no PNG plots"})


def run_report(arguments: Sequence[str]) -> None:
    """Read runs, write the report, and print its warnings and where it is.

    Args:
        arguments: run folders and options.

    Raises:
        RLSPError: a folder that holds no run, or files that cannot be read.
    """
    from trl_rlsp.report import PAGE_FILE, can_draw, write
    from trl_rlsp.text.terminal import Terminal

    given = parse_report(arguments)
    output = given.output or (given.runs[0] / "report" if len(given.runs) == 1 else Path("report"))
    contents = write(named_runs(given.runs), output, limit=given.limit, plots=False if given.no_plots else None)
    console = Terminal()
    for warning in contents.warnings:
        console.print("warning", style="yellow", end=" ")
        console.print(f"{warning.run}: {warning.what} {warning.evidence}")
    if not given.no_plots and not can_draw():
        console.print("no charts: they need matplotlib, pip install 'trl-rlsp[report]'")
    console.print(f"report: {output / PAGE_FILE}", soft_wrap=True)


def parse_report(arguments: Sequence[str]) -> ReportArguments:
    """The command's arguments."""
    described = (
        "Write one self-contained page about one or several runs: folders of `rlsp run`, or output folders of a "
        "GRPOTrainer with log_completions=True."
    )
    (given,) = parse_stage((ReportArguments,), arguments, "rlsp report", description=described)
    return given  # type: ignore[no-any-return]


def named_runs(folders: list[Path]) -> list:
    """The runs, named by as many folders of their path as it takes to tell them apart.

    Raises:
        RLSPError: a folder that holds no run, or one given twice.
    """
    from trl_rlsp.errors import ConfigError
    from trl_rlsp.runs import read_run

    paths = [folder.resolve() for folder in folders]
    if len(set(paths)) < len(paths):
        raise ConfigError(f"a run is given twice: {', '.join(map(str, folders))}")
    depth = 1
    while len({path.parts[-depth:] for path in paths}) < len(paths):
        depth += 1
    return [read_run(folder, "/".join(path.parts[-depth:])) for folder, path in zip(folders, paths, strict=True)]
