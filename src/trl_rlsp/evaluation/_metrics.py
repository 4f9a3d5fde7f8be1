"""Scored samples of a model -> its metrics, each with an interval over problems."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import product
from statistics import fmean
from typing import Any

from trl_rlsp.errors import ConfigError, DataError
from trl_rlsp.evaluation._estimators import Estimate, bootstrap_mean, maj_at_k, pass_at_k


@dataclass(frozen=True)
class ScoredSample:
    """A completion with its verdict.

    Attributes:
        problem: index of the problem; `sample` numbers its completions, from 0.
        finished: it gives a final answer within the limit, into which it ran if it is `truncated`.
        score: 1.0, 0.0, a share, or `None` where the problem is not scorable; `reason` says why.
        answer: key of its final answer, equal within a problem where the answers are; `None` for no answer.
        compared_gold: what the verifier compared with `compared_answer`; `None` if unreadable.
        task_metrics: what is measured of its task alone.
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
    """Metrics of the problems of one level or subject, as in `Evaluation`; no accuracy where none is scorable."""

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
        samples: completions a problem.
        not_scorable: completions left out of `pass_at_1` because their verdict is `None`.
        pass_at: k -> unbiased pass@k; a completion with a share of the points is not a pass.
        maj_at: k -> accuracy of the majority of k answers.
        left_out: metric (`pass@4`) -> problems left out of it, having fewer than k scorable completions or (maj@k)
            an answer that may win without a score; only metrics with such problems.
        task_metrics: over the problems that have them.
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


Group = list[ScoredSample]
"""The samples of one problem."""


def by_problem(samples: Iterable[Any]) -> dict[Any, list[Any]]:
    """Whatever has a `problem`, by problem, in the order in which the problems first occur."""
    groups: dict[Any, list[Any]] = {}
    for sample in samples:
        groups.setdefault(sample.problem, []).append(sample)
    return groups


def default_ks(n: int) -> list[int]:
    """Powers of two from 2, and n itself.

    >>> default_ks(1), default_ks(8), default_ks(12)
    ([], [2, 4, 8], [2, 4, 8, 12])
    """
    powers = [1 << i for i in range(1, n.bit_length())]
    return powers if n in (1, *powers) else [*powers, n]


def natural(name: str) -> list[str]:
    """Key that sorts numbers in names by their value: `pass@4` before `pass@16`."""
    return [f"{int(part):09d}" if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def check_ks(ks: Sequence[int], n: int) -> list[int]:
    """The values of k, sorted, each once; a ConfigError where one is not in 1..n."""
    wrong = [k for k in ks if not 1 <= k <= n]
    if wrong:
        raise ConfigError(f"ks are from 1 to the number of samples a problem ({n}), got {wrong[0]}; draw more samples")
    return sorted(set(ks))


def summarize(samples: Sequence[ScoredSample], ks: Sequence[int] | None = None) -> Evaluation:
    """Metrics of scored samples; the `ks` are by default powers of two from 2, and the number of samples a problem.

    Raises:
        DataError: no sample is scorable.
        ConfigError: a k above the number of samples a problem.
    """
    groups = list(by_problem(samples).values())
    whole = _slice(groups) if groups else None
    if whole is None or whole.pass_at_1 is None:
        raise DataError("no completion is scorable: check the gold answers with `rlsp check`")
    largest = max(len(group) for group in groups)
    wanted = default_ks(largest) if ks is None else check_ks(ks, largest)
    found: dict[str, dict[int, Estimate]] = {"pass": {}, "maj": {}}
    left_out = {}
    for (name, metric), k in product((("pass", group_pass), ("maj", group_majority)), wanted):
        known = [value for group in groups if (value := metric(group, k)) is not None]
        if known:
            found[name][k] = bootstrap_mean(known)
        if len(known) < len(groups):
            left_out[f"{name}@{k}"] = len(groups) - len(known)
    task_metrics = {}
    for name in dict.fromkeys(name for sample in samples for name in sample.task_metrics):
        measured = [[s.task_metrics[name] for s in group] for group in groups if name in group[0].task_metrics]
        task_metrics[name] = bootstrap_mean([fmean(values) for values in measured])
    return Evaluation(
        pass_at_1=whole.pass_at_1,
        tokens=whole.tokens,
        finished=whole.finished,
        problems=len(groups),
        samples=largest,
        not_scorable=sum(s.score is None for s in samples),
        pass_at=found["pass"],
        maj_at=found["maj"],
        left_out=left_out,
        levels=_slices(groups, "level"),
        subjects=_slices(groups, "subject"),
        task_metrics=task_metrics,
    )


def _slice(groups: Sequence[Group]) -> Slice:
    """Means over problems of the means over their samples."""
    scores = [mean for group in groups if (mean := known_mean(s.score for s in group)) is not None]
    tokens, finished = ([fmean(getattr(s, name) for s in g) for g in groups] for name in ("tokens", "finished"))
    accuracy = bootstrap_mean(scores) if scores else None
    return Slice(len(groups), accuracy, bootstrap_mean(tokens), bootstrap_mean(finished))


def _slices(groups: Sequence[Group], name: str) -> dict[str, Slice]:
    labels = {getattr(group[0], name) for group in groups} - {None}
    parts = {label: [g for g in groups if getattr(g[0], name) == label] for label in sorted(labels, key=natural)}
    return {label: _slice(part) for label, part in parts.items()}


def known_mean(values: Iterable[float | None]) -> float | None:
    """`None` where no value is known."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def group_pass(group: Group, k: int) -> float | None:
    """pass@k of one problem; `None` where fewer than k of its samples are scorable."""
    known = [sample.score for sample in group if sample.score is not None]
    return pass_at_k(len(known), known.count(1.0), k) if len(known) >= k else None


def group_majority(group: Group, k: int) -> float | None:
    """maj@k of one problem; `None` where it has fewer than k samples, or its score is not known."""
    return maj_at_k([s.answer for s in group], [s.score for s in group], k) if len(group) >= k else None
