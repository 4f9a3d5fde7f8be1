"""Means with bootstrap intervals, and pass@k and maj@k of one problem from n samples, without bias and without drawing.

Knows nothing of text: answers come as keys that are equal where the answers are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import comb

import numpy as np

from trl_rlsp.errors import ConfigError, DataError


@dataclass(frozen=True)
class Estimate:
    """A mean and its 95 % interval, from `low` to `high`."""

    mean: float
    low: float
    high: float

    def number(self, scale: float = 1, unit: str = "", sign: str = "") -> str:
        """`34.2 [31.0, 37.5]`; with sign "+" the sign of every number is shown."""
        mean, low, high = (f"{scale * value:{sign}.1f}" for value in (self.mean, self.low, self.high))
        return f"{mean}{unit} [{low}, {high}]"

    def percent(self) -> str:
        """`34.2 % [31.0, 37.5]`."""
        return self.number(100, " %")


def bootstrap_mean(values: Sequence[float], *, resamples: int = 2000, seed: int = 0) -> Estimate:
    """Mean of one value a problem, with a 95 % percentile bootstrap interval over problems; a ValueError for none.

    Resampling problems, not samples, keeps the samples of a problem together: they are averaged before.
    """
    data = np.asarray(values, dtype=float)
    if data.size == 0:
        raise ValueError("an estimate needs at least one problem, got none")
    rng = np.random.default_rng(seed)
    means = np.array([data[rng.integers(0, data.size, data.size)].mean() for _ in range(resamples)])
    low, high = np.quantile(means, [0.025, 0.975])
    return Estimate(float(data.mean()), float(low), float(high))


def pass_at_k(n: int, c: int, k: int) -> float:
    """Chance that at least one of k samples drawn from n, c of them correct, is correct.

    The unbiased estimator 1 - C(n - c, k) / C(n, k) of Chen et al. (2107.03374, section 2.1), in whole numbers up to
    the one division: exact to the last digit. A ConfigError unless 0 <= c <= n and 1 <= k <= n.

    >>> pass_at_k(5, 2, 1), pass_at_k(5, 2, 2)
    (0.4, 0.7)
    """
    if not 0 <= c <= n or not 1 <= k <= n:
        raise ConfigError(f"pass@k wants 0 <= c <= n and 1 <= k <= n, got n={n}, c={c}, k={k}; draw more samples")
    return (comb(n, k) - comb(n - c, k)) / comb(n, k)


def maj_at_k(answers: Sequence[Hashable | None], scores: Sequence[float | None], k: int) -> float | None:
    """Expected score of the answer that most of k samples give (self-consistency, 2203.11171, section 2).

    The expectation is over all subsets of k of the n samples and is exact. A sample without an answer does not vote;
    answers with equally many votes share the win evenly; a subset in which nobody votes scores 0. An answer's score is
    the mean of the known scores of its samples; `None` where no sample has one, or an answer that may win has none.

    Args:
        answers: n keys, equal where the answers are; `None` for no answer.
        scores: n scores.
        k: samples that vote, 1 <= k <= n, else there is a ConfigError.

    >>> maj_at_k(["7", "7", "9"], [1.0, 1.0, 0.0], 3)
    1.0
    >>> maj_at_k(["7", None, "9"], [1.0, 0.0, 0.0], 3)  # a tie
    0.5
    """
    if not 1 <= k <= len(answers):
        raise ConfigError(f"maj@k wants 1 <= k <= n, got n={len(answers)}, k={k}; draw more samples")
    return majority_curve(answers, scores, [k])[0]


def majority_curve(
    answers: Sequence[Hashable | None], scores: Sequence[float | None], ks: Sequence[int] | None = None
) -> list[float | None]:
    """`maj_at_k` for several k, by default all of 1..n, at the price of one.

    >>> majority_curve(["7", "7", "9"], [1.0, 1.0, 0.0])  # with 2 votes, 2 of 3 pairs are ties
    [0.6666666666666666, 0.6666666666666666, 1.0]
    """
    if len(answers) != len(scores):
        raise DataError(f"every answer has a score (maybe None), got {len(answers)} answers and {len(scores)} scores")
    wanted = range(1, len(answers) + 1) if ks is None else ks
    if all(score is None for score in scores):
        return [None for _ in wanted]
    votes = Counter(answer for answer in answers if answer is not None)
    known: dict[Hashable, list[Fraction]] = {}
    for answer, score in zip(answers, scores, strict=True):
        if answer is not None and score is not None:
            known.setdefault(answer, []).append(Fraction(score))
    means = {answer: sum(found, Fraction()) / len(found) for answer, found in known.items()}
    silent = len(answers) - votes.total()
    wins = {own: _wins(own, list(votes.values()), silent, max(wanted)) for own in set(votes.values())}
    curve: list[float | None] = []
    for k in wanted:
        winners = [answer for answer, own in votes.items() if wins[own][k]]
        expected = sum((wins[votes[answer]][k] * means[answer] for answer in winners if answer in means), Fraction())
        curve.append(float(expected / comb(len(answers), k)) if means.keys() >= {*winners} else None)
    return curve


def _wins(votes: int, ballots: list[int], silent: int, largest: int) -> list[Fraction]:
    """Subsets of each size won by an answer with `votes` samples, a win shared with e others counted as 1/(1 + e)."""
    others = list(ballots)
    others.remove(votes)
    wins = [Fraction()] * (largest + 1)
    for own in range(1, min(votes, largest) + 1):
        for (size, ties), count in _rivals(others, silent, own, largest - own).items():
            wins[own + size] += Fraction(comb(votes, own) * count, 1 + ties)
    return wins


def _rivals(others: list[int], silent: int, most: int, largest: int) -> Counter[tuple[int, int]]:
    """Ways to draw so many of the other samples, no answer of them with more than `most` votes and so many with it."""
    ways = Counter({(size, 0): comb(silent, size) for size in range(min(silent, largest) + 1)})
    for votes in others:
        grown: Counter[tuple[int, int]] = Counter()
        for (size, ties), count in ways.items():
            for drawn in range(min(votes, most, largest - size) + 1):
                grown[size + drawn, ties + (drawn == most)] += count * comb(votes, drawn)
        ways = grown
    return ways
