"""`rlsp doctor` and `rlsp plan`: what is wrong with a stage and what memory it takes, before a GPU is paid for."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from trl_rlsp.errors import ConfigError
from trl_rlsp.stages import parse_known

if TYPE_CHECKING:
    from rich.table import Table

    from trl_rlsp.doctor import Finding
    from trl_rlsp.planning import Architecture, Layout, Remedy, Settings
    from trl_rlsp.stages import Stage

PARTS = ("weights", "adapter", "gradients", "optimizer", "reference", "activations", "logits", "working", "cache")
COLORS = {"error": "red", "warning": "yellow", "not checked": "blue"}


@dataclass
class StageArguments:
    """Which stage: further arguments override fields of its file.

    Args:
        config: YAML file of `rlsp sft` or `rlsp grpo`.
        stage: kind of the stage; default by its fields.
    """

    config: Path | None = None
    stage: Literal["sft", "grpo"] | None = None


@dataclass
class DoctorArguments(StageArguments):
    """Check the YAML file of `rlsp sft` or `rlsp grpo` without loading weights. Further arguments override its fields.
    Ends with status 1 if an error is found."""

    processes: int | None = field(
        default=None, metadata={"help": "ranks that the stage will run on; default $WORLD_SIZE or 1"}
    )
    elsewhere: bool = field(
        default=False,
        metadata={"flag": True, "help": "it will run on another machine: leave out hardware, disk and judge"},
    )
    json: bool = field(default=False, metadata={"flag": True, "help": "print the findings as JSON"})


def run_doctor(arguments: Sequence[str]) -> int:
    """Check a stage's YAML file and print what is found.

    Args:
        arguments: `--config FILE`, options, and overrides as the stage's own command takes them.

    Returns:
        1 if there is an error among the findings, else 0.

    Raises:
        ConfigError: no file, or a field that no stage has.
    """
    from trl_rlsp.doctor import examine

    given, stage = parse_doctor(arguments)
    found = examine(stage)
    if given.json:
        print(json.dumps([asdict(finding) for finding in found], indent=2))
    else:
        show_findings(found, given.config or Path())
    return int(any(finding.severity == "error" for finding in found))


def parse_doctor(arguments: Sequence[str]) -> tuple[DoctorArguments, Stage]:
    """The command's own arguments, and the stage that the others describe.

    Raises:
        ConfigError: no file, or a field that no stage has.
    """
    given, overrides = parse_known(DoctorArguments, arguments, "rlsp doctor")
    if given.processes is not None and given.processes < 1:
        raise ConfigError(f"--processes is a number of ranks, at least 1, got {given.processes}")
    return given, described_stage(given, overrides, processes=given.processes, elsewhere=given.elsewhere)


def described_stage(given: StageArguments, overrides: Sequence[str], **options: Any) -> Stage:
    """The stage of a YAML file and its overrides; without a network, the hub is not asked."""
    from trl_rlsp.stages import kind_of, offline_without_network, read_stage

    if given.config is None:
        raise ConfigError("no stage: give its YAML file with --config FILE")
    offline_without_network()
    return read_stage(given.stage or kind_of(given.config), ["--config", str(given.config), *overrides], **options)


def show_findings(found: list[Finding], path: Path) -> None:
    """Print findings, each with the line of the file to change."""
    from trl_rlsp.text import Terminal

    console = Terminal(soft_wrap=True)
    text = path.read_text(encoding="utf-8")
    for finding in found:
        console.print(finding.severity, style=COLORS[finding.severity], end=" ")
        console.print(f"{finding.check}: {finding.what}")
        console.print(f"    {finding.why}")
        if finding.change:
            console.print(f"    change {where(finding, path, text)}")
    counts = {name: sum(finding.severity == name for finding in found) for name in COLORS}
    summary = f"{counts['error']} errors, {counts['warning']} warnings, {counts['not checked']} not checked"
    console.print(f"{path}: {summary}")


def where(finding: Finding, path: Path, text: str) -> str:
    """Where a finding's line goes: over the line that sets the field, or into the file.

    Example:
        >>> from trl_rlsp.doctor import Finding
        >>> where(Finding("bf16", "error", "", "", "bf16: false"), Path("grpo.yaml"), "seed: 1\\nbf16: true # fast\\n")
        'grpo.yaml:2: `bf16: true` to `bf16: false`'
    """
    if finding.field is None:
        return finding.change
    for number, line in enumerate(text.splitlines(), start=1):
        if re.match(rf"{finding.field}\s*:", line):
            return f"{path}:{number}: `{line.split(' #')[0].strip()}` to `{finding.change}`"
    return f"{path}: add `{finding.change}`"


@dataclass
class PlanArguments(StageArguments):
    """Memory on each GPU by part, from the model's configuration alone. Further arguments override fields of the
    file."""

    gpus: str = field(default="1,2,4,8", metadata={"help": "numbers of GPUs"})
    memory: float = field(default=80.0, metadata={"help": "memory of a GPU in GiB"})
    prompt: int = field(default=512, metadata={"help": "tokens of the longest prompt"})
    json: bool = field(default=False, metadata={"flag": True, "help": "print bytes as JSON"})


def run_plan(arguments: Sequence[str]) -> None:
    """Print the memory that a stage takes on each GPU.

    Args:
        arguments: `--config FILE`, options, and overrides as the stage's own command takes them.

    Raises:
        ConfigError: no file, a field that no stage has, or settings that no plan can be made for.
    """
    from trl_rlsp.planning import layout, remedies, strategies

    given, architecture, settings = parse_plan(arguments)
    counts = numbers(given.gpus)
    wanted = [(gpus, strategy) for gpus in counts for strategy in strategies(settings, gpus)]
    layouts = [layout(architecture, settings, gpus, strategy) for gpus, strategy in wanted]
    largest = [one for one in layouts if one.gpus == counts[-1]]
    best = min(largest, key=lambda one: one.peak)
    advice: list[Remedy] = []
    if not any(one.fits(given.memory) for one in layouts):
        advice = remedies(architecture, settings, best.gpus, best.strategy, given.memory)
    if given.json:
        print(json.dumps(as_json(settings, layouts, advice, given.memory), indent=2))
    else:
        show_plan(architecture, settings, layouts, advice, given.memory)


def parse_plan(arguments: Sequence[str]) -> tuple[PlanArguments, Architecture, Settings]:
    """The command's own arguments, and the model and settings of the stage.

    Raises:
        ConfigError: no file, or a field that no stage has.
        RLSPError: the model's configuration cannot be had.
    """
    from trl_rlsp.planning import Architecture, Settings

    given, overrides = parse_known(PlanArguments, arguments, "rlsp plan")
    if given.memory <= 0 or given.prompt < 0:
        raise ConfigError(f"--memory is above 0 GiB and --prompt at least 0, got {given.memory:g} and {given.prompt}")
    stage = described_stage(given, overrides, processes=1)
    return given, Architecture.of(stage.config), Settings.of(stage, given.prompt)


def numbers(text: str) -> list[int]:
    """Numbers of GPUs from a list with commas.

    Raises:
        ConfigError: something that is no number above 0.

    Example:
        >>> numbers("1,8")
        [1, 8]
    """
    parts = text.split(",")
    if not all(part.strip().isdigit() and int(part) > 0 for part in parts):
        raise ConfigError(f"--gpus is a list of numbers above 0 such as 1,2,4,8, got {text!r}")
    return sorted({int(part) for part in parts})


def as_json(settings: Settings, layouts: list[Layout], advice: list[Remedy], memory: float) -> dict[str, Any]:
    """The plan as plain values, in bytes."""
    from trl_rlsp.planning import tokens_per_step

    rows = [
        asdict(one)
        | {"training": one.training, "rollout": one.rollout, "peak": one.peak, "fits": one.fits(memory)}
        | {"tokens_per_step": asdict(tokens_per_step(settings, one.gpus))}
        for one in layouts
    ]
    found = [{"lines": list(one.lines), "peak": one.layout.peak, "fits": one.layout.fits(memory)} for one in advice]
    return {"settings": asdict(settings), "layouts": rows, "remedies": found}


def show_plan(
    architecture: Architecture, settings: Settings, layouts: list[Layout], advice: list[Remedy], memory: float
) -> None:
    """Print the plan in GiB, and what would make it fit."""
    from trl_rlsp.planning import GIB, tokens_per_step
    from trl_rlsp.text import Terminal

    console = Terminal()
    kind = "all weights" if settings.rank is None else f"LoRA of rank {settings.rank}"
    bits = f"{settings.bits}-bit base" if settings.bits else settings.dtype
    console.print(f"{architecture.total / 1e9:.3g} billion parameters, {bits}, {kind}; GiB on each GPU, computed")
    for gpus in sorted({one.gpus for one in layouts}):
        console.print(plan_table([one for one in layouts if one.gpus == gpus], memory))
        step = tokens_per_step(settings, gpus)
        console.print(
            f"{gpus} GPUs: at most {step.sampled:,.0f} tokens sampled, {step.scored:,} learned from in a step"
        )
    for remedy in advice:
        one = remedy.layout
        verdict = "fits with" if one.fits(memory) else "does not fit even with"
        console.print(f"{verdict} {', '.join(remedy.lines)}: {one.peak / GIB:.1f} GiB, {one.gpus} GPUs, {one.strategy}")


def plan_table(layouts: list[Layout], memory: float) -> Table:
    """The parts as rows, the strategies of one number of GPUs as columns: narrow enough for any terminal."""
    from rich.table import Table

    from trl_rlsp.planning import GIB

    table = Table(f"GPUs: {layouts[0].gpus}", *(one.strategy for one in layouts))
    for column in table.columns[1:]:
        column.justify = "right"
    for name in (*PARTS, "training", "rollout"):
        values = [getattr(one, name) / GIB for one in layouts]
        table.add_row(name, *(f"{value:.2f}" if value < 10 else f"{value:.1f}" for value in values))
    table.add_row(f"fits {memory:g}", *("yes" if one.fits(memory) else "no" for one in layouts))
    return table
