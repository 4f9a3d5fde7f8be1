"""Evaluations on the same problems: paired differences, in which the difficulty of a problem cancels, where two pass@k
curves cross, the problems that only one model solves, and searching in one completion compared with a vote at the same
token budget (2502.06773, section 4).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from trl_rlsp.errors import DataError
from trl_rlsp.evaluation._metrics import (
    Estimate,
    ScoredSample,
    bootstrap_mean,
    by_problem,
    default_ks,
    default_taus,
    estimate,
    group_cover,
    group_majority,
    group_pass,
    known_mean,
    majority_curve,
    passed,
)
from trl_rlsp.evaluation._store import load_evaluation, load_scored

Groups = Mapping[Any, Any]  # problem -> its samples
Metric = Callable[[Any], float | None]  # metric of one group


@dataclass(frozen=True)
class Difference:
    """One metric of two evaluations over the problems that have it in both, and the difference second - first."""

    first: Estimate
    second: Estimate
    difference: Estimate
    problems: int
    left_out: int

    @property
    def clear(self) -> bool:
        """Whether the interval of the difference excludes 0."""
        return self.difference.low > 0 or self.difference.high < 0


@dataclass(frozen=True)
class Crossing:
    """The smallest of the measured k at which the order of two pass@k curves has changed (2504.13837).

    Attributes:
        before: the largest smaller k at which the other model was ahead; between them the curves are equal or cross.
        rises: whether the second model is ahead from k on, and not the first.
    """

    k: int
    before: int
    rises: bool


@dataclass(frozen=True)
class Unsolved:
    """The problems that one model solves in none of its n samples, and how another model does on them.

    Attributes:
        problems: how many there are among the `known` ones, those with n scorable samples of the one model.
        upper_bound: the solve rate above which 0 of n has a probability under 5 %: 1 - 0.05^(1/n), the exact one-sided
            95 % bound of Clopper and Pearson for each problem.
        expected: the one model's own solve rate on problems chosen in this way, by leaving one sample out: among the
            problems with no pass in n - 1 samples, the share in which the sample left out passes.
        solved: how many the other model solves at least once.
        pass_at: k -> pass@k of the other model on them; for k = 1 and 8, or as many as it has samples for.
        left_out: how many are not in `pass_at`, because the other model has fewer scorable samples than the largest k.
    """

    problems: int
    known: int
    samples: int
    upper_bound: float
    expected: float | None
    solved: int
    pass_at: dict[int, Estimate]
    left_out: int


def paired(first: Groups, second: Groups, metric: Metric) -> Difference | None:
    """Difference of a metric computed per problem; `None` if no problem has it in both."""
    return next(iter(_differences([first, second], [(0, 1)], metric)), None)


def _differences(models: Sequence[Groups], pairs: Iterable[tuple[int, int]], metric: Metric) -> list[Difference]:
    """The differences of pairs of M models over the problems that have the metric in all; empty if there are none."""
    shared = [problem for problem in models[0] if all(problem in groups for groups in models)]
    rows = [tuple(metric(groups[problem]) for groups in models) for problem in shared]
    values = np.asarray([row for row in rows if None not in row], dtype=float)
    if not values.size:
        return []
    means = [bootstrap_mean(column) for column in values.T]
    counts = len(values), len(models[0]) - len(values)
    return [Difference(means[i], means[j], bootstrap_mean(values[:, j] - values[:, i]), *counts) for i, j in pairs]


def find_crossing(curve: Mapping[int, Difference]) -> Crossing | None:
    """Where the order of the point estimates first changes; `curve` has k -> the difference in pass@k."""
    before, sign = 0, 0
    for k, mean in sorted((k, pair.difference.mean) for k, pair in curve.items()):
        if abs(mean) > 1e-12:  # closer values are equal but for rounding
            now = 1 if mean > 0 else -1
            if sign == -now:
                return Crossing(k, before, now > 0)
            before, sign = k, now
    return None


def unsolved(first: Groups, second: Groups) -> Unsolved:
    """The problems that `first` never solves, and `second` on them; see `Unsolved`."""
    n = max(map(len, first.values()), default=0)
    passes = {problem: c for problem, group in first.items() for known, c in [passed(group)] if known == n > 0}
    never = [problem for problem, c in passes.items() if c == 0 and problem in second]
    once = sum(c == 1 for c in passes.values())  # without its only pass, such a problem has none in n - 1 samples
    drawn = once + n * sum(c == 0 for c in passes.values())
    k = min(8, max((passed(second[problem])[0] for problem in never), default=1))
    at_k = {k: [group_pass(second[problem], k) for problem in never] for k in sorted({1, k})}
    return Unsolved(
        problems=len(never),
        known=len(passes),
        samples=n,
        upper_bound=1 - 0.05 ** (1 / n) if n else 1.0,
        expected=once / drawn if drawn else None,
        solved=sum(passed(second[problem])[1] > 0 for problem in never),
        pass_at={k: mean for k, values in at_k.items() if (mean := estimate(values))},
        left_out=at_k[k].count(None),
    )


@dataclass(frozen=True)
class Comparison:
    """Two models on the same problems.

    Attributes:
        metrics: metric (`pass@1`, `pass@4`, `cover@0.5`, `tokens`) -> its paired difference.
        curve: k -> paired difference in pass@k; at k = 1 the share of passes, in which a score below 1 is none.
        newly_solved: the problems that the first model never solves, and the second on them.
        lost: the problems that the second model never solves, and the first on them.
    """

    first: str
    second: str
    metrics: dict[str, Difference]
    curve: dict[int, Difference]
    newly_solved: Unsolved
    lost: Unsolved

    @property
    def crossing(self) -> Crossing | None:
        """Where the two pass@k curves cross."""
        return find_crossing(self.curve)


def compare_folders(first: Path, second: Path) -> dict[str, Difference]:
    """`compare` two evaluations on disk; a DataError for different problems or an incomplete evaluation."""
    return compare(*_same_problems([first, second]))


def load_comparisons(folders: Sequence[Path]) -> list[Comparison]:
    """`compare_models` for evaluations on disk, named by their folders; a DataError as in `compare_folders`."""
    return compare_models(dict(zip(map(str, folders), _same_problems(folders), strict=True)))


def _same_problems(folders: Sequence[Path]) -> list[list[ScoredSample]]:
    hashes = {folder: load_evaluation(folder).problems_hash for folder in folders}
    for folder, problems in hashes.items():
        if not problems:
            raise DataError(f"{folder} does not name its problems: `rlsp eval --rescore {folder}` adds that")
    if len(set(hashes.values())) > 1:
        shown = ", ".join(f"{folder}: {problems}" for folder, problems in hashes.items())
        way_out = "evaluate all models with the same dataset, limit and seed"
        raise DataError(f"a comparison needs the same problems, got different ones ({shown}): {way_out}")
    return [load_scored(folder) for folder in folders]


def compare(first: Sequence[ScoredSample], second: Sequence[ScoredSample]) -> dict[str, Difference]:
    """Paired differences in accuracy, pass@k, maj@k, Cover@tau, tokens and finished share on the same problems.

    The largest k is the largest that both have samples for. A DataError for different problems, or if none is scorable
    in both.
    """
    return compare_models({"first": first, "second": second})[0].metrics


def compare_models(models: Mapping[str, Sequence[ScoredSample]]) -> list[Comparison]:
    """Each later model against the first, then the last against the one before it, over the problems known in all.

    Args:
        models: name -> samples of M >= 2 models on the same problems, in order of training.

    Raises:
        DataError: different problems, or none is scorable in all.
    """
    groups = {name: by_problem(samples) for name, samples in models.items()}
    first, *others = groups.values()
    for only in (first.keys() ^ other.keys() for other in others):
        if only:
            before = len(only & first.keys())
            shown = f"{before} only in the first and {len(only) - before} only in the second"
            raise DataError(f"a paired comparison needs the same problems, got {shown}")
    comparisons = compare_groups(groups, _metrics(list(groups.values())))
    if "pass@1" not in comparisons[0].metrics:
        raise DataError("no problem is scorable in both evaluations: check the gold answers with `rlsp check`")
    return comparisons


def compare_groups(models: Mapping[str, Groups], metrics: Mapping[str, Metric] | None = None) -> list[Comparison]:
    """`compare_models` for samples grouped by problem; any records with a `score`, if `metrics` ask for no more."""
    names, groups = list(models), list(models.values())
    last = len(names) - 1
    pairs = list(dict.fromkeys([*((0, j) for j in range(1, len(names))), (last - 1, last)]))
    of_k = {k: _differences(groups, pairs, partial(group_pass, k=k)) for k in default_ks(_fewest(groups))}
    curve = {k: differences for k, differences in of_k.items() if differences}
    known = {f"pass@{k}": differences for k, differences in curve.items() if k > 1}
    measured = {name: known.get(name) or _differences(groups, pairs, m) for name, m in (metrics or {}).items()}
    return [
        Comparison(
            names[i],
            names[j],
            {name: pairwise[number] for name, pairwise in measured.items() if pairwise},
            {k: pairwise[number] for k, pairwise in curve.items()},
            unsolved(groups[i], groups[j]),
            unsolved(groups[j], groups[i]),
        )
        for number, (i, j) in enumerate(pairs)
    ]


def _fewest(models: Sequence[Groups]) -> int:
    return min(len(group) for groups in models for group in groups.values())


def _metrics(models: Sequence[Groups]) -> dict[str, Metric]:
    """The metrics of a comparison by name, in the order of its table."""
    n, most = _fewest(models), max(len(group) for groups in models for group in groups.values())
    votes = n if n == most or most <= 64 else min(n, 16)  # as in `default_votes`
    return {
        "pass@1": lambda g: known_mean(s.score for s in g),
        **{f"pass@{k}": partial(group_pass, k=k) for k in default_ks(n)[1:]},
        **({f"maj@{votes}": partial(group_majority, k=votes)} if n > 1 else {}),
        **{f"cover@{tau:.3g}": partial(group_cover, tau=tau) for tau in default_taus(n) if n > 1},
        "tokens": lambda g: known_mean(s.tokens for s in g),
        "finished": lambda g: known_mean(s.finished for s in g),
    }


@dataclass(frozen=True)
class Vote:
    """A majority vote of k completions per problem; problems with unknown maj@k are `left_out` of the accuracy."""

    k: int
    tokens: Estimate
    accuracy: Estimate
    left_out: int


def efficiency_curve(samples: Sequence[ScoredSample]) -> list[Vote]:
    """maj@k against tokens, for each k = 1..n for which maj@k is known for some problem.

    A DataError for no samples, or if the problems have different numbers of samples.
    """
    groups = list(by_problem(samples).values())
    sizes = sorted({len(group) for group in groups})
    if len(sizes) != 1:
        raise DataError(f"every problem needs the same number of samples, got {sizes}: finish the evaluation")
    tokens = [sum(s.tokens for s in group) / len(group) for group in groups]
    curves = [majority_curve([s.answer for s in group], [s.score for s in group]) for group in groups]
    votes = []
    for k, values in enumerate(zip(*curves, strict=True), start=1):
        if accuracy := estimate(values):
            votes.append(Vote(k, bootstrap_mean([k * count for count in tokens]), accuracy, values.count(None)))
    return votes


def equal_budget(vote: Vote, rival: Sequence[Vote]) -> Vote | None:
    """The largest vote of a rival that costs no more tokens; `None` if one completion already costs more."""
    return max((v for v in rival if v.tokens.mean <= vote.tokens.mean), key=lambda v: v.k, default=None)


def load_curves(folders: Mapping[str, Path]) -> dict[str, list[Vote]]:
    """The `efficiency_curve` of each evaluation; a DataError if their problems differ."""
    samples = _same_problems(list(folders.values()))
    return {name: efficiency_curve(found) for name, found in zip(folders, samples, strict=True)}
