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
from typing import TYPE_CHECKING, Any

from trl_rlsp.text.program import find_program
from trl_rlsp.verification import Verdict

if TYPE_CHECKING:
    from datasets import Dataset

    from trl_rlsp.rewards.outcome import OutcomeVerifier
    from trl_rlsp.text.terminal import Terminal

BATCH = 256
NEARLY_ALL = 0.9
_NUMBER = re.compile(r"-?(?:\d+|\d{1,3}(?:,\d{3})+)(?:\.\d+)?")


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
        `\boxed{answer}`, or the reference program in a code block; `None` where the row has no answer.

    >>> gold_completion({"solution": "7"})
    '\\boxed{7}'
    """
    gold = row.get("solution") or ""
    if not gold.strip():
        return None
    if row.get("tests") is not None:
        return gold if find_program(gold, 0).answer else f"```python\n{gold}\n```"
    return f"\\boxed{{{gold}}}"


def check_dataset(dataset: Dataset | Sequence[Mapping[str, Any]], verifier: OutcomeVerifier) -> CheckReport:
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
            **{name: _column(rows, name) for name in {*rows[0], "task", "tests"} - {"prompt"}},
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


def print_report(report: CheckReport, dataset: str, console: Terminal, show: int = 20) -> None:
    """Print the rows whose answer does not verify, at most `show` of them, and what else was found.

    Args:
        report: from `check_dataset`.
        dataset: its name.
        console: where to print; texts are no markup there (`trl_rlsp.text.terminal.Terminal`).
        show: rows printed at most.
    """
    from rich.table import Table

    if report.failures:
        table = Table("row", "answer", "reason", "problem", title=f"{dataset}: answers that do not verify")
        for failure in report.failures[:show]:
            table.add_row(str(failure.index), failure.gold, failure.verdict.reason, failure.problem)
        console.print(table)
        hidden = len(report.failures) - show
        counts = ", ".join(f"{reason} {count}" for reason, count in report.reasons.most_common())
        console.print(f"by reason: {counts}" + (f" ({hidden} more not shown)" if hidden > 0 else ""))
    if report.unanswered:
        console.print(f"{len(report.unanswered)} of {report.total} rows bring no answer to check")
    for answer in report.odd[:show]:
        console.print(f"{answer}: no number, unlike the other answers; correct it or leave the row out")
    verdict = "ok" if report.ok else "not ok"
    console.print(f"{verdict}: {report.verified} of {report.total} answers verify in {dataset}")
