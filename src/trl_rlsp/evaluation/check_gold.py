r"""Whether every gold answer of a dataset verifies: the logic of `rlsp check`.

Each row's own answer is handed to the verifier as if a model had given it: `\boxed{answer}`, for rows with
tests the reference program in a code block. Whatever does not score 1.0 would be unreachable, or wrongly
reachable, in training.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from trl_rlsp.verification.verdict import Verdict

if TYPE_CHECKING:
    from datasets import Dataset
    from rich.console import Console

BATCH = 256
NEARLY_ALL = 0.9
_NUMBER = re.compile(r"-?(?:\d+|\d{1,3}(?:,\d{3})+)(?:\.\d+)?")


class Verifier(Protocol):
    """What checking needs of `OutcomeVerifier`."""

    def verdicts(
        self,
        completions: Sequence[Any],
        *,
        prompts: Sequence[Any] | None = None,
        solution: Sequence[Any] | None = None,
        task: Sequence[str | None] | None = None,
        tests: Sequence[Any] | None = None,
    ) -> list[Verdict]:
        """One verdict per completion; see `OutcomeVerifier.verdicts`."""


@dataclass(frozen=True)
class CheckFailure:
    """A row whose own answer does not score 1.0.

    Attributes:
        index: the row, from 0.
        gold: its answer.
        verdict: what the verifier says of it.
        problem: the beginning of the last message of its prompt.
    """

    index: int
    gold: str
    verdict: Verdict
    problem: str


@dataclass
class CheckReport:
    """The outcome of `check_dataset`.

    Attributes:
        verified: rows whose own answer scores 1.0.
        failures: rows whose own answer does not.
        unanswered: rows (from 0) that bring no answer to check: tests without a reference program, tasks that
            only score.
        odd: answers that are no number where nearly all are, such as `80 or 81 (both accepted)`: they verify
            against themselves and no model will ever give them.
    """

    verified: int = 0
    failures: list[CheckFailure] = field(default_factory=list)
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

    @property
    def reasons(self) -> Counter[str]:
        """How often each reason occurs among the failures."""
        return Counter(failure.verdict.reason for failure in self.failures)


def gold_completion(row: Mapping[str, Any]) -> str | None:
    r"""The text of a completion that gives a row's own answer.

    Args:
        row: a row of `load_problems`.

    Returns:
        `\boxed{answer}`, or the reference program as a code block; `None` where the row has no answer.

    >>> gold_completion({"solution": "7"})
    '\\boxed{7}'
    """
    gold = row.get("solution") or ""
    if not gold.strip():
        return None
    if row.get("tests") is not None:
        return f"```python\n{gold}\n```"
    return f"\\boxed{{{gold}}}"


def check_dataset(dataset: Dataset | Sequence[Mapping[str, Any]], verifier: Verifier) -> CheckReport:
    """Prove that the gold answers of a dataset verify as 1.0, or find those that don't.

    Args:
        dataset: rows of `load_problems`.
        verifier: an `OutcomeVerifier`, configured as for training.

    Returns:
        The report.
    """
    report = CheckReport()
    for batch in _batches(dataset, report):
        rows = [row for _, row in batch]
        verdicts = verifier.verdicts(
            [_as_prompted(gold_completion(row), row["prompt"]) for row in rows],
            prompts=[row["prompt"] for row in rows],
            solution=[row["solution"] for row in rows],
            task=_column(rows, "task"),
            tests=_column(rows, "tests"),
        )
        for (index, row), verdict in zip(batch, verdicts, strict=True):
            if verdict.score == 1.0:
                report.verified += 1
            else:
                report.failures.append(CheckFailure(index, row["solution"], verdict, _beginning(row["prompt"])))
    report.odd = odd_answers(dataset)
    return report


def odd_answers(dataset: Dataset | Sequence[Mapping[str, Any]]) -> list[str]:
    """Answers that are no number in a dataset whose answers nearly all are.

    Args:
        dataset: rows of `load_problems`; rows of tasks and rows with tests are left aside.

    Returns:
        The answers; nothing where the share of numbers is below `NEARLY_ALL`.
    """
    plain = [row["solution"] for row in dataset if row.get("task") is None and row.get("tests") is None]
    odd = [answer for answer in plain if not _NUMBER.fullmatch(answer)]
    return odd if plain and 1 - len(odd) / len(plain) >= NEARLY_ALL else []


def _batches(
    dataset: Dataset | Sequence[Mapping[str, Any]], report: CheckReport
) -> Iterator[list[tuple[int, Mapping[str, Any]]]]:
    """Numbered rows that have an answer; the others go to the report."""
    batch: list[tuple[int, Mapping[str, Any]]] = []
    for index, row in enumerate(dataset):
        if gold_completion(row) is None:
            report.unanswered.append(index)
            continue
        batch.append((index, row))
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _column(rows: Sequence[Mapping[str, Any]], name: str) -> list[Any] | None:
    cells = [row.get(name) for row in rows]
    return cells if any(cell is not None for cell in cells) else None


def _as_prompted(text: str | None, prompt: Any) -> Any:
    return text if isinstance(prompt, str) else [{"role": "assistant", "content": text}]


def _beginning(prompt: Any, length: int = 80) -> str:
    text = " ".join(str(prompt if isinstance(prompt, str) else prompt[-1]["content"]).split())
    return text if len(text) <= length else f"{text[: length - 1]}…"


def run_check(
    dataset: str,
    *,
    split: str | None = None,
    name: str | None = None,
    columns: Mapping[str, str] | None = None,
    limit: int | None = None,
    seed: int = 0,
    prompt_style: str = "task",
    show: int = 20,
    verifier: Verifier | None = None,
    console: Console | None = None,
) -> int:
    """Load a dataset, check its gold answers and print those that do not verify.

    Args:
        dataset: a source of `load_problems`.
        split: as in `load_problems`; so are `name`, `columns`, `limit`, `seed` and `prompt_style`.
        show: print at most this many rows.
        verifier: default: `OutcomeVerifier(batch_seconds=3600)`.
        console: where to print; default: the terminal.

    Returns:
        The exit status: 0 when every answer verifies, else 1.

    Raises:
        RLSPError: the dataset cannot be loaded; see `load_problems`.
    """
    from rich.console import Console

    from trl_rlsp.problems.data import load_problems

    style: Any = prompt_style
    problems = load_problems(
        dataset, split=split, name=name, columns=columns, limit=limit, seed=seed, prompt_style=style
    )
    report = check_dataset(problems, verifier) if verifier else _check_with_default(problems)
    _print_report(report, dataset, console or Console(), show)
    return 0 if report.ok else 1


def _check_with_default(problems: Dataset) -> CheckReport:
    from trl_rlsp.rewards.outcome import OutcomeVerifier

    with OutcomeVerifier(batch_seconds=3600) as verifier:
        return check_dataset(problems, verifier)


def _print_report(report: CheckReport, dataset: str, console: Console, show: int) -> None:
    from rich.markup import escape
    from rich.table import Table

    if report.failures:
        table = Table("row", "answer", "reason", "problem", title=f"{dataset}: answers that do not verify")
        for failure in report.failures[:show]:
            cells = (str(failure.index), failure.gold, failure.verdict.reason, failure.problem)
            table.add_row(*map(escape, cells))
        console.print(table)
        hidden = len(report.failures) - show
        counts = ", ".join(f"{reason} {count}" for reason, count in report.reasons.most_common())
        console.print(f"by reason: {counts}" + (f" ({hidden} more not shown)" if hidden > 0 else ""))
    if report.unanswered:
        console.print(f"{len(report.unanswered)} of {report.total} rows bring no answer to check")
    for answer in report.odd[:show]:
        console.print(f"{escape(answer)}: no number, unlike the other answers; correct it or leave the row out")
    verdict = "ok" if report.ok else "not ok"
    console.print(f"{verdict}: {report.verified} of {report.total} answers verify in {escape(dataset)}")
