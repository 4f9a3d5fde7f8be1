"""Evaluations on the same problems: paired differences, in which the difficulty of a problem cancels, and searching in
one completion compared with a vote at the same token budget (2502.06773, section 4).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trl_rlsp.errors import DataError
from trl_rlsp.evaluation._metrics import (
    Estimate,
    ScoredSample,
    bootstrap_mean,
    by_problem,
    group_majority,
    group_pass,
    known_mean,
    majority_curve,
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


def paired(first: Groups, second: Groups, metric: Metric) -> Difference | None:
    """Difference of a metric computed per problem; `None` if no problem has it in both."""
    pairs = [(metric(group), metric(second[problem])) for problem, group in first.items() if problem in second]
    known = [(one, other) for one, other in pairs if one is not None and other is not None]
    if not known:
        return None
    first_known, second_known, differences = zip(*((one, other, other - one) for one, other in known), strict=True)
    means = bootstrap_mean(first_known), bootstrap_mean(second_known), bootstrap_mean(differences)
    return Difference(*means, problems=len(known), left_out=len(first) - len(known))


def compare_folders(first: Path, second: Path) -> dict[str, Difference]:
    """`compare` two evaluations on disk; a DataError for different problems or an incomplete evaluation."""
    return compare(*_same_problems([first, second]))


def _same_problems(folders: Sequence[Path]) -> list[list[ScoredSample]]:
    hashes = {folder: load_evaluation(folder).problems_hash for folder in folders}
    for folder, found in hashes.items():
        if not found:
            raise DataError(f"{folder} does not name its problems: `rlsp eval --rescore {folder}` adds that")
    if len(set(hashes.values())) > 1:
        shown = ", ".join(f"{folder}: {found}" for folder, found in hashes.items())
        way_out = "evaluate all models with the same dataset, limit and seed"
        raise DataError(f"a comparison needs the same problems, got different ones ({shown}): {way_out}")
    return [load_scored(folder) for folder in folders]


def compare(first: Sequence[ScoredSample], second: Sequence[ScoredSample]) -> dict[str, Difference]:
    """Paired differences in accuracy, pass@k, maj@k, tokens and finished share of two models on the same problems.

    k is the largest that both have samples for. A DataError for different problems, or if none is scorable in both.
    """
    groups = by_problem(first), by_problem(second)
    one, other = (side.keys() for side in groups)
    if one != other:
        only = f"{len(one - other)} only in the first and {len(other - one)} only in the second"
        raise DataError(f"a paired comparison needs the same problems, got {only}")
    k = min(len(group) for side in groups for group in side.values())
    of_k: dict[str, Metric] = {f"pass@{k}": lambda g: group_pass(g, k), f"maj@{k}": lambda g: group_majority(g, k)}
    metrics: dict[str, Metric] = {
        "pass@1": lambda g: known_mean(s.score for s in g),
        **(of_k if k > 1 else {}),
        "tokens": lambda g: known_mean(s.tokens for s in g),
        "finished": lambda g: known_mean(s.finished for s in g),
    }
    measured = {name: paired(*groups, metric) for name, metric in metrics.items()}
    found = {name: difference for name, difference in measured.items() if difference}
    if "pass@1" not in found:
        raise DataError("no problem is scorable in both evaluations: check the gold answers with `rlsp check`")
    return found


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
    for k, accuracies in enumerate(zip(*curves, strict=True), start=1):
        known = [accuracy for accuracy in accuracies if accuracy is not None]
        if known:
            spent = bootstrap_mean([k * count for count in tokens])
            votes.append(Vote(k, spent, bootstrap_mean(known), len(groups) - len(known)))
    return votes


def equal_budget(vote: Vote, rival: Sequence[Vote]) -> Vote | None:
    """The largest vote of a rival that costs no more tokens; `None` if one completion already costs more."""
    return max((v for v in rival if v.tokens.mean <= vote.tokens.mean), key=lambda v: v.k, default=None)


def load_curves(folders: Mapping[str, Path]) -> dict[str, list[Vote]]:
    """The `efficiency_curve` of each evaluation; a DataError if their problems differ."""
    samples = _same_problems(list(folders.values()))
    return {name: efficiency_curve(found) for name, found in zip(folders, samples, strict=True)}
