"""Rewards that other methods use, as arms to compare with; what the package has itself is not repeated here."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any


class RandomVerdict:
    """A verdict by the toss of a coin, the control of "Spurious Rewards" (2506.10947): 1 with probability `rate`.

    The toss is a hash of the completion and of the trainer's step, so that a run can be repeated, and equal completions
    of a generation get equal verdicts.

    Args:
        rate: probability of a verdict of 1, in [0, 1].
    """

    __name__ = "outcome_verifier"

    def __init__(self, rate: float = 0.5) -> None:
        self.rate = rate

    def __call__(
        self, *, completions: Sequence[Any], prompts: Sequence[Any], trainer_state: Any = None, **others: Any
    ) -> list[float]:
        """One verdict for each completion."""
        step = getattr(trainer_state, "global_step", 0)
        return [
            float(_share(f"{step} {prompt} {completion}") < self.rate)
            for prompt, completion in zip(prompts, completions, strict=True)
        ]


def _share(text: str) -> float:
    """A number in [0, 1) that looks random."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48
