"""Problems worth training on: those that a model solves sometimes.

GRPO learns from differences inside a group. A problem that the model always or never solves gives every completion of
its group the same verdict, and so no gradient from the outcome. The paper trains on what its SFT model does not solve
(2502.06773, section 3); here the band is measured and written down. Knows nothing of models: it reads scored samples.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trl_rlsp.errors import ConfigError, DataError

if TYPE_CHECKING:
    from trl_rlsp.evaluation.metrics import ScoredSample

TOO_HARD, TOO_EASY, NOT_SCORABLE = "solved too rarely", "solved too often", "not scorable"


@dataclass(frozen=True)
class Band:
    """Solve rates worth training on.

    Args:
        low: lowest solve rate, which belongs to it.
        high: highest, likewise; with 8 completions a problem, 0.1 to 0.9 is 1 to 7 solved.

    Raises:
        ConfigError: not 0 <= low <= high <= 1.
    """

    low: float = 0.1
    high: float = 0.9

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high <= 1:
            raise ConfigError(f"a band of solve rates is 0 <= low <= high <= 1, got {self.low!r} to {self.high!r}")

    def __contains__(self, rate: object) -> bool:
        return isinstance(rate, float) and self.low <= rate <= self.high


@dataclass(frozen=True)
class SolveRate:
    """How often a model solves one problem.

    Attributes:
        rate: mean score of the scorable samples, 0 to 1; `None` where there is none.
        scored: samples that have a score.
        samples: samples drawn.
        reasons: verdicts of the samples without a score, each once.
    """

    rate: float | None
    scored: int
    samples: int
    reasons: tuple[str, ...] = ()


def solve_rates(scored: Iterable[ScoredSample]) -> dict[int, SolveRate]:
    """The solve rate of each problem that has samples.

    Args:
        scored: samples in any order; one without a score has no part in the rate.

    Returns:
        Index of the problem -> its solve rate, in order of the indices.
    """
    samples: dict[int, list[ScoredSample]] = {}
    for sample in scored:
        samples.setdefault(sample.problem, []).append(sample)
    return {problem: _rate(samples[problem]) for problem in sorted(samples)}


def _rate(samples: Sequence[ScoredSample]) -> SolveRate:
    scores = [sample.score for sample in samples if sample.score is not None]
    reasons = tuple(sorted({sample.reason for sample in samples if sample.score is None}))
    return SolveRate(sum(scores) / len(scores) if scores else None, len(scores), len(samples), reasons)


def verdict_on(found: SolveRate, band: Band) -> str | None:
    """Why a problem is left out; `None` for one that stays.

    Example:
        >>> verdict_on(SolveRate(1.0, 8, 8), Band(0.1, 0.9)), verdict_on(SolveRate(0.5, 8, 8), Band(0.1, 0.9))
        ('solved too often', None)
    """
    if found.rate is None:
        return NOT_SCORABLE
    if found.rate in band:
        return None
    return TOO_HARD if found.rate < band.low else TOO_EASY


@dataclass(frozen=True)
class Filtered:
    """The problems of a band, and what became of the others.

    Attributes:
        rows: lines of a file that `load_problems` reads back, each with its `solve_rate`.
        kept: index of each row's problem.
        dropped: reason -> how many problems were left out for it.
        unscorable: index of each problem without a score -> the verifier's reasons.
        rates: solve rates of all scorable problems, in their order.
    """

    rows: Sequence[Mapping[str, Any]]
    kept: Sequence[int]
    dropped: Mapping[str, int]
    unscorable: Mapping[int, Sequence[str]]
    rates: Sequence[float]

    def counts(self) -> dict[str, Any]:
        """The counts, for a file; the mean is `None` where nothing was scorable."""
        return {
            "problems": len(self.rows) + sum(self.dropped.values()),
            "kept": len(self.rows),
            "dropped": dict(self.dropped),
            "mean_solve_rate": sum(self.rates) / len(self.rates) if self.rates else None,
            "solve_rates": {f"{rate:.3f}": count for rate, count in sorted(Counter(self.rates).items())},
            "not_scorable": {str(index): list(reasons) for index, reasons in self.unscorable.items()},
        }


def keep_band(problems: Sequence[Mapping[str, Any]], scored: Iterable[ScoredSample], band: Band) -> Filtered:
    """Keep the problems whose solve rate lies in a band.

    Args:
        problems: rows of `load_problems`.
        scored: samples of every one of them.
        band: of solve rates.

    Raises:
        DataError: a problem without samples, or none is left; the message counts why.
    """
    rates = solve_rates(scored)
    without = next((index for index in range(len(problems)) if index not in rates), None)
    if without is not None:
        raise DataError(f"problem {without} has no samples: finish the sampling with the command that began it")
    reasons = {index: verdict_on(found, band) for index, found in rates.items()}
    kept = [index for index, reason in reasons.items() if reason is None]
    dropped = Counter(reason for reason in reasons.values() if reason is not None)
    if not kept:
        counts = ", ".join(f"{count} {reason}" for reason, count in dropped.most_common())
        raise DataError(
            f"no problem of {len(problems)} has a solve rate from {band.low} to {band.high} ({counts}): widen the "
            "band, or take easier or harder problems"
        )
    return Filtered(
        [stored_row(problems[index], rates[index]) for index in kept],
        kept,
        {name: dropped[name] for name in (TOO_HARD, TOO_EASY, NOT_SCORABLE)},
        {index: found.reasons for index, found in rates.items() if found.rate is None},
        [found.rate for found in rates.values() if found.rate is not None],
    )


def stored_row(row: Mapping[str, Any], found: SolveRate) -> dict[str, Any]:
    """A row of `load_problems`, with its solve rate, as a line of a file that `load_problems` reads back.

    Args:
        row: with `prompt`, `solution` and maybe `task`, `tests`, `level`, `subject`, `id`.
        found: its solve rate.
    """
    stored: dict[str, Any] = {"problem": row["prompt"]}
    if row.get("tests") is not None:
        stored |= {"tests": row["tests"], "solutions": [row["solution"]] if row["solution"] else []}
    else:
        stored["answer"] = row["solution"] or "unknown"  # some tasks give none; their scorer decides
    names = ("task", "level", "subject", "id")
    stored |= {name: row[name] for name in names if row.get(name) is not None}
    return {**stored, "solve_rate": found.rate, "scored_samples": found.scored}


def check_read_back(path: Path, kept: Sequence[Mapping[str, Any]]) -> None:
    """Prove that a written file gives the same problems as the source it was filtered from.

    Args:
        path: the file.
        kept: the rows of the source that are in it, in order.

    Raises:
        DataError: a prompt, an answer, a task or tests that `load_problems` reads differently.
    """
    from trl_rlsp.problems import load_problems

    for number, (found, row) in enumerate(zip(load_problems(path, system_prompt=None), kept, strict=True), start=1):
        for name in ("prompt", "solution", "task", "tests"):
            if row.get(name) and found.get(name) != row[name]:
                raise DataError(
                    f"line {number} of {path} reads back with another {name}: {found.get(name)!r} instead of "
                    f"{row[name]!r}; leave that problem out of the source"
                )
