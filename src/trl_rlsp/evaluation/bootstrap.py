"""Estimates with intervals over problems."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Estimate:
    """A mean and its 95 % interval.

    Attributes:
        mean: the estimate.
        low: lower end of the interval.
        high: upper end of the interval.
    """

    mean: float
    low: float
    high: float

    def percent(self) -> str:
        """`34.2 % [31.0, 37.5]`."""
        return f"{100 * self.mean:.1f} % [{100 * self.low:.1f}, {100 * self.high:.1f}]"

    def number(self) -> str:
        """`34.2 [31.0, 37.5]`."""
        return f"{self.mean:.1f} [{self.low:.1f}, {self.high:.1f}]"


def bootstrap_mean(values: Sequence[float], *, resamples: int = 2000, seed: int = 0) -> Estimate:
    """Mean of one value a problem, with a 95 % percentile bootstrap interval over problems.

    Args:
        values: one value a problem (already averaged over its samples); resampling problems, not samples, keeps
            the samples of a problem together.
        resamples: bootstrap resamples.
        seed: seed of the resampling.

    Returns:
        The estimate; mean, low and high are equal for a constant.

    Raises:
        ValueError: no values.
    """
    data = np.asarray(values, dtype=float)
    if data.size == 0:
        raise ValueError("an estimate needs at least one problem, got none")
    rng = np.random.default_rng(seed)
    means = np.array([data[rng.integers(0, data.size, data.size)].mean() for _ in range(resamples)])
    low, high = np.quantile(means, [0.025, 0.975])
    return Estimate(float(data.mean()), float(low), float(high))
