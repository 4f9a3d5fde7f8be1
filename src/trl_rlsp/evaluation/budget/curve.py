"""Accuracy against tokens: one evaluation a budget, on the same problems; as numbers, Markdown and a plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trl_rlsp.errors import DataError, MissingDependencyError, SourceError
from trl_rlsp.evaluation.bootstrap import Estimate
from trl_rlsp.evaluation.budget.agreement import RuleResult
from trl_rlsp.evaluation.budget.thinking import ThinkingBudget, draw_within
from trl_rlsp.evaluation.compare import compare
from trl_rlsp.evaluation.metrics import Evaluation, ScoredSample
from trl_rlsp.evaluation.scoring import draw, evaluate_samples
from trl_rlsp.files import atomic_write
from trl_rlsp.generation import Engine, Sampling

if TYPE_CHECKING:
    from datasets import Dataset

    from trl_rlsp.evaluation.store import SampleStore
    from trl_rlsp.rewards import OutcomeVerifier

BEGIN, END = "<!-- numbers: begin -->", "<!-- numbers: end -->"
CURVE_COLUMNS = ("model", "budget", "accuracy (pass@1)", "completion tokens", "answer forced", "finished")
VOTE_COLUMNS = ("model", "rule", "accuracy", "minus maj@n", "samples", "tokens a problem", "saved")
STYLES = {"at most": "o-", "forced": "o--", "free": "X"}


@dataclass(frozen=True)
class Point:
    """One model at one budget.

    Attributes:
        model: its name.
        mode: `at most` (the budget is a ceiling), `forced` (floor and ceiling) or `free` (no budget).
        budget: reasoning tokens; `None` in mode `free`.
        metrics: accuracy, tokens and more, each with its 95 % interval over problems.
        forced: share of the completions whose answer was forced.
    """

    model: str
    mode: str
    budget: int | None
    metrics: Evaluation
    forced: float

    @property
    def label(self) -> str:
        """How tables and folders call the budget."""
        return "none" if self.budget is None else f"{self.mode} {self.budget}"


@dataclass
class Curve:
    """The points of one model, with the samples behind each."""

    points: list[Point] = field(default_factory=list)
    samples: list[list[ScoredSample]] = field(default_factory=list)

    def add(self, point: Point, samples: list[ScoredSample]) -> None:
        """One more point."""
        self.points.append(point)
        self.samples.append(samples)

    def budgets(self, mode: str) -> list[int]:
        """The budgets in a mode, ascending."""
        return sorted(point.budget for point in self.points if point.mode == mode and point.budget)

    def gain(self, mode: str) -> Estimate | None:
        """Accuracy at the largest budget minus that at the smallest, paired by problem; `None` with fewer than two."""
        found = self.budgets(mode)
        if len(found) < 2:
            return None
        by_budget = {p.budget: s for p, s in zip(self.points, self.samples, strict=True) if p.mode == mode}
        return compare(by_budget[found[0]], by_budget[found[-1]])["pass@1"].difference


def measure(
    name: str,
    engine: Engine,
    dataset: Dataset,
    sampling: Sampling,
    mode: str,
    budget: ThinkingBudget | None,
    verifier: OutcomeVerifier,
    store: SampleStore | None = None,
) -> tuple[Point, list[ScoredSample]]:
    """Sample and score at one budget.

    Args:
        name: the model's name in tables.
        engine: draws.
        dataset: P rows as `load_problems` gives them.
        sampling: how to draw.
        mode: as in `Point`.
        budget: the budget; `None` for none.
        verifier: decides what is right.
        store: keeps what is drawn.

    Returns:
        The point, and the P * n samples in the order of the problems.

    Raises:
        ConfigError: a budget whose texts the model cannot write.
    """
    if budget is None:
        drawn, forced = draw(engine, dataset, sampling, store=store), 0.0
    else:
        thoughts = draw_within(engine, dataset, sampling, budget, store=store)
        drawn, forced = [t.sample for t in thoughts], sum(t.forced for t in thoughts) / len(thoughts)
    metrics, scored = evaluate_samples(drawn, dataset, verifier=verifier)
    return Point(name, mode, budget.at_most if budget else None, metrics, forced), scored


def curve_rows(curves: Mapping[str, Curve]) -> list[tuple[str, ...]]:
    """One row of text a point, with 95 % intervals."""
    return [
        (
            name,
            point.label,
            point.metrics.pass_at_1.percent(),
            point.metrics.tokens.number(),
            f"{100 * point.forced:.0f} %",
            f"{100 * point.metrics.finished.mean:.0f} %",
        )
        for name, curve in curves.items()
        for point in curve.points
    ]


def vote_rows(votes: Mapping[str, Sequence[RuleResult]]) -> list[tuple[str, ...]]:
    """One row of text a model and rule, after one for plain voting."""
    rows: list[tuple[str, ...]] = []
    for name, (plain, *_) in ((name, results) for name, results in votes.items() if results):
        rows.append((name, "all samples", plain.plain_accuracy.percent(), "", "", plain.plain_tokens.number(), ""))
        rows += [
            (
                name,
                result.rule,
                result.accuracy.percent(),
                _points(result.difference),
                result.samples.number(),
                result.tokens.number(),
                f"{100 * result.saved:.0f} %",
            )
            for result in votes[name]
        ]
    return rows


def markdown(curves: Mapping[str, Curve], votes: Mapping[str, Sequence[RuleResult]], n: int) -> str:
    """Both tables and the gains, in Markdown.

    Args:
        curves: model name -> its points.
        votes: model name -> one result a rule; may be empty.
        n: samples a problem in the votes.
    """
    first = next(iter(curves.values())).points[0].metrics
    gains = [
        f"- {name}, {mode}: from {budgets[0]} to {budgets[-1]} tokens {_points(gain)} points."
        for name, curve in curves.items()
        for mode in ("at most", "forced")
        for budgets, gain in [(curve.budgets(mode), curve.gain(mode))]
        if gain is not None
    ]
    parts = [
        f"{first.problems} problems x {first.samples} completions a point; 95 % bootstrap intervals over problems.",
        _table(CURVE_COLUMNS, curve_rows(curves)),
        *(["\n".join(gains)] if gains else []),
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
    atomic_write(document, f"{before}{BEGIN}\n\n{numbers}\n{END}{after}")


def _points(gain: Estimate) -> str:
    return f"{100 * gain.mean:+.1f} [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(columns) + " |", "|---|---" + "|---:" * (len(columns) - 2) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def require_matplotlib() -> None:
    """Say how to get matplotlib before anything is computed.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError("the plot needs matplotlib: pip install 'trl-rlsp[report]'") from error


def plot_curves(curves: Mapping[str, Curve], path: Path) -> None:
    """Write a PNG: one line a model and mode, bars for the 95 % intervals, a cross where there is no budget.

    Args:
        curves: model name -> its points.
        path: where to write.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    require_matplotlib()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for number, (name, curve) in enumerate(curves.items()):
        for mode, style in STYLES.items():
            points = [point for point in curve.points if point.mode == mode]
            label = f"{name}, {'no budget' if mode == 'free' else mode}"
            if points:
                _draw(axes, [point.metrics for point in points], fmt=style, color=f"C{number}", label=label, capsize=3)
    axes.set_xlabel("completion tokens (mean)")
    axes.set_ylabel("accuracy, %")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=150)


def _draw(axes: Any, points: Sequence[Evaluation], **style: Any) -> None:
    low, mean, high = ([100 * getattr(p.pass_at_1, part) for p in points] for part in ("low", "mean", "high"))
    below, above = ([abs(m - e) for m, e in zip(mean, ends, strict=True)] for ends in (low, high))
    axes.errorbar([p.tokens.mean for p in points], mean, yerr=[below, above], **style)
