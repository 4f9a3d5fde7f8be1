"""95 % intervals over seeds and problems, and rank correlation.

S seeds are crossed with P problems: every run answers the same problems. A resample draws seeds and, independently,
problems, each with replacement, and takes the mean over the product. Two arms are compared on the same draw of
problems, with seeds drawn for each arm by itself. Missing values (`nan`) are left out, never counted as numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
"""values_SP: one row a seed, one column a problem."""

Interval = list[float]
"""Mean, lower and upper end."""

RESAMPLES = 2000


def matrix(rows: Sequence[Sequence[float | None]]) -> Values:
    """S lists of P values as values_SP, `None` as `nan`."""
    return np.array([[np.nan if value is None else value for value in row] for row in rows], dtype=float)


def resampled_means(values_SP: Values, weights_RP: Values, rng: np.random.Generator) -> Values:
    """Means of R resamples: problems as `weights_RP` says, seeds drawn here."""
    seeds = len(values_SP)
    weights_RS = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=len(weights_RP)).astype(float)
    known_SP = ~np.isnan(values_SP)
    total_R = ((weights_RS @ np.where(known_SP, values_SP, 0.0)) * weights_RP).sum(axis=1)
    count_R = ((weights_RS @ known_SP) * weights_RP).sum(axis=1)
    return np.divide(total_R, count_R, out=np.full_like(total_R, np.nan), where=count_R > 0)


@lru_cache(maxsize=16)
def problem_weights(problems: int, seed: int = 0, resamples: int = RESAMPLES) -> Values:
    """weights_RP: how often each resample draws each problem; the same for every arm and metric."""
    rng = np.random.default_rng([seed, problems])
    return rng.multinomial(problems, np.full(problems, 1 / problems), size=resamples).astype(float)


def interval(values_SP: Values, *, seed: int = 0, resamples: int = RESAMPLES) -> Interval:
    """Mean with its hierarchical bootstrap interval.

    Args:
        values_SP: one value for each seed and problem.
        seed: seed of the resampling.
        resamples: number of resamples.

    >>> interval(matrix([[0.5, 0.5], [0.5, 0.5]]))
    [0.5, 0.5, 0.5]
    """
    weights_RP = problem_weights(values_SP.shape[1], seed, resamples)
    means_R = resampled_means(values_SP, weights_RP, np.random.default_rng(seed))
    return _with_ends(float(np.nanmean(values_SP)), means_R)


def difference(ours_SP: Values, theirs_SP: Values, *, seed: int = 0, resamples: int = RESAMPLES) -> Interval:
    """Mean of ours minus mean of theirs on the same problems, with its interval.

    Args:
        ours_SP: values of one arm.
        theirs_SP: values of the other on the same P problems; the number of seeds may differ.
        seed: seed of the resampling.
        resamples: number of resamples.

    Raises:
        ValueError: not the same number of problems.
    """
    if ours_SP.shape[1] != theirs_SP.shape[1]:
        raise ValueError(f"both arms need the same problems, got {ours_SP.shape[1]} and {theirs_SP.shape[1]}")
    rng = np.random.default_rng(seed)
    weights_RP = problem_weights(ours_SP.shape[1], seed, resamples)
    means_R = resampled_means(ours_SP, weights_RP, rng) - resampled_means(theirs_SP, weights_RP, rng)
    return _with_ends(float(np.nanmean(ours_SP) - np.nanmean(theirs_SP)), means_R)


def _with_ends(mean: float, means_R: Values) -> Interval:
    low, high = np.nanquantile(means_R, [0.025, 0.975])
    return [round(mean, 5), round(float(low), 5), round(float(high), 5)]


def ranks(values: Values) -> Values:
    """Ranks from 1; equal values share their mean rank.

    >>> ranks(np.array([10.0, 30.0, 10.0])).tolist()
    [1.5, 3.0, 1.5]
    """
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]


def spearman(a: Values, b: Values) -> float:
    """Spearman's rank correlation; `nan` where one side is constant."""
    x, y = ranks(a) - (len(a) + 1) / 2, ranks(b) - (len(b) + 1) / 2
    scale = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / scale if scale else float("nan")


def rank_correlation(
    difficulty_P: Sequence[float], values_SP: Values, *, seed: int = 0, resamples: int = 300
) -> Interval | None:
    """Spearman's correlation of difficulty with the mean over seeds, with its interval over seeds and problems.

    Returns:
        `None` where either side is constant.
    """
    difficulty = np.asarray(difficulty_P, dtype=float)
    found = spearman(difficulty, values_SP.mean(axis=0))
    if np.isnan(found):
        return None
    rng, (seeds, problems) = np.random.default_rng(seed), values_SP.shape
    drawn = np.empty(resamples)
    for index in range(resamples):
        rows, columns = rng.integers(0, seeds, seeds), rng.integers(0, problems, problems)
        drawn[index] = spearman(difficulty[columns], values_SP[rows][:, columns].mean(axis=0))
    return _with_ends(found, drawn)
