"""`rlsp recipes`, `check`, `filter`, `doctor` and `plan`: what is worth knowing before a GPU is paid for."""

# ruff: noqa: RUF009 (`option` is `dataclasses.field`)
from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from rich.table import Column, Table

from trl_rlsp import evaluation, stages
from trl_rlsp.commands import _measure as measure
from trl_rlsp.doctor import Finding, examine
from trl_rlsp.errors import ConfigError
from trl_rlsp.files import write_json, write_lines
from trl_rlsp.pipeline import companion_names, copy_recipe, recipe_names, said_of
from trl_rlsp.planning import GIB, Architecture, Layout, Remedy, Settings, layout, remedies, strategies, tokens_per_step
from trl_rlsp.stages import option
from trl_rlsp.text import Terminal

_PARTS = ("weights", "adapter", "gradients", "optimizer", "reference", "activations", "logits", "working", "cache")
_COLORS = {"error": "red", "warning": "yellow", "not checked": "blue"}


@dataclass
class RecipesArguments:
    """List the recipes that come with the package, or copy one."""

    words: list[str] = option([], "copy a recipe to where it can be changed", positional="*", metavar="copy NAME")
    to: Path | None = option(None, "the folder to make; default recipes/NAME")


def run_recipes(arguments: Sequence[str]) -> None:
    """List the shipped recipes with purpose and hardware, or copy one."""
    given = stages.parse_fields(RecipesArguments, arguments, "rlsp recipes")
    if given.words:
        if len(given.words) != 2 or given.words[0] != "copy":
            raise ConfigError(f"rlsp recipes takes nothing, or copy NAME, got {' '.join(given.words)!r}")
        target = copy_recipe(given.words[1], given.to)
        print(f"{given.words[1]} copied to {target}")
        if given.words[1] in recipe_names():
            print(f"next: change it, then rlsp run {target}")
        return
    table = Table(Column("recipe", no_wrap=True), "what it is for", "hardware", box=None, pad_edge=False)
    for name in recipe_names():
        table.add_row(name, said_of(name).title, said_of(name).hardware)
    Terminal().print(table)
    others = " and ".join(companion_names())
    print(f"\nrlsp run NAME runs one; rlsp recipes copy NAME makes a copy to change, also of {others}.")


def run_check(arguments: list[str]) -> int:
    """Print every gold answer of a data set that does not verify as 1.0; 0 when all do, else 1."""
    source, checking = stages.parse_stage((stages.ProblemArguments, stages.VerifierArguments), arguments, "rlsp check")
    problems = source.load()
    with checking.outcome_verifier(batch_seconds=3600) as verifier:
        report = evaluation.check_dataset(problems, verifier)
    evaluation.print_report(report, source.required(), Terminal())
    return 0 if report.ok else 1


@dataclass
class FilterArguments(stages.EvaluationArguments):
    """Which problems to keep; samples are drawn as in RL: temperature 1, at most 4096 tokens, unless the file says."""

    n: int = option(8, "samples of each problem")
    low: float = option(0.1, "problems solved more rarely are left out, 0 to 1")
    high: float = option(0.9, "problems solved more often are left out, 0 to 1")
    output: str = option("problems.jsonl", "the .jsonl file to write; the samples go beside it")
    temperature: float = option(1.0, "as in the RL stage")
    max_new_tokens: int = option(4096, "as max_completion_length of the RL stage")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_samples not in (1, self.n):
            raise ConfigError(f"the samples of each problem are given with --n, got --num_samples {self.num_samples}")
        self.num_samples = self.n
        if self.preset or self.rescore:
            raise ConfigError("rlsp filter takes --dataset or --config, neither --preset nor --rescore")
        if Path(self.output).suffix != ".jsonl":
            raise ConfigError(f"--output is a .jsonl file, got {self.output!r}")
        self.output_dir = self.output_dir or str(Path(self.output).with_suffix("")) + "-samples"


def parse_filter(arguments: list[str]) -> FilterArguments:
    """The settings of a filter: of an RL stage's file, what decides what is sampled, and neither seed nor folder."""
    names = {f.name for f in fields(FilterArguments)} - {"output_dir", "seed", "batch_size", "num_samples"}

    def sampled(content: dict[str, Any]) -> dict[str, Any]:
        found = {("max_new_tokens" if n == "max_completion_length" else n): v for n, v in content.items()}
        return {name: value for name, value in found.items() if name in names and value is not None}

    return stages.parse_fields(FilterArguments, arguments, "rlsp filter", written=sampled)


