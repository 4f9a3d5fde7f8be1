"""Whether a dataset is fit for training: the verifier accepts its gold answers, and a model solves its problems
sometimes, because a problem that is always or never solved gives GRPO no gradient.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from trl_rlsp.errors import ConfigError, DataError
from trl_rlsp.evaluation._metrics import ScoredSample, by_problem, known_mean
from trl_rlsp.generation import Sample
from trl_rlsp.rewards import OutcomeVerifier
from trl_rlsp.text import read

if TYPE_CHECKING:
    from datasets import Dataset

    from trl_rlsp.text import Terminal

NEARLY_ALL = 0.9
_NUMBER = re.compile(r"-?(?:\d+|\d{1,3}(?:,\d{3})+)(?:\.\d+)?")

TOO_HARD, TOO_EASY, NOT_SCORABLE = "solved too rarely", "solved too often", "not scorable"


@dataclass
class CheckReport:
    """The outcome of `check_dataset`.

    Attributes:
        verified: rows whose own answer scores 1.0.
        failures: index of each row whose own answer does not -> the reason.
        unanswered: rows without an answer to check: tests without a reference program, tasks that only score.
        odd: answers that are not numbers although nearly all others are, such as `80 or 81 (both accepted)`: they
            verify against themselves, but no model will ever give them.
    """

    verified: int = 0
    failures: dict[int, str] = field(default_factory=dict)
    unanswered: list[int] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        """Number of rows."""
        return self.verified + len(self.failures) + len(self.unanswered)

    @property
    def ok(self) -> bool:
        """Whether no row failed and some row was checked."""
        return not self.failures and self.verified > 0


def gold_completion(row: Mapping[str, Any]) -> str | None:
    r"""A completion that gives the gold answer of a row of `load_problems`; `None` if the row has no answer.

    >>> gold_completion({"solution": "7"})
    '\\boxed{7}'
    """
    gold = row.get("solution") or ""
    if not gold.strip():
        return None
    if row.get("tests") is not None:
        return gold if read(gold, "code", end_of_thinking=None).answer else f"```python\n{gold}\n```"
    return f"\\boxed{{{gold}}}"


def check_dataset(dataset: Dataset, verifier: OutcomeVerifier) -> CheckReport:
    """Find the rows of `load_problems` whose gold answers don't score 1.0 under the verifier used in training."""
    from trl_rlsp.evaluation._scoring import score_samples

    golds = {index: text for index, row in enumerate(dataset) if (text := gold_completion(row)) is not None}
    samples = [Sample(index, text, 0, truncated=False) for index, text in golds.items()]
    failures = {s.problem: s.reason for s in score_samples(samples, dataset, verifier) if s.score != 1.0}
    unanswered = [index for index in range(len(dataset)) if index not in golds]
    return CheckReport(len(samples) - len(failures), failures, unanswered, odd_answers(dataset))


def odd_answers(dataset: Iterable[Mapping[str, Any]]) -> list[str]:
    """Answers that are not numbers if `NEARLY_ALL` others are; generated tasks and rows with tests are ignored."""
    plain = [row["solution"] for row in dataset if row.get("task") is None and row.get("tests") is None]
    odd = [answer for answer in plain if not _NUMBER.fullmatch(answer)]
    return odd if plain and 1 - len(odd) / len(plain) >= NEARLY_ALL else []


