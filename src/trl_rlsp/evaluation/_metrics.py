"""Metrics of scored samples, each with a bootstrap interval over problems; pass@k and maj@k are unbiased and exact."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import comb
from statistics import fmean
from typing import Any

import numpy as np

from trl_rlsp.errors import ConfigError, DataError


@dataclass(frozen=True)
class Estimate:
    """A mean and its 95 % interval, from `low` to `high`."""

    mean: float
    low: float
    high: float

    def number(self, scale: float = 1, unit: str = "", sign: str = "") -> str:
        """`34.2 [31.0, 37.5]`; with sign "+", every number has a sign."""
        mean, low, high = (f"{scale * value:{sign}.1f}" for value in (self.mean, self.low, self.high))
        return f"{mean}{unit} [{low}, {high}]"

    def percent(self) -> str:
        """`34.2 % [31.0, 37.5]`."""
        return self.number(100, " %")


@dataclass(frozen=True)
class ScoredSample:
    """A completion with its verdict.

    Attributes:
        problem: index of the problem; `sample` numbers its completions, from 0.
        finished: whether it gives a final answer within the token limit; `truncated` means that it hit the limit.
        score: 1.0, 0.0, a fraction between them, or `None` if it is not scorable; `reason` gives the reason.
        answer: key of its final answer; equal answers to a problem have equal keys; `None` for no answer.
        compared_gold: the gold answer that the verifier compared with `compared_answer`; `None` if unreadable.
        task_metrics: metrics that are specific to its task.
    """

    problem: int
    text: str
    tokens: int
    finished: bool
    score: float | None
    reason: str
    sample: int = 0
    truncated: bool = False
    answer: str | None = None
    level: str | None = None
    subject: str | None = None
    compared_gold: str | None = None
    compared_answer: str | None = None
    task_metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Slice:
    """Metrics of the problems of one level or subject, as in `Evaluation`; no `pass_at_1` if none is scorable."""

    problems: int
    pass_at_1: Estimate | None
    tokens: Estimate
    finished: Estimate


@dataclass(frozen=True)
class Evaluation:
    """Metrics of one model on one data set; every `Estimate` has a 95 % bootstrap interval over problems.

    Attributes:
        pass_at_1: accuracy, averaged over the samples of each problem.
        finished: share of completions with a final answer.
        samples: completions per problem.
        not_scorable: completions left out of `pass_at_1` because they have no score.
        pass_at: k -> unbiased pass@k; a completion with a score below 1 is not a pass.
        maj_at: k -> accuracy of the majority vote of k completions.
        left_out: metric (`pass@4`) -> problems left out of it because they have fewer than k scorable completions or,
            for maj@k, an answer without a score that may win; metrics without such problems are not listed.
        task_metrics: means over the problems that have them.
        cover_at: tau -> Cover@tau, the share of problems of which at least a share tau of the completions passes,
            over the problems of pass@1.
    """

    pass_at_1: Estimate
    tokens: Estimate
    finished: Estimate
    problems: int
    samples: int
    not_scorable: int
    pass_at: dict[int, Estimate] = field(default_factory=dict)
    maj_at: dict[int, Estimate] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    levels: dict[str, Slice] = field(default_factory=dict)
    subjects: dict[str, Slice] = field(default_factory=dict)
    problems_hash: str = ""
    task_metrics: dict[str, Estimate] = field(default_factory=dict)
    cover_at: dict[float, Estimate] = field(default_factory=dict)


Group = list[ScoredSample]  # the samples of one problem
TAUS = (0.1, 0.2, 0.5, 0.8, 1.0)  # solve rates of Cover@tau


def by_problem(samples: Iterable[Any]) -> dict[Any, list[Any]]:
    """Group objects by their attribute `problem`, in the order in which the problems first occur."""
    groups: dict[Any, list[Any]] = {}
    for sample in samples:
        groups.setdefault(sample.problem, []).append(sample)
    return groups


def default_ks(n: int) -> list[int]:
    """Powers of two from 1 up to n, and n itself."""
    return sorted({*(1 << i for i in range(n.bit_length())), n})


def default_votes(n: int) -> list[int]:
    """The k above 1 of `default_ks` for maj@k; above 64 samples, whose subsets take long to count, up to 16 and n."""
    return [k for k in default_ks(n)[1:] if n <= 64 or k <= 16 or k == n]


def default_taus(n: int) -> list[float]:
    """1/n, the smallest solve rate above 0 of n samples, and those of `TAUS` above it."""
    return [1 / n, *(tau for tau in TAUS if tau > 1 / n)]


def natural(name: str) -> list[str]:
    """Sort key that orders numbers in names by value: `pass@4` before `pass@16`."""
    return [f"{int(part):09d}" if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def check_ks(ks: Sequence[int], n: int) -> list[int]:
    """The values of k, sorted and without duplicates; a ConfigError if one is not in 1..n."""
    if wrong := [k for k in ks if not 1 <= k <= n]:
        raise ConfigError(f"ks are from 1 to the samples per problem ({n}), got {wrong[0]}; draw more samples")
    return sorted(set(ks))


def summarize(samples: Sequence[ScoredSample], ks: Sequence[int] | None = None) -> Evaluation:
    """Metrics of scored samples; by default, `ks` are the powers of two from 1 and the number of samples per problem.

    A DataError if no sample is scorable, a ConfigError for a k above the number of samples per problem.
    """
    groups = list(by_problem(samples).values())
    whole = _slice(groups) if groups else None
    if whole is None or whole.pass_at_1 is None:
        raise DataError("no completion is scorable: check the gold answers with `rlsp check`")
    largest = max(len(group) for group in groups)
    passes, votes = (default_ks(largest), default_votes(largest)) if ks is None else [check_ks(ks, largest)] * 2
    at_k: dict[str, dict[int, Estimate]] = {"pass": {}, "maj": {}}
    left_out = {}
    measured = [("pass", group_pass, k) for k in passes] + [("maj", group_majority, k) for k in votes]
    for name, metric, k in measured:
        values = [metric(group, k) for group in groups]
        if mean := estimate(values):
            at_k[name][k] = mean
        if None in values:
            left_out[f"{name}@{k}"] = values.count(None)
    covers = {tau: estimate(group_cover(group, tau) for group in groups) for tau in default_taus(largest)}
    own = dict.fromkeys(name for sample in samples for name in sample.task_metrics)
    task_metrics = {name: estimate(known_mean(s.task_metrics.get(name) for s in g) for g in groups) for name in own}
    return Evaluation(
        pass_at_1=whole.pass_at_1,
        tokens=whole.tokens,
        finished=whole.finished,
        problems=len(groups),
        samples=largest,
        not_scorable=sum(s.score is None for s in samples),
        pass_at=at_k["pass"],
        maj_at=at_k["maj"],
        left_out=left_out,
        levels=_slices(groups, "level"),
        subjects=_slices(groups, "subject"),
        task_metrics={name: mean for name, mean in task_metrics.items() if mean},
        cover_at={tau: mean for tau, mean in covers.items() if mean},
    )


def _slice(groups: Sequence[Group]) -> Slice:
    """Means over problems of the means over their samples."""
    accuracy = estimate(known_mean(s.score for s in group) for group in groups)
    tokens, finished = ([fmean(getattr(s, name) for s in g) for g in groups] for name in ("tokens", "finished"))
    return Slice(len(groups), accuracy, bootstrap_mean(tokens), bootstrap_mean(finished))


def _slices(groups: Sequence[Group], name: str) -> dict[str, Slice]:
    labels = {getattr(group[0], name) for group in groups} - {None}
    parts = {label: [g for g in groups if getattr(g[0], name) == label] for label in sorted(labels, key=natural)}
    return {label: _slice(part) for label, part in parts.items()}


def known_mean(values: Iterable[float | None]) -> float | None:
    """Mean of the values that are not `None`; `None` if there are none."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def passed(group: Iterable[Any]) -> tuple[int, int]:
    """(n, c): how many samples of one problem are scorable, and how many of them pass, with a score of 1."""
    known = [sample.score for sample in group if sample.score is not None]
    return len(known), known.count(1.0)


