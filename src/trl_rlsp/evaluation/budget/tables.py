"""The curve and the votes as Markdown, and as the numbers of a document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from trl_rlsp.errors import DataError, SourceError
from trl_rlsp.evaluation.budget.agreement import Saving
from trl_rlsp.evaluation.budget.curve import Curve

BEGIN, END = "<!-- numbers: begin -->", "<!-- numbers: end -->"

CURVE_COLUMNS = ("model", "budget", "accuracy (pass@1)", "completion tokens", "answer forced", "finished")
VOTE_COLUMNS = ("model", "rule", "accuracy", "minus maj@n", "samples", "tokens a problem", "saved")


def curve_rows(curves: Mapping[str, Curve]) -> list[tuple[str, ...]]:
    """One row of text a point, with 95 % intervals."""
    return [
        (
            name,
            "none" if point.budget is None else f"{point.mode} {point.budget}",
            point.figures.pass_at_1.percent(),
            point.figures.tokens.number(),
            f"{100 * point.cut:.0f} %",
            f"{100 * point.figures.finished.mean:.0f} %",
        )
        for name, curve in curves.items()
        for point in curve.points
    ]


def vote_rows(votes: Mapping[str, Sequence[Saving]]) -> list[tuple[str, ...]]:
    """One row of text a model and rule, after one for plain voting."""
    rows: list[tuple[str, ...]] = []
    for name, savings in votes.items():
        plain = savings[0]
        rows.append((name, "all samples", plain.plain_accuracy.percent(), "", "", plain.plain_tokens.number(), ""))
        rows += [
            (
                name,
                saving.rule,
                saving.accuracy.percent(),
                _points(saving.difference.mean, saving.difference.low, saving.difference.high),
                saving.samples.number(),
                saving.tokens.number(),
                f"{100 * saving.saved:.0f} %",
            )
            for saving in savings
        ]
    return rows


def markdown(curves: Mapping[str, Curve], votes: Mapping[str, Sequence[Saving]], n: int) -> str:
    """Both tables and the gains, in Markdown.

    Args:
        curves: model name -> its points.
        votes: model name -> one saving a rule; may be empty.
        n: samples a problem in the votes.
    """
    figures = next(iter(curves.values())).points[0].figures
    parts = [
        f"{figures.problems} problems x {figures.samples} completions a point; 95 % bootstrap intervals over problems.",
        _table(CURVE_COLUMNS, curve_rows(curves)),
        *_gains(curves),
    ]
    if any(votes.values()):
        parts += [f"Votes of up to {n} samples a problem:", _table(VOTE_COLUMNS, vote_rows(votes))]
    return "\n\n".join(parts) + "\n"


def write_into(document: Path, numbers: str) -> None:
    """Put the numbers between the two marks of a Markdown document.

    Raises:
        SourceError: no such document.
        DataError: the document does not have both marks, in order.
    """
    if not document.is_file():
        raise SourceError(f"there is no document {str(document)!r} to write the numbers into")
    text = document.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise DataError(f"{document} must have a line {BEGIN!r} and after it a line {END!r}, for the numbers between")
    document.write_text(f"{before}{BEGIN}\n\n{numbers}\n{END}{after}", encoding="utf-8")


def _gains(curves: Mapping[str, Curve]) -> list[str]:
    lines = []
    for name, curve in curves.items():
        for mode in ("at most", "forced"):
            gain = curve.gain(mode)
            if gain is not None:
                budgets = sorted(point.budget for point in curve.points if point.mode == mode and point.budget)
                points = _points(gain.mean, gain.low, gain.high)
                lines.append(f"- {name}, {mode}: from {budgets[0]} to {budgets[-1]} tokens {points} points.")
    return ["\n".join(lines)] if lines else []


def _points(mean: float, low: float, high: float) -> str:
    return f"{100 * mean:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(columns) + " |", "|---|---" + "|---:" * (len(columns) - 2) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])
