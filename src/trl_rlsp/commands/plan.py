"""`rlsp plan --config FILE`: memory on each GPU by part, and what would make it fit."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from trl_rlsp.errors import ConfigError
from trl_rlsp.stages.parsing import parse_known

if TYPE_CHECKING:
    from rich.table import Table

    from trl_rlsp.planning import Architecture, Layout, Remedy, Settings

COLUMNS = ("weights", "adapter", "gradients", "optimizer", "reference", "activations", "logits", "working", "cache")


@dataclass
class PlanArguments:
    """Which stage to plan, and for which GPUs."""

    config: Path | None = field(default=None, metadata={"help": "YAML file of `rlsp sft` or `rlsp grpo`"})
    stage: Literal["sft", "grpo"] | None = field(
        default=None, metadata={"help": "kind of the stage; default by its fields"}
    )
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
        show(architecture, settings, layouts, advice, given.memory)


def parse_plan(arguments: Sequence[str]) -> tuple[PlanArguments, Architecture, Settings]:
    """The command's own arguments, and the model and settings of the stage.

    Raises:
        ConfigError: no file, or a field that no stage has.
        RLSPError: the model's configuration cannot be had.
    """
    from trl_rlsp.planning import Architecture, Settings
    from trl_rlsp.stages.models import offline_without_network
    from trl_rlsp.stages.stage import kind_of, read_stage

    described = (
        "Memory on each GPU by part, from the model's configuration alone. Further arguments override fields of the "
        "file."
    )
    given, overrides = parse_known((PlanArguments,), arguments, "rlsp plan", description=described)
    if given.config is None:
        raise ConfigError("no stage: give its YAML file with --config FILE")
    if given.memory <= 0 or given.prompt < 0:
        raise ConfigError(f"--memory is above 0 GiB and --prompt at least 0, got {given.memory:g} and {given.prompt}")
    offline_without_network()
    kind = given.stage or kind_of(given.config)
    stage = read_stage(kind, ["--config", str(given.config), *overrides], processes=1)
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


def show(
    architecture: Architecture, settings: Settings, layouts: list[Layout], advice: list[Remedy], memory: float
) -> None:
    """Print the plan in GiB, and what would make it fit."""
    from trl_rlsp.planning import GIB, tokens_per_step
    from trl_rlsp.text.terminal import Terminal

    console = Terminal()
    kind = "all weights" if settings.rank is None else f"LoRA of rank {settings.rank}"
    bits = f"{settings.bits}-bit base" if settings.bits else settings.dtype
    console.print(f"{architecture.total / 1e9:.3g} billion parameters, {bits}, {kind}; GiB on each GPU, computed")
    for gpus in sorted({one.gpus for one in layouts}):
        console.print(_table([one for one in layouts if one.gpus == gpus], memory))
        step = tokens_per_step(settings, gpus)
        console.print(
            f"{gpus} GPUs: at most {step.sampled:,.0f} tokens sampled, {step.scored:,} learned from in a step"
        )
    for remedy in advice:
        one = remedy.layout
        verdict = "fits with" if one.fits(memory) else "does not fit even with"
        console.print(f"{verdict} {', '.join(remedy.lines)}: {one.peak / GIB:.1f} GiB, {one.gpus} GPUs, {one.strategy}")


def _table(layouts: list[Layout], memory: float) -> Table:
    """The parts as rows, the strategies of one number of GPUs as columns: narrow enough for any terminal."""
    from rich.table import Table

    from trl_rlsp.planning import GIB

    table = Table(f"GPUs: {layouts[0].gpus}", *(one.strategy for one in layouts))
    for column in table.columns[1:]:
        column.justify = "right"
    for name in (*COLUMNS, "training", "rollout"):
        values = [getattr(one, name) / GIB for one in layouts]
        table.add_row(name, *(f"{value:.2f}" if value < 10 else f"{value:.1f}" for value in values))
    table.add_row(f"fits {memory:g}", *("yes" if one.fits(memory) else "no" for one in layouts))
    return table
