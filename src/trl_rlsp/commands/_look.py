"""`rlsp compare`, `efficiency`, `report` and `behaviours`: what saved evaluations and runs show."""

# ruff: noqa: RUF009 (`option` is `dataclasses.field`)
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.table import Column, Table

from trl_rlsp import evaluation
from trl_rlsp.behaviours import KINDS
from trl_rlsp.commands._measure import named, require_plots
from trl_rlsp.errors import ConfigError
from trl_rlsp.files import write_json
from trl_rlsp.report import PAGE_FILE, can_draw, write
from trl_rlsp.rewards import OutcomeVerifier
from trl_rlsp.runs import Completion, Run, Summary, read_completions, read_run, shown_steps, summarize
from trl_rlsp.selfplay import verify
from trl_rlsp.stages import option, parse_fields
from trl_rlsp.text import Terminal


@dataclass
class CompareArguments:
    """Paired difference of two evaluations on the same problems."""

    first: Path = option(help="output_dir of an `rlsp eval`", positional=1)
    second: Path = option(help="output_dir of another on the same problems", positional=1)
    output: Path | None = option(None, "write the metrics to this JSON file")


def run_compare(arguments: list[str]) -> None:
    """Print what differs between two evaluations on the same problems."""
    given = parse_fields(CompareArguments, arguments, "rlsp compare")
    found = evaluation.compare_folders(given.first, given.second)
    if given.output:
        metrics = {name: {**asdict(difference), "clear": difference.clear} for name, difference in found.items()}
        write_json(given.output, metrics)
    Terminal().print(evaluation.difference_table(str(given.first), str(given.second), found))


@dataclass
class EfficiencyArguments:
    """Accuracy of majority votes against tokens, from saved evaluations, the last of which sets the budgets."""

    runs: list[str] = option(help="base=FOLDER rlsp=FOLDER", metavar="NAME=FOLDER")
    output_dir: Path | None = option(None, "folder for efficiency.json and efficiency.png")


def parse_efficiency(arguments: list[str]) -> tuple[dict[str, Path], Path | None]:
    """Model -> folder of its evaluation, and where to write."""
    given = parse_fields(EfficiencyArguments, arguments, "rlsp efficiency")
    runs = named("each of --runs is NAME=FOLDER with a name of its own", given.runs)
    if given.output_dir:
        require_plots()
    return {name: Path(folder) for name, folder in runs.items()}, given.output_dir


def run_efficiency(arguments: list[str]) -> None:
    """Print accuracy of majority votes against tokens, and the models at equal budgets; write JSON and a plot."""
    runs, output = parse_efficiency(arguments)
    curves = evaluation.load_curves(runs)
    console = Terminal()
    for table in evaluation.efficiency_tables(curves):
        console.print(table)
    if output is not None:
        write_json(output / "efficiency.json", {name: list(map(asdict, points)) for name, points in curves.items()})
        evaluation.plot_efficiency(curves, output / "efficiency.png")
        console.print(f"{output / 'efficiency.json'}, {output / 'efficiency.png'}")


@dataclass
class BehavioursArguments:
    """What the completions of a run do, step by step."""

    sources: list[str] = option(help="run folder, completions_*.parquet, samples.jsonl", positional="+", metavar="RUN")
    output: Path | None = option(None, "write the metrics to this JSON file")


def run_behaviours(arguments: Sequence[str]) -> None:
    """Print behaviours per step and overall, and write them as JSON where --output says."""
    given = parse_fields(BehavioursArguments, arguments, "rlsp behaviours")
    completions = read_completions(given.sources)
    if not completions:
        raise ConfigError(f"no completions in {', '.join(given.sources)}")
    with OutcomeVerifier(batch_seconds=3600) as verifier:

        def score(asked: Sequence[Completion]) -> list[float | None]:
            return [verdict.score for verdict in verify(asked, verifier)]

        rows = {}
        for step in shown_steps([c.step for c in completions if c.step is not None]):
            rows[f"step {step}"] = summarize([c for c in completions if c.step == step], score)
        rows["all"] = summarize(completions, score)
    Terminal().print(_behaviour_table(rows))
    if given.output:
        write_json(given.output, {name: asdict(summary) for name, summary in rows.items()})


def _behaviour_table(rows: dict[str, Summary]) -> Table:
    """One row a step: completions, words, each behaviour, answer changes where they could be scored."""
    names = ["completions", "words", *(kind.replace("_", "-") for kind in KINDS)]
    names += ["wrong>right / right>wrong"] if any(summary.changes for summary in rows.values()) else []
    caption = "per 1,000 words (per completion); wording is evidence, not proof: compare with the base model"
    shown = Table("", *(Column(name, justify="right") for name in names), caption=caption)
    for name, summary in rows.items():
        cells = [name, str(summary.completions), f"{summary.words:.0f}"]
        cells += [f"{summary.per_1000_words[kind]:.1f} ({summary.per_completion[kind]:.2f})" for kind in KINDS]
        if changes := summary.changes:
            cells.append(f"{changes['wrong_to_right']} / {changes['right_to_wrong']}")
        shown.add_row(*cells)
    return shown


@dataclass
class ReportArguments:
    """Write one self-contained page about one or several runs: folders of `rlsp run`, or of a GRPOTrainer with
    log_completions=True."""

    runs: list[Path] = option(help="run folder", positional="+", metavar="RUN")
    output: Path | None = option(None, "folder to write; default RUN/report, for several runs report")
    limit: int = option(10_000, "most completions on the page")
    plots: bool = option(True, "write PNG plots, if matplotlib is installed")


def run_report(arguments: Sequence[str]) -> None:
    """Read runs, write the report, and print its warnings and where it is."""
    given = parse_fields(ReportArguments, arguments, "rlsp report")
    output = given.output or (given.runs[0] / "report" if len(given.runs) == 1 else Path("report"))
    contents = write(_named_runs(given.runs), output, limit=given.limit, plots=None if given.plots else False)
    console = Terminal()
    for warning in contents.warnings:
        console.print("warning", style="yellow", end=" ")
        console.print(f"{warning.run}: {warning.what} {warning.evidence}")
    if given.plots and not can_draw():
        console.print("no charts: they need matplotlib, pip install 'trl-rlsp[report]'")
    console.print(f"report: {output / PAGE_FILE}", soft_wrap=True)


def _named_runs(folders: list[Path]) -> list[Run]:
    """The runs, named by as many folders of their path as it takes to tell them apart."""
    paths = [folder.resolve() for folder in folders]
    if len(set(paths)) < len(paths):
        raise ConfigError(f"a run is given twice: {', '.join(map(str, folders))}")
    depth = 1
    while len({path.parts[-depth:] for path in paths}) < len(paths):
        depth += 1
    return [read_run(folder, "/".join(path.parts[-depth:])) for folder, path in zip(folders, paths, strict=True)]
