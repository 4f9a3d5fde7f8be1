"""What would make a stage fit on a card: changes of its YAML file, each tried in the plan."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from trl_rlsp.planning.architecture import Architecture
from trl_rlsp.planning.layout import Layout, Strategy, layout
from trl_rlsp.planning.settings import Settings


@dataclass(frozen=True)
class Remedy:
    """Changes with which a stage fits, or comes closest.

    Attributes:
        lines: YAML lines, all of them together.
        layout: the memory with them.
    """

    lines: tuple[str, ...]
    layout: Layout


def changes(settings: Settings) -> Iterator[tuple[str, Settings]]:
    """Single changes that save memory, those that cost least first: YAML lines and the settings with them."""
    if not settings.checkpointing:
        yield "gradient_checkpointing: true", replace(settings, checkpointing=True)
    if settings.dtype == "float32":
        yield "dtype: bfloat16", replace(settings, dtype="bfloat16")
    if settings.micro_batch > 1:
        half = settings.micro_batch // 2
        lines = f"per_device_train_batch_size: {half}, gradient_accumulation_steps: {settings.accumulation * 2}"
        yield lines, replace(settings, micro_batch=half, accumulation=settings.accumulation * 2)
    if settings.rollouts > settings.micro_batch:
        steps = settings.rollouts // settings.micro_batch // 2
        yield f"steps_per_generation: {steps}", replace(settings, rollouts=steps * settings.micro_batch)
    if "8bit" not in settings.optimizer and "adamw" in settings.optimizer:
        yield "optim: paged_adamw_8bit", replace(settings, optimizer="paged_adamw_8bit")
    if settings.rank is None:
        yield "use_peft: true", replace(settings, rank=16, targets="all-linear")
    elif settings.bits is None and settings.vllm is None:
        yield "load_in_4bit: true", replace(settings, bits=4)
    if settings.completion > 512:
        field = "max_length" if settings.kind == "sft" else "max_completion_length"
        yield f"{field}: {settings.completion // 2}", replace(settings, completion=settings.completion // 2)


def remedies(
    architecture: Architecture, settings: Settings, gpus: int, strategy: Strategy, memory: float
) -> list[Remedy]:
    """Every single change with which the stage fits; if none does, the fewest together, the largest saving first.

    Args:
        architecture: shapes of the model.
        settings: as they are.
        gpus: GPUs.
        strategy: how the parts are divided.
        memory: of a card in GiB.

    Returns:
        Remedies; the last one may not fit either if nothing does. Empty if it fits as it is.
    """
    if layout(architecture, settings, gpus, strategy).fits(memory):
        return []
    tried = [Remedy((line,), layout(architecture, new, gpus, strategy)) for line, new in changes(settings)]
    fitting = [remedy for remedy in tried if remedy.layout.fits(memory)]
    return fitting or [_together(architecture, settings, gpus, strategy, memory)]


def _together(architecture: Architecture, settings: Settings, gpus: int, strategy: Strategy, memory: float) -> Remedy:
    chosen: dict[str, str] = {}
    best = layout(architecture, settings, gpus, strategy)
    while not best.fits(memory):
        tried = [(layout(architecture, new, gpus, strategy), line, new) for line, new in changes(settings)]
        if not tried:
            break
        found, line, settings = min(tried, key=lambda one: one[0].peak)
        if found.peak >= best.peak:
            break
        best = found
        for part in line.split(", "):  # a field that is changed twice keeps its last value
            chosen[part.split(":")[0]] = part
    return Remedy(tuple(chosen.values()), best)