def group_pass(group: Iterable[Any], k: int) -> float | None:
    """pass@k of one problem; `None` if fewer than k of its samples are scorable."""
    n, c = passed(group)
    return pass_at_k(n, c, k) if n >= k else None


def group_cover(group: Iterable[Any], tau: float) -> float | None:
    """Whether at least a share `tau` of the scorable samples of one problem passes: 1.0 or 0.0; `None` without any.

    The mean over problems is Cover@tau (2510.08325), with the solve rate of the samples in place of the model's.
    """
    n, c = passed(group)
    return float(c / n >= tau) if n else None


def group_majority(group: Group, k: int) -> float | None:
    """maj@k of one problem; `None` if it has fewer than k samples or the score is unknown."""
    return maj_at_k([s.answer for s in group], [s.score for s in group], k) if len(group) >= k else None


def bootstrap_mean(values: Sequence[float], *, resamples: int = 2000, seed: int = 0) -> Estimate:
    """Mean of one value per problem, with a 95 % percentile bootstrap interval over problems; a ValueError for none.

    The samples of a problem are averaged first, so problems are resampled and not samples.
    """
    data = np.asarray(values, dtype=float)
    if data.size == 0:
        raise ValueError("an estimate needs at least one problem, got none")
    rng = np.random.default_rng(seed)
    means = np.array([data[rng.integers(0, data.size, data.size)].mean() for _ in range(resamples)])
    low, high = np.quantile(means, [0.025, 0.975])
    return Estimate(float(data.mean()), float(low), float(high))


