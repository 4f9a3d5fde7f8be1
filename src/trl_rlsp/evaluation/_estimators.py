"""pass@k and maj@k of one problem, from n samples, without bias and without drawing.

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

Ways = list[list[int]]
"""`ways[size][ties]`: subsets of that size in which that many answers have as many votes as the winner."""


def pass_at_k(n: int, c: int, k: int) -> float:
    """Chance that at least one of k samples drawn from n, c of them correct, is correct.

    The unbiased estimator 1 - C(n - c, k) / C(n, k) of Chen et al. (2107.03374, section 2.1), in whole numbers up to
    the one division, so that it is exact to the last digit for every n.

    Args:
        n: samples drawn.
        c: correct ones.
        k: samples that may be tried.

    Returns:
        A probability.

    Raises:
        ConfigError: not 0 <= c <= n and 1 <= k <= n.

    >>> pass_at_k(5, 2, 1), pass_at_k(5, 2, 2)
    (0.4, 0.7)
    """
    if not 0 <= c <= n or not 1 <= k <= n:
        raise ConfigError(f"pass@k wants 0 <= c <= n and 1 <= k <= n, got n={n}, c={c}, k={k}; draw more samples")
    return (comb(n, k) - comb(n - c, k)) / comb(n, k)


def maj_at_k(answers: Sequence[Hashable | None], scores: Sequence[float | None], k: int) -> float | None:
    """Expected score of the answer that most of k samples give (self-consistency, 2203.11171, section 2).

    The expectation is over all subsets of k of the n samples and is exact. A sample without an answer does not vote;
    answers with equally many votes share the win evenly; a subset in which nobody votes scores 0.

    Args:
        answers: n keys, equal where the answers are; `None` for no answer.
        scores: n scores. An answer's score is the mean of the known scores of its samples.
        k: samples that vote.

    Returns:
        The expected score, or `None` where it is not known: no score at all, or an answer that may win has none.

    Raises:
        ConfigError: not 1 <= k <= n.
        DataError: not as many scores as answers.

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
    """`maj_at_k` for several k at the price of one.

    Args:
        answers: n keys, as for `maj_at_k`.
        scores: n scores.
        ks: values of k, each in 1..n; default all of them.

    Returns:
        One expected score for each k.

    Raises:
        DataError: not as many scores as answers.

    >>> majority_curve(["7", "7", "9"], [1.0, 1.0, 0.0])  # with 2 votes, 2 of 3 pairs are ties
    [0.6666666666666666, 0.6666666666666666, 1.0]
    """
    if len(answers) != len(scores):
        raise DataError(f"every answer has a score (maybe None), got {len(answers)} answers and {len(scores)} scores")
    wanted = range(1, len(answers) + 1) if ks is None else ks
    if all(score is None for score in scores):
        return [None for _ in wanted]
    ballots = _ballots(answers, scores)
    silent = sum(answer is None for answer in answers)
    by_votes = {votes: _wins(votes, ballots, silent, max(wanted)) for votes in {b.votes for b in ballots}}
    return [_expected(ballots, by_votes, len(answers), k) for k in wanted]


@dataclass(frozen=True)
class _Ballot:
    """An answer: its samples, and its score where one is known."""

    votes: int
    score: Fraction | None


def _ballots(answers: Sequence[Hashable | None], scores: Sequence[float | None]) -> list[_Ballot]:
    known: dict[Hashable, list[Fraction]] = {}
    for answer, score in zip(answers, scores, strict=True):
        if answer is not None and score is not None:
            known.setdefault(answer, []).append(Fraction(score))
    return [
        _Ballot(votes, sum(known[answer], Fraction()) / len(known[answer]) if answer in known else None)
        for answer, votes in Counter(answer for answer in answers if answer is not None).items()
    ]


def _expected(ballots: list[_Ballot], by_votes: dict[int, list[Fraction]], n: int, k: int) -> float | None:
    total = Fraction()
    for ballot in ballots:
        wins = by_votes[ballot.votes][k]
        if wins == 0:
            continue
        if ballot.score is None:
            return None
        total += wins * ballot.score
    return float(total / comb(n, k))


def _wins(votes: int, ballots: list[_Ballot], silent: int, largest: int) -> list[Fraction]:
    """Subsets of each size won by an answer with `votes` samples, a win shared with e others counted as 1/(1 + e)."""
    others = [ballot.votes for ballot in ballots]
    others.remove(votes)
    wins = [Fraction()] * (largest + 1)
    for own in range(1, min(votes, largest) + 1):
        ways = _rivals(others, silent, own, largest - own)
        for size, by_ties in enumerate(ways):
            shared = sum((Fraction(count, 1 + ties) for ties, count in enumerate(by_ties) if count), Fraction())
            wins[own + size] += comb(votes, own) * shared
    return wins


def _rivals(others: list[int], silent: int, most: int, largest: int) -> Ways:
    """Ways to draw up to `largest` of the other samples so that no other answer has more than `most` votes."""
    width = min(len(others), largest // most) + 1
    ways: Ways = [[comb(silent, size)] + [0] * (width - 1) for size in range(largest + 1)]
    for votes in others:
        ways = _with_rival(ways, votes, most)
    return ways


def _with_rival(ways: Ways, votes: int, most: int) -> Ways:
    grown: Ways = [[0] * len(ways[0]) for _ in ways]
    for size, by_ties in enumerate(ways):
        if not any(by_ties):
            continue
        for drawn in range(min(votes, most, len(ways) - 1 - size) + 1):
            tie = int(drawn == most)
            target = grown[size + drawn]
            for ties, count in enumerate(by_ties):
                if count:
                    target[ties + tie] += count * comb(votes, drawn)
    return grown


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