def run_filter(arguments: list[str]) -> None:
    """Sample, score, keep the problems of the band and write the file; samples of a run that was cut off are kept."""
    settings = parse_filter(arguments)
    band = evaluation.Band(settings.low, settings.high)
    console = Terminal()
    name, problems, samples = measure.draw_samples(settings, console)
    with measure.verifier_of(settings, name) as verifier:
        scored = evaluation.score_samples(samples, problems, verifier)
    output = Path(settings.output)
    rows, counts = evaluation.keep_band(problems.to_list(), scored, band)
    write_lines(output, rows)
    write_json(output.with_suffix(".json"), {**counts, "settings": asdict(settings)})
    kept = f"kept, {settings.low:g} to {settings.high:g}"
    table = measure.count_table("problems", "sampled", len(problems), counts["dropped"], kept, len(rows))
    table.title = f"solve rates of {settings.n} samples"
    console.print(table)
    if partly := sum(row["scored_samples"] < settings.n for row in rows):
        console.print(f"{partly} kept problems have samples without a score, which have no part in their solve rate")
    plain = settings.prompt_style == "task" and settings.system_prompt != "none"
    reading = f"--dataset {settings.output}" + ("" if plain else " --prompt_style task --system_prompt none")
    console.print(f"read it with: rlsp grpo {reading}", soft_wrap=True)


@dataclass
class StageArguments:
    """Which stage; further arguments override fields of its file."""

    config: Path | None = option(None, "YAML file of `rlsp sft` or `rlsp grpo`")
    stage: Literal["sft", "grpo"] | None = option(None, "kind of the stage; default by its fields")
    json: bool = option(False, "print the result as JSON")


def _described_stage(given: StageArguments, overrides: Sequence[str], **options: Any) -> stages.Stage:
    """The stage of a YAML file and its overrides; without a network, the hub is not asked."""
    if given.config is None:
        raise ConfigError("no stage: give its YAML file with --config FILE")
    stages.offline_without_network()
    words = ["--config", str(given.config), *overrides]
    return stages.read_stage(given.stage or stages.kind_of(given.config), words, also=vars(given), **options)


@dataclass
class DoctorArguments(StageArguments):
    """Check the YAML file of `rlsp sft` or `rlsp grpo` without loading weights. Further arguments override its fields.
    Ends with status 1 if an error is found."""

    processes: int | None = option(None, "ranks that the stage will run on; default $WORLD_SIZE or 1")
    elsewhere: bool = option(False, "it will run on another machine: leave out hardware, disk and judge")


def parse_doctor(arguments: Sequence[str]) -> tuple[DoctorArguments, stages.Stage]:
    """The command's own arguments, and the stage that the others describe."""
    given, overrides = stages.parse_known(DoctorArguments, arguments, "rlsp doctor")
    if given.processes is not None and given.processes < 1:
        raise ConfigError(f"--processes is a number of ranks, at least 1, got {given.processes}")
    return given, _described_stage(given, overrides, processes=given.processes, elsewhere=given.elsewhere)


def run_doctor(arguments: Sequence[str]) -> int:
    """Check a stage's YAML file and print what is found; 1 if there is an error among it, else 0."""
    given, stage = parse_doctor(arguments)
    found = examine(stage)
    if given.json:
        print(json.dumps([asdict(finding) for finding in found], indent=2))
    else:
        _show_findings(found, given.config or Path())
    return int(any(finding.severity == "error" for finding in found))


def _show_findings(found: list[Finding], path: Path) -> None:
    console = Terminal(soft_wrap=True)
    lines = path.read_text(encoding="utf-8").splitlines()
    for finding in found:
        console.print(finding.severity, style=_COLORS[finding.severity], end=" ")
        console.print(f"{finding.check}: {finding.what}\n    {finding.why}")
        if finding.change:
            console.print(f"    change {_where(finding, path, lines)}")
    errors, warnings, unchecked = (sum(finding.severity == name for finding in found) for name in _COLORS)
    console.print(f"{path}: {errors} errors, {warnings} warnings, {unchecked} not checked")


