"""`rlsp behaviours` and `rlsp report`: what the completions of a run do, and one page about what the model learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from trl_rlsp.errors import ConfigError
from trl_rlsp.files import write_json
from trl_rlsp.stages import parse_fields

if TYPE_CHECKING:
    from rich.table import Table

    from trl_rlsp.runs import Completion, Run, Summary

CAPTION = "per 1,000 words (per completion); wording is evidence, not proof: compare with the base model"


def run_behaviours(arguments: Sequence[str]) -> None:
    """Print behaviours per step and overall, and write them as JSON where --output says.

    Args:
        arguments: run folders or completions files, and --output FILE.

    Raises:
        RLSPError: no completions, or a file that does not hold any.
    """
    from trl_rlsp.rewards import OutcomeVerifier
    from trl_rlsp.runs import VERIFIED, read_completions, shown_steps, summarize
    from trl_rlsp.text import Terminal

    given = parse_fields(BehavioursArguments, arguments, "rlsp behaviours")
    completions = read_completions(given.sources)
    if not completions:
        raise ConfigError(f"no completions in {', '.join(given.sources)}")
    with OutcomeVerifier(batch_seconds=3600) as verifier:

        def score(asked: list[Completion]) -> Sequence[float | None]:
            columns = {name: [c.columns.get(name) for c in asked] for name in VERIFIED}
            used = {name: column for name, column in columns.items() if any(v is not None for v in column)}
            verdicts = verifier.verdicts([c.text for c in asked], prompts=[c.prompt for c in asked], **used)
            return [verdict.score for verdict in verdicts]

        rows = {}
        for step in shown_steps([c.step for c in completions if c.step is not None]):
            rows[f"step {step}"] = summarize([c for c in completions if c.step == step], score)
        rows["all"] = summarize(completions, score)
    Terminal().print(table(rows))
    if given.output:
        metrics = {name: asdict(summary) for name, summary in rows.items()}
        write_json(given.output, metrics)


@dataclass
class BehavioursArguments:
    """What the completions of a run do, step by step."""

    sources: list[str] = field(
        metadata={"positional": "+", "metavar": "RUN", "help": "run folder, completions_*.parquet or samples.jsonl"}
    )
    output: Path | None = field(default=None, metadata={"help": "write the metrics to this JSON file"})


def table(rows: dict[str, Summary]) -> Table:
    """One row a step: completions, words, each behaviour, answer changes where they could be scored."""
    from rich.table import Table

    from trl_rlsp.behaviours import KINDS

    shown = Table(caption=CAPTION)
    for column in ("", "completions", "words", *(kind.replace("_", "-") for kind in KINDS)):
        shown.add_column(column, justify="right" if column else "left")
    with_changes = any(summary.changes is not None for summary in rows.values())
    if with_changes:
        shown.add_column("wrong>right / right>wrong", justify="right")
    for name, summary in rows.items():
        cells = [name, str(summary.completions), f"{summary.words:.0f}"]
        cells += [f"{summary.per_1000_words[kind]:.1f} ({summary.per_completion[kind]:.2f})" for kind in KINDS]
        if with_changes:
            changes = summary.changes
            cells.append("" if changes is None else f"{changes['wrong_to_right']} / {changes['right_to_wrong']}")
        shown.add_row(*cells)
    return shown


@dataclass
class ReportArguments:
    """Write one self-contained page about one or several runs: folders of `rlsp run`, or of a GRPOTrainer with
    log_completions=True.
    """

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
    from trl_rlsp.text import Terminal

    given = parse_fields(ReportArguments, arguments, "rlsp report")
    output = given.output or (given.runs[0] / "report" if len(given.runs) == 1 else Path("report"))
    contents = write(named_runs(given.runs), output, limit=given.limit, plots=False if given.no_plots else None)
    console = Terminal()
    for warning in contents.warnings:
        console.print("warning", style="yellow", end=" ")
        console.print(f"{warning.run}: {warning.what} {warning.evidence}")
    if not given.no_plots and not can_draw():
        console.print("no charts: they need matplotlib, pip install 'trl-rlsp[report]'")
    console.print(f"report: {output / PAGE_FILE}", soft_wrap=True)


def named_runs(folders: list[Path]) -> list[Run]:
    """The runs, named by as many folders of their path as it takes to tell them apart.

    Raises:
        RLSPError: a folder that holds no run, or one given twice.
    """
    from trl_rlsp.runs import read_run

    paths = [folder.resolve() for folder in folders]
    if len(set(paths)) < len(paths):
        raise ConfigError(f"a run is given twice: {', '.join(map(str, folders))}")
    depth = 1
    while len({path.parts[-depth:] for path in paths}) < len(paths):
        depth += 1
    return [read_run(folder, "/".join(path.parts[-depth:])) for folder, path in zip(folders, paths, strict=True)]