def print_report(report: CheckReport, dataset: Dataset, name: str, console: Terminal, show: int = 20) -> None:
    """Print at most `show` rows whose answer does not verify, and the other findings for the dataset `name`."""
    from rich.table import Table

    if report.failures:
        table = Table("row", "answer", "reason", "problem", title=f"{name}: answers that do not verify")
        for index, reason in islice(report.failures.items(), show):
            row = dataset[index]
            asked = row["prompt"] if isinstance(row["prompt"], str) else row["prompt"][-1]["content"]
            table.add_row(str(index), row["solution"], reason, shorten(str(asked), 80, placeholder="…"))
        console.print(table)
        counts = ", ".join(f"{reason} {count}" for reason, count in Counter(report.failures.values()).most_common())
        hidden = f" ({len(report.failures) - show} more not shown)" if len(report.failures) > show else ""
        console.print(f"by reason: {counts}{hidden}")
    if report.unanswered:
        console.print(f"{len(report.unanswered)} of {report.total} rows have no answer to check")
    for answer in report.odd[:show]:
        console.print(f"{answer}: not a number, unlike the other answers; correct it or leave the row out")
    console.print(f"{'ok' if report.ok else 'not ok'}: {report.verified} of {report.total} answers verify in {name}")


@dataclass(frozen=True)
class Band:
    """Solve rates worth training on, both ends included, 0 <= low <= high <= 1 (else a ConfigError).

    With 8 completions per problem, 0.1 to 0.9 means 1 to 7 correct.
    """

    low: float = 0.1
    high: float = 0.9

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high <= 1:
            raise ConfigError(f"a band of solve rates is 0 <= low <= high <= 1, got {self.low!r} to {self.high!r}")

    def verdict(self, rate: float | None) -> str | None:
        """Why a problem with this solve rate is left out; `None` if it is kept."""
        if rate is None:
            return NOT_SCORABLE
        return TOO_HARD if rate < self.low else TOO_EASY if rate > self.high else None


def keep_band(
    problems: Sequence[Mapping[str, Any]], scored: Iterable[ScoredSample], band: Band
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Keep the rows of `load_problems` whose solve rate lies in a band (the paper trains on the problems that its SFT
    model does not solve, 2502.06773, section 3).

    Returns lines of a file that `load_problems` can read, each with its `solve_rate` (the mean score of its
    `scored_samples`), and counts: problems dropped by reason, the mean solve rate (`None` if nothing was scorable), and
    the reasons for unscorable problems. A DataError if a problem has no samples or if no problem is kept.
    """
    groups = by_problem(scored)
    rows, dropped = [], {TOO_HARD: 0, TOO_EASY: 0, NOT_SCORABLE: 0}
    rates: list[float] = []
    unknown: dict[str, list[str]] = {}
    for index, problem in enumerate(problems):
        if index not in groups:
            raise DataError(f"problem {index} has no samples: finish the sampling with the command that began it")
        scores = [sample.score for sample in groups[index] if sample.score is not None]
        if (rate := known_mean(scores)) is None:
            unknown[str(index)] = sorted({sample.reason for sample in groups[index]})
        else:
            rates.append(rate)
        if reason := band.verdict(rate):
            dropped[reason] += 1
        else:
            rows.append({**stored_row(problem), "solve_rate": rate, "scored_samples": len(scores)})
    if not rows:
        counts = ", ".join(f"{count} {reason}" for reason, count in dropped.items() if count)
        wanted = f"a solve rate from {band.low} to {band.high} ({counts})"
        way_out = "widen the band, or take easier or harder problems"
        raise DataError(f"no problem of {len(problems)} has {wanted}: {way_out}")
    return rows, {
        "problems": len(problems),
        "kept": len(rows),
        "dropped": dropped,
        "mean_solve_rate": known_mean(rates),
        "solve_rates": {f"{rate:.3f}": count for rate, count in sorted(Counter(rates).items())},
        "not_scorable": unknown,
    }


def stored_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of `load_problems` as a line of a file that `load_problems` can read."""
    if row.get("tests") is not None:
        truth = {"tests": row["tests"], "solutions": [row["solution"]] if row["solution"] else []}
    else:
        truth = {"answer": row["solution"] or "unknown"}  # some tasks give none; their scorer decides
    more = {name: row[name] for name in ("task", "level", "subject", "id") if row.get(name) is not None}
    return {"problem": row["prompt"], **truth, **more}