def _where(finding: Finding, path: Path, lines: Sequence[str]) -> str:
    """Where a finding's line goes: over the line that sets the field, or into the file."""
    field, colon, _ = finding.change.partition(":")
    if not (colon and field.isidentifier()):
        return finding.change
    for number, line in enumerate(lines, start=1):
        if re.match(rf"{field}\s*:", line):
            return f"{path}:{number}: `{line.split(' #')[0].strip()}` to `{finding.change}`"
    return f"{path}: add `{finding.change}`"


@dataclass
class PlanArguments(StageArguments):
    """Memory on each GPU by part, from the model's configuration. Further arguments override fields of the file."""

    gpus: str = option("1,2,4,8", "numbers of GPUs")
    memory: float = option(80.0, "memory of a GPU in GiB")
    prompt: int = option(512, "tokens of the longest prompt")


def parse_plan(arguments: Sequence[str]) -> tuple[PlanArguments, Architecture, Settings]:
    """The command's own arguments, and the model and settings of the stage."""
    given, overrides = stages.parse_known(PlanArguments, arguments, "rlsp plan")
    if given.memory <= 0 or given.prompt < 0:
        raise ConfigError(f"--memory is above 0 GiB and --prompt at least 0, got {given.memory:g} and {given.prompt}")
    stage = _described_stage(given, overrides, processes=1)
    return given, Architecture.of(stage.config), Settings.of(stage, given.prompt)


def run_plan(arguments: Sequence[str]) -> None:
    """Print the memory that a stage takes on each GPU, and what would make it fit where it does not."""
    given, architecture, settings = parse_plan(arguments)
    counts = measure.positive_numbers("--gpus", given.gpus, "1,2,4,8")
    wanted = [(gpus, strategy) for gpus in counts for strategy in strategies(settings, gpus)]
    layouts = [layout(architecture, settings, gpus, strategy) for gpus, strategy in wanted]
    best = min((one for one in layouts if one.gpus == counts[-1]), key=lambda one: one.peak)
    advice: list[Remedy] = []
    if not any(one.fits(given.memory) for one in layouts):
        advice = remedies(architecture, settings, best.gpus, best.strategy, given.memory)
    if given.json:
        print(json.dumps(_as_json(settings, layouts, advice, given.memory), indent=2))
        return
    console = Terminal()
    kind = "all weights" if settings.rank is None else f"LoRA of rank {settings.rank}"
    bits = f"{settings.bits}-bit base" if settings.bits else settings.dtype
    console.print(f"{architecture.total / 1e9:.3g} billion parameters, {bits}, {kind}; GiB on each GPU, computed")
    for gpus in counts:
        console.print(_plan_table([one for one in layouts if one.gpus == gpus], given.memory))
        step = tokens_per_step(settings, gpus)
        sampled, scored = f"{step.sampled:,.0f} tokens sampled", f"{step.scored:,} learned from in a step"
        console.print(f"{gpus} GPUs: at most {sampled}, {scored}")
    for lines, one in advice:
        verdict = "fits with" if one.fits(given.memory) else "does not fit even with"
        console.print(f"{verdict} {', '.join(lines)}: {one.peak / GIB:.1f} GiB, {one.gpus} GPUs, {one.strategy}")


def _as_json(settings: Settings, layouts: list[Layout], advice: list[Remedy], memory: float) -> dict[str, Any]:
    def described(one: Layout) -> dict[str, Any]:
        summed = {"training": one.training, "rollout": one.rollout, "peak": one.peak, "fits": one.fits(memory)}
        return {**asdict(one), **summed, "tokens_per_step": asdict(tokens_per_step(settings, one.gpus))}

    found = [{"lines": list(lines), "peak": one.peak, "fits": one.fits(memory)} for lines, one in advice]
    return {"settings": asdict(settings), "layouts": [described(one) for one in layouts], "remedies": found}


def _plan_table(layouts: list[Layout], memory: float) -> Table:
    """The parts as rows, the strategies of one number of GPUs as columns: narrow enough for any terminal."""
    table = Table(f"GPUs: {layouts[0].gpus}", *(Column(one.strategy, justify="right") for one in layouts))
    for name in (*_PARTS, "training", "rollout"):
        values = [getattr(one, name) / GIB for one in layouts]
        table.add_row(name, *(f"{value:.2f}" if value < 10 else f"{value:.1f}" for value in values))
    table.add_row(f"fits {memory:g}", *("yes" if one.fits(memory) else "no" for one in layouts))
    return table
