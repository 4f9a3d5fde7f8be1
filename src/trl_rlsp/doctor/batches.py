"""How completions are dealt out: whole groups over ranks, and enough prompts for one generation."""

from __future__ import annotations

import math
from collections.abc import Iterator

from trl_rlsp.doctor.finding import Finding
from trl_rlsp.stages.stage import Stage


def check_groups(stage: Stage) -> Iterator[Finding]:
    """A generation must hold whole groups: TRL refuses anything else."""
    training, name = stage.training, "groups"
    group = training.num_generations
    if group < 2:
        yield Finding(
            name,
            "error",
            f"num_generations is {group}",
            "an advantage is a difference within a group of at least two completions",
            "num_generations: 8",
        )
        return
    at_once = training.per_device_train_batch_size * stage.processes
    ranks = f"{training.per_device_train_batch_size} completions on each of {stage.processes} ranks"
    total = stage.sequences_per_generation
    whole = math.lcm(at_once, group)
    if training.generation_batch_size:
        if total % at_once or total % group:
            yield Finding(
                name,
                "error",
                f"generation_batch_size {total} is no multiple of num_generations {group} and of {ranks}",
                "a generation holds whole groups, cut into equal micro-batches; TRL refuses anything else",
                f"generation_batch_size: {whole * math.ceil(total / whole)}",
            )
    elif total % group:
        field = "steps_per_generation" if training.steps_per_generation else "gradient_accumulation_steps"
        yield Finding(
            name,
            "error",
            f"{ranks} times {stage.steps_per_generation} steps are {total} completions, "
            f"no multiple of num_generations {group}",
            "a generation holds whole groups; TRL refuses anything else",
            f"{field}: {whole * math.ceil(total / whole) // at_once}",
        )


def check_prompts(stage: Stage) -> Iterator[Finding]:
    """Fewer prompts than one generation takes: TRL drops the incomplete batch and trains for no step at all."""
    prompts = len(stage.rows)
    needed = stage.sequences_per_generation // max(stage.training.num_generations, 1)
    if prompts < needed:
        yield Finding(
            "prompts",
            "error",
            f"there are {prompts} prompts and one generation takes {needed}",
            "TRL leaves out an incomplete batch of prompts: with no other it ends after 0 steps, in silence",
            fitting_line(stage, prompts),
        )


def fitting_line(stage: Stage, prompts: int) -> str:
    """The line with which `prompts` fill a generation: fewer micro-batches, else smaller ones."""
    training, group = stage.training, stage.training.num_generations
    at_once, most = training.per_device_train_batch_size * stage.processes, prompts * group
    whole = math.lcm(at_once, group)
    fits = most // whole * whole
    by_total = bool(training.generation_batch_size) and not training.steps_per_generation  # both after TRL's parsing
    if fits and by_total:
        return f"generation_batch_size: {fits}"
    if fits:
        field = "steps_per_generation" if training.steps_per_generation else "gradient_accumulation_steps"
        return f"{field}: {fits // at_once}"
    ranks = stage.processes * (1 if by_total else stage.steps_per_generation)
    smaller = [size for size in range(1, most // ranks + 1) if size * ranks % group == 0]
    return f"per_device_train_batch_size: {smaller[-1]}" if smaller else "take more problems"
