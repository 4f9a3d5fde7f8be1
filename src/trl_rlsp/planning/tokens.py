"""How many tokens one optimizer step samples and learns from, at most."""

from __future__ import annotations

from dataclasses import dataclass

from trl_rlsp.planning.settings import Settings


@dataclass(frozen=True)
class Tokens:
    """Tokens of one optimizer step over all GPUs, if every completion has its full length.

    Attributes:
        sampled: completion tokens that are generated.
        scored: completion tokens whose gradient is taken.
        processed: tokens of the forward passes, prompts included.
    """

    sampled: float
    scored: int
    processed: int


def tokens_per_step(settings: Settings, gpus: int) -> Tokens:
    """Tokens of an optimizer step.

    A generation serves `updates` passes over its completions; a step learns from `accumulation` micro-batches.

    Example:
        >>> settings = Settings(micro_batch=2, accumulation=4, rollouts=16, completion=100, prompt=20)
        >>> tokens_per_step(settings, gpus=8)  # 8 x 2 x 4 = 64 completions, each generated once
        Tokens(sampled=6400.0, scored=6400, processed=7680)
    """
    sequences = settings.micro_batch * settings.accumulation * gpus
    sampled = sequences * settings.completion / settings.updates if settings.rollouts else 0.0
    return Tokens(sampled, sequences * settings.completion, sequences * settings.length)
