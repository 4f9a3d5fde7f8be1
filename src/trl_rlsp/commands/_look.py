"""`rlsp compare`, `efficiency`, `report`, `forecast` and `behaviours`: results of saved evaluations and runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from trl_rlsp import evaluation
from trl_rlsp.behaviours import KINDS
from trl_rlsp.commands._command import Command
from trl_rlsp.commands._measure import named, require_plots
from trl_rlsp.errors import ConfigError
from trl_rlsp.files import write_json
from trl_rlsp.report import PAGE_FILE, can_draw, write
from trl_rlsp.rewards import OutcomeVerifier
from trl_rlsp.runs import (
    Completion,
    Summary,
    forecast,
    read_completions,
    read_run,
    shown_steps,
    solve_rate_curve,
    summarize,
)
from trl_rlsp.selfplay import verify
from trl_rlsp.stages import option
from trl_rlsp.text import Terminal


@dataclass
class Compare(Command):
    """Paired differences of evaluations on the same problems, such as those of start, SFT and RL: each against the
    first, and the last against the one before it; where pass@k curves cross; which problems only one of two solves."""

    runs: list[Path] = option(help="output_dir of an `rlsp eval`, two or more", positional="+", metavar="RUN")
    output: Path | None = option(None, "write the metrics to this JSON file")

    def check(self) -> None:
        """A ConfigError for fewer than two different folders."""
        if len(set(self.runs)) < max(2, len(self.runs)):
            raise ConfigError(f"a comparison needs two or more different folders, got {', '.join(map(str, self.runs))}")

    def execute(self) -> None:
        """Print the tables and where curves cross, and write the metrics to `output`."""
        comparisons = evaluation.load_comparisons(self.runs)
        if self.output:
            pairs = {f"{pair.second} - {pair.first}": _numbers(pair) for pair in comparisons}
            write_json(self.output, pairs if len(comparisons) > 1 else _numbers(comparisons[0]))
        console = Terminal()
        console.print(*evaluation.comparison_tables(comparisons))
        for text in filter(None, map(evaluation.crossing_text, comparisons)):
            console.print(text)


def _numbers(pair: evaluation.Comparison) -> dict[str, Any]:
    """A comparison as JSON: its metrics by name, and beside them the crossing and the problems only one solves."""
    metrics = {name: {**asdict(metric), "clear": metric.clear} for name, metric in pair.metrics.items()}
    crossing = pair.crossing
    crosses = None if crossing is None else {**asdict(crossing), "clear": pair.curve[crossing.k].clear}
    return {**metrics, "crossing": crosses, "newly_solved": asdict(pair.newly_solved), "lost": asdict(pair.lost)}


@dataclass
class Efficiency(Command):
    """Accuracy of majority votes against tokens, from saved evaluations. The last one sets the budgets."""

    runs: list[str] = option(help="base=FOLDER rlsp=FOLDER", metavar="NAME=FOLDER")
    output_dir: Path | None = option(None, "folder for efficiency.json and efficiency.png")

    def __post_init__(self) -> None:
        entries = named("each of --runs is NAME=FOLDER with a name of its own", self.runs)
        self.folders = {name: Path(folder) for name, folder in entries.items()}

    def check(self) -> None:
        """A MissingDependencyError if a plot is wanted and matplotlib is missing."""
        if self.output_dir:
            require_plots()

    def execute(self) -> None:
        """Print the tables, and write numbers and plot to `output_dir`."""
        curves = evaluation.load_curves(self.folders)
        console = Terminal()
        console.print(*evaluation.efficiency_tables(curves))
        if self.output_dir:
            numbers, plot = (self.output_dir / f"efficiency.{kind}" for kind in ("json", "png"))
            write_json(numbers, {name: list(map(asdict, points)) for name, points in curves.items()})
            evaluation.plot_efficiency(curves, plot)
            console.print(f"{numbers}, {plot}")


@dataclass
class Behaviours(Command):
    """Behaviors such as backtracking in the completions of a run, step by step."""

    sources: list[str] = option(help="run folder, completions_*.parquet, samples.jsonl", positional="+", metavar="RUN")
    output: Path | None = option(None, "write the metrics to this JSON file")

    def execute(self) -> None:
        """Print the table, and write the metrics to `output`."""
        completions = read_completions(self.sources)
        if not completions:
            raise ConfigError(f"no completions in {', '.join(self.sources)}")
        with OutcomeVerifier(batch_seconds=3600) as verifier:

            def score(asked: Sequence[Completion]) -> list[float | None]:
                return [verdict.score for verdict in verify(asked, verifier)]

            rows = {}
            for step in shown_steps([c.step for c in completions if c.step is not None]):
                rows[f"step {step}"] = summarize([c for c in completions if c.step == step], score)
            rows["all"] = summarize(completions, score)
        Terminal().print(_behaviour_table(rows))
        if self.output:
            write_json(self.output, {name: asdict(summary) for name, summary in rows.items()})


def _behaviour_table(summaries: dict[str, Summary]) -> Table:
    """One row per step: completions, words, each behavior, and answer changes if they could be scored."""
    rows = [["", "completions", "words", *(kind.replace("_", "-") for kind in KINDS)]]
    rows[0] += ["wrong>right / right>wrong"] if any(summary.changes for summary in summaries.values()) else []
    for name, summary in summaries.items():
        cells = [name, str(summary.completions), f"{summary.words:.0f}"]
        cells += [f"{summary.per_1000_words[kind]:.1f} ({summary.per_completion[kind]:.2f})" for kind in KINDS]
        cells += [f"{c['wrong_to_right']} / {c['right_to_wrong']}" for c in [summary.changes] if c]
        rows.append(cells)
    caption = "per 1,000 words (per completion); wording is evidence, not proof: compare with the base model"
    return evaluation.terminal_table(rows, caption=caption)


@dataclass
class Report(Command):
    """Write one self-contained page about one or several runs, given as folders of `rlsp run` or of a GRPOTrainer with
    log_completions=True."""

    runs: list[Path] = option(help="run folder", positional="+", metavar="RUN")
    output: Path | None = option(None, "folder to write; default: RUN/report, or report for several runs")
    limit: int = option(10_000, "most completions on the page")
    plots: bool = option(True, "write PNG plots, if matplotlib is installed")

    def execute(self) -> None:
        """Write the report and print its warnings."""
        output = self.output or (self.runs[0] / "report" if len(self.runs) == 1 else Path("report"))
        runs = [read_run(folder, name) for folder, name in zip(self.runs, _names(self.runs), strict=True)]
        contents = write(runs, output, limit=self.limit, plots=None if self.plots else False)
        console = Terminal()
        for warning in contents.warnings:
            console.print("warning", style="yellow", end=" ")
            console.print(f"{warning.run}: {warning.what} {warning.evidence}")
        if self.plots and not can_draw():
            console.print("no charts: they need matplotlib, pip install 'trl-rlsp[report]'")
        console.print(f"report: {output / PAGE_FILE}", soft_wrap=True)


@dataclass
class Forecast(Command):
    """Predict the solve rate at the end of RL from its beginning, and say by how much that misses a known end."""

    runs: list[Path] = option(help="run folder", positional="+", metavar="RUN")
    share: float = option(0.25, "share of the tokens up to which the curve is fitted")
    tokens: float | None = option(None, "tokens at the end, for a run that goes on; default: those logged last")
    output: Path | None = option(None, "write the forecasts to this JSON file")

    def execute(self) -> None:
        """Print the forecasts, and write them to `output`."""
        forecasts = {}
        for folder, name in zip(self.runs, _names(self.runs), strict=True):
            forecasts[name] = forecast(*solve_rate_curve(read_run(folder, name)), share=self.share, end=self.tokens)
        if self.output:
            write_json(self.output, {name: asdict(one) for name, one in forecasts.items()})
        rows: list[tuple[str, ...]] = [
            ("", "tokens", "points", "forecast", "stays as it is", "actual", "missed by", "staying by")
        ]
        for name, one in forecasts.items():
            value = one.forecast.percent() if one.forecast else "none"
            missed = ["" if miss is None else f"{100 * miss:+.1f}" for miss in (one.missed, one.naive_missed)]
            known = ["" if rate is None else f"{100 * rate:.1f} %" for rate in (one.naive, one.actual)]
            rows.append((name, f"{one.tokens:,.0f}", str(one.points), value, *known, *missed))
        console = Terminal()
        console.print(evaluation.terminal_table(rows, caption="missed by: forecast minus actual, in points"))
        for name, one in forecasts.items():
            if one.reason:
                console.print(f"no forecast of {name}: {one.reason}")


def _names(folders: Sequence[Path]) -> list[str]:
    """A name for each run: the last parts of its path, as many as needed to make the names distinct."""
    paths = [folder.resolve() for folder in folders]
    if len(set(paths)) < len(paths):
        raise ConfigError(f"a run is given twice: {', '.join(map(str, folders))}")
    depth = 1
    while len({path.parts[-depth:] for path in paths}) < len(paths):
        depth += 1
    return ["/".join(path.parts[-depth:]) for path in paths]