def estimate(values: Iterable[float | None]) -> Estimate | None:
    """`bootstrap_mean` of the values that are not `None`; `None` if there are none."""
    known = [value for value in values if value is not None]
    return bootstrap_mean(known) if known else None


def pass_at_k(n: int, c: int, k: int) -> float:
    """Probability that at least one of k samples is correct, if k are drawn from n of which c are correct.

    The unbiased estimator 1 - C(n - c, k) / C(n, k) of Chen et al. (2107.03374, section 2.1), computed in integers with
    a single division, so without rounding errors. A ConfigError unless 0 <= c <= n and 1 <= k <= n.

    >>> pass_at_k(5, 2, 1), pass_at_k(5, 2, 2)
    (0.4, 0.7)
    """
    if not 0 <= c <= n or not 1 <= k <= n:
        raise ConfigError(f"pass@k needs 0 <= c <= n and 1 <= k <= n, got n={n}, c={c}, k={k}; draw more samples")
    return (comb(n, k) - comb(n - c, k)) / comb(n, k)


def maj_at_k(answers: Sequence[Hashable | None], scores: Sequence[float | None], k: int) -> float | None:
    """Expected score of the answer that most of k samples give (self-consistency, 2203.11171, section 2).

    The expectation is over all subsets of k of the n samples and is exact. A sample without an answer does not vote;
    tied answers share the win evenly; a subset without any vote scores 0. An answer's score is the mean of the known
    scores of its samples. The result is `None` if no sample has a score or if an answer without a score may win.

    Args:
        answers: n keys, equal for equal answers; `None` for no answer.
        scores: n scores.
        k: number of samples that vote; a ConfigError unless 1 <= k <= n.

    >>> maj_at_k(["7", "7", "9"], [1.0, 1.0, 0.0], 3), maj_at_k(["7", None, "9"], [1.0, 0.0, 0.0], 3)  # then a tie
    (1.0, 0.5)
    """
    if not 1 <= k <= len(answers):
        raise ConfigError(f"maj@k needs 1 <= k <= n, got n={len(answers)}, k={k}; draw more samples")
    return majority_curve(answers, scores, [k])[0]


def majority_curve(
    answers: Sequence[Hashable | None], scores: Sequence[float | None], ks: Sequence[int] | None = None
) -> list[float | None]:
    """`maj_at_k` for several k, by default all of 1..n, at the cost of a single one.

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
    if [*wanted] == [len(answers)]:
        return [_whole_vote(votes, means)]
    silent = len(answers) - votes.total()
    wins = {own: _wins(own, list(votes.values()), silent, max(wanted)) for own in set(votes.values())}
    curve: list[float | None] = []
    for k in wanted:
        winners = [answer for answer, own in votes.items() if wins[own][k]]
        expected = sum((wins[votes[answer]][k] * means[answer] for answer in winners if answer in means), Fraction())
        curve.append(float(expected / comb(len(answers), k)) if means.keys() >= {*winners} else None)
    return curve


def _whole_vote(votes: Mapping[Hashable, int], means: Mapping[Hashable, Fraction]) -> float | None:
    """maj@n, the vote of all n samples: the mean over the tied winners."""
    winners = [answer for answer, own in votes.items() if own == max(votes.values())]
    if not means.keys() >= {*winners}:
        return None
    return float(sum((means[answer] for answer in winners), Fraction()) / max(1, len(winners)))


def _wins(votes: int, ballots: list[int], silent: int, largest: int) -> list[Fraction]:
    """Number of subsets of each size won by an answer with `votes` samples; a tie with e others counts as 1/(1 + e)."""
    others = list(ballots)
    others.remove(votes)
    wins = [Fraction()] * (largest + 1)
    for own in range(1, min(votes, largest) + 1):
        for (size, ties), count in _rivals(others, silent, own, largest - own).items():
            wins[own + size] += Fraction(comb(votes, own) * count, 1 + ties)
    return wins


def _rivals(others: list[int], silent: int, most: int, largest: int) -> Counter[tuple[int, int]]:
    """(size, ties) -> ways to draw `size` other samples so that no answer exceeds `most` votes and `ties` reach it."""
    ways = Counter({(size, 0): comb(silent, size) for size in range(min(silent, largest) + 1)})
    for votes in others:
        grown: Counter[tuple[int, int]] = Counter()
        for (size, ties), count in ways.items():
            for drawn in range(min(votes, most, largest - size) + 1):
                grown[size + drawn, ties + (drawn == most)] += count * comb(votes, drawn)
        ways = grown
    return ways
