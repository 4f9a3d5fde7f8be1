"""Two evaluations on the same problems: what differs, and how sure that is.

The difference is taken problem by problem and the problems are resampled, so that what makes a problem hard for both
cancels: the interval is narrower than that of two separate metrics.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trl_rlsp.errors import DataError
from trl_rlsp.evaluation.bootstrap import Estimate, bootstrap_mean
from trl_rlsp.evaluation.metrics import Group, ScoredSample, by_problem, group_majority, group_mean, group_pass
from trl_rlsp.evaluation.store import load_evaluation, load_scored


@dataclass(frozen=True)
class Difference:
    """One metric of two evaluations.

    Attributes:
        first: the first one's, over the shared problems.
        second: the second one's.
        difference: second less first, paired by problem, with a 95 % bootstrap interval over problems.
        problems: problems that it is over.
        left_out: problems for which one of the two does not know the metric.
    """

    first: Estimate
    second: Estimate
    difference: Estimate
    problems: int
    left_out: int

    @property
    def clear(self) -> bool:
        """Whether the interval of the difference leaves out 0."""
        return self.difference.low > 0 or self.difference.high < 0


def compare_folders(first: Path, second: Path) -> dict[str, Difference]:
    """Compare two evaluations on disk.

    Args:
        first: folder of an evaluation.
        second: folder of the other one.

    Returns:
        Metric -> difference, see `compare`.

    Raises:
        DataError: different problems, or an evaluation that is not complete.
    """
    hashes = [load_evaluation(folder).problems_hash for folder in (first, second)]
    for folder, found in zip((first, second), hashes, strict=True):
        if not found:
            raise DataError(f"{folder} does not say which problems it is of: `rlsp eval --rescore {folder}` adds that")
    if hashes[0] != hashes[1]:
        raise DataError(
            f"a paired comparison is of the same problems, but {first} and {second} have different ones "
            f"({hashes[0]} and {hashes[1]}): evaluate both models with the same dataset, limit and seed"
        )
    return compare(load_scored(first), load_scored(second))


def compare(first: Sequence[ScoredSample], second: Sequence[ScoredSample]) -> dict[str, Difference]:
    """Paired differences of accuracy, majority, tokens and share finished.

    Args:
        first: samples of one model.
        second: samples of the other on the same problems; not necessarily as many a problem.

    Returns:
        Metric -> difference; `pass@k` and `maj@k` for the largest k that both have samples for, if it is above 1.

    Raises:
        DataError: the problems are not the same, or a metric is known for none of them.
    """
    groups = by_problem(first), by_problem(second)
    if groups[0].keys() != groups[1].keys():
        raise DataError(
            "a paired comparison is of the same problems, got "
            f"{len(groups[0].keys() - groups[1].keys())} only in the first and "
            f"{len(groups[1].keys() - groups[0].keys())} only in the second"
        )
    k = min(len(group) for side in groups for group in side.values())
    metrics: dict[str, Callable[[Group], float | None]] = {"pass@1": lambda g: group_mean(g, lambda s: s.score)}
    if k > 1:
        metrics[f"pass@{k}"] = lambda g: group_pass(g, k)
        metrics[f"maj@{k}"] = lambda g: group_majority(g, k)
    metrics["tokens"] = lambda g: group_mean(g, lambda s: float(s.tokens))
    metrics["finished"] = lambda g: group_mean(g, lambda s: float(s.finished))
    found = {name: _difference(groups[0], groups[1], metric) for name, metric in metrics.items()}
    known = {name: difference for name, difference in found.items() if difference is not None}
    if "pass@1" not in known:
        raise DataError("no problem is scorable in both evaluations: check the gold answers with `rlsp check`")
    return known


def _difference(
    first: Mapping[int, Group], second: Mapping[int, Group], metric: Callable[[Group], float | None]
) -> Difference | None:
    pairs = [(metric(group), metric(second[problem])) for problem, group in first.items()]
    known = [(one, other) for one, other in pairs if one is not None and other is not None]
    if not known:
        return None
    return Difference(
        first=bootstrap_mean([one for one, _ in known]),
        second=bootstrap_mean([other for _, other in known]),
        difference=bootstrap_mean([other - one for one, other in known]),
        problems=len(known),
        left_out=len(pairs) - len(known),
    )
