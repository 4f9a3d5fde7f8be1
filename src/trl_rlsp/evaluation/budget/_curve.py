"""Accuracy against tokens: one evaluation a budget, on the same problems; as numbers, Markdown and a plot."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trl_rlsp.errors import DataError, SourceError
from trl_rlsp.evaluation._charts import Chart, save_plot, tokens_line
from trl_rlsp.evaluation._compare import compare
from trl_rlsp.evaluation._estimators import Estimate
from trl_rlsp.evaluation._metrics import Evaluation, ScoredSample, by_problem
from trl_rlsp.evaluation._scoring import draw, evaluate_samples, score_samples
from trl_rlsp.evaluation._store import SampleStore, save_evaluation
from trl_rlsp.evaluation._tables import INTERVALS, markdown_rows
from trl_rlsp.evaluation.budget._agreement import Rule, RuleResult, try_rule
from trl_rlsp.evaluation.budget._thinking import ThinkingBudget, draw_within
from trl_rlsp.files import atomic_write
from trl_rlsp.generation import Engine, Sampling

if TYPE_CHECKING:
    from datasets import Dataset

    from trl_rlsp.rewards import OutcomeVerifier

BEGIN, END = "<!-- numbers: begin -->", "<!-- numbers: end -->"
CURVE_COLUMNS = ("model", "budget", "accuracy (pass@1)", "completion tokens", "answer forced", "finished")
VOTE_COLUMNS = ("model", "rule", "accuracy", "minus maj@n", "samples", "tokens a problem", "saved")
MODES = {"at most": "at most", "forced": "forced", "free": "no budget"}


@dataclass(frozen=True)
class Point:
    """One model at one budget of reasoning tokens.

    Attributes:
        mode: `at most` (the budget is a ceiling), `forced` (floor and ceiling) or `free` (no budget).
        forced: share of the completions whose answer was forced.
    """

    model: str
    mode: str
    budget: int | None
    metrics: Evaluation
    forced: float

    @property
    def label(self) -> str:
        """Mode and budget."""
        return self.mode if self.budget is None else f"{self.mode} {self.budget}"


@dataclass
class Curve:
    """The points of one model, with the samples behind each."""

    points: list[Point] = field(default_factory=list)
    samples: list[list[ScoredSample]] = field(default_factory=list)

    def add(self, point: Point, samples: list[ScoredSample]) -> None:
        """Append a point."""
        self.points.append(point)
        self.samples.append(samples)

    def gain(self, mode: str) -> tuple[int, int, Estimate] | None:
        """The smallest and the largest budget, and the paired difference of accuracy; `None` with fewer than two."""
        found = {p.budget: s for p, s in zip(self.points, self.samples, strict=True) if p.mode == mode and p.budget}
        if len(found) < 2:
            return None
        least, most = min(found), max(found)
        return least, most, compare(found[least], found[most])["pass@1"].difference


@dataclass(frozen=True)
class Bench:
    """One model on one set of problems, measured into a folder, where a run that was killed goes on.

    The samples depend on `drawn_with` and the budget; `settings` are written beside the metrics of each point.
    """

    name: str
    engine: Engine
    dataset: Dataset
    sampling: Sampling
    verifier: OutcomeVerifier
    folder: Path
    drawn_with: Mapping[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)

    def points(self, budgets: Sequence[ThinkingBudget | None]) -> Iterator[tuple[Point, list[ScoredSample]]]:
        """Sample and score P * n completions at each budget, `None` for none; with a floor it is in mode `forced`.

        Raises:
            ConfigError: before anything is sampled, a budget whose texts the model cannot write.
        """
        if hasattr(self.engine, "tokenizer"):
            for budget in budgets:
                if budget:
                    budget.check(self.engine.tokenizer)
        for budget in budgets:
            yield self._point(budget)

    def _point(self, budget: ThinkingBudget | None) -> tuple[Point, list[ScoredSample]]:
        mode = "free" if budget is None else "forced" if budget.at_least else "at most"
        folder = self.folder / (mode if budget is None else f"{mode} {budget.at_most}").replace(" ", "_")
        with self._store(folder, {"budget": asdict(budget) if budget else None}) as store:
            if budget is None:
                drawn, forced = draw(self.engine, self.dataset, self.sampling, store=store), 0.0
            else:
                thoughts = draw_within(self.engine, self.dataset, self.sampling, budget, store=store)
                drawn, forced = [t.sample for t in thoughts], sum(t.forced for t in thoughts) / len(thoughts)
        metrics, scored = evaluate_samples(drawn, self.dataset, verifier=self.verifier)
        save_evaluation(metrics, scored, folder, self.settings)
        return Point(self.name, mode, budget.at_most if budget else None, metrics, forced), scored

    def votes(self, n: int, rules: Sequence[Rule]) -> list[RuleResult]:
        """Early stopping by each rule against plain voting, on one draw of n samples a problem."""
        with self._store(self.folder / "votes", {"num_samples": n}) as store:
            drawn = draw(self.engine, self.dataset, replace(self.sampling, n=n), store=store)
        groups = list(by_problem(score_samples(drawn, self.dataset, self.verifier)).values())
        return [try_rule(groups, rule) for rule in rules]

    def _store(self, folder: Path, differs: dict[str, Any]) -> SampleStore:
        drawn_with = json.loads(json.dumps({**self.drawn_with, **differs}))  # lists, as they are read back
        return SampleStore(folder / "segments", drawn_with, self.dataset)


def curve_rows(curves: Mapping[str, Curve]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [CURVE_COLUMNS]
    for name, curve in curves.items():
        for point in curve.points:
            shares = (f"{100 * share:.0f} %" for share in (point.forced, point.metrics.finished.mean))
            label = "none" if point.budget is None else point.label
            rows.append((name, label, point.metrics.pass_at_1.percent(), point.metrics.tokens.number(), *shares))
    return rows


def vote_rows(votes: Mapping[str, Sequence[RuleResult]]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [VOTE_COLUMNS]
    for name, results in votes.items():
        for plain in results[:1]:
            accuracy, tokens = plain.plain_accuracy.percent(), plain.plain_tokens.number()
            rows.append((name, "all samples", accuracy, "", "", tokens, ""))
        for result in results:
            spent = (result.samples.number(), result.tokens.number(), f"{100 * result.saved:.0f} %")
            rows.append((name, result.rule, result.accuracy.percent(), result.difference.number(100, sign="+"), *spent))
    return rows


def markdown(curves: Mapping[str, Curve], votes: Mapping[str, Sequence[RuleResult]], n: int) -> str:
    """Both tables and the gains, in Markdown, from the curve and the votes of up to n samples of each model."""
    first = next(iter(curves.values())).points[0].metrics
    parts = [f"{first.problems} problems x {first.samples} completions a point; {INTERVALS}."]
    parts.append(markdown_rows(curve_rows(curves), left=2))
    gains = [
        f"- {name}, {mode}: from {found[0]} to {found[1]} tokens {found[2].number(100, sign='+')} points."
        for name, curve in curves.items()
        for mode in ("at most", "forced")
        if (found := curve.gain(mode))
    ]
    if gains:
        parts.append("\n".join(gains))
    if any(votes.values()):
        parts += [f"Votes of up to {n} samples a problem:", markdown_rows(vote_rows(votes), left=2)]
    return "\n\n".join(parts) + "\n"


def write_into(document: Path, numbers: str) -> None:
    """Put the numbers between the two marks of a Markdown document."""
    if not document.is_file():
        raise SourceError(f"there is no document {str(document)!r} to write the numbers into")
    text = document.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise DataError(f"{document} must have a line {BEGIN!r} and after it a line {END!r}, for the numbers between")
    atomic_write(document, f"{before}{BEGIN}\n\n{numbers}\n{END}{after}")


def plot_curves(curves: Mapping[str, Curve], path: Path) -> None:
    """Draw a line a model and mode, as PNG."""
    lines = []
    for name, curve in curves.items():
        for mode, label in MODES.items():
            metrics = [point.metrics for point in curve.points if point.mode == mode]
            if metrics:
                tokens, accuracy = [m.tokens for m in metrics], [m.pass_at_1 for m in metrics]
                lines.append(tokens_line(f"{name}, {label}", tokens, accuracy))
    save_plot(Chart("budget", "Accuracy", "completion tokens (mean)", lines, percent=True), path)
