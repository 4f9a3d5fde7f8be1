"""The value of search at inference time: accuracy against tokens at each budget, and votes with early stopping."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from math import comb
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trl_rlsp.errors import ConfigError, DataError
from trl_rlsp.evaluation._compare import Difference, compare_folders, paired
from trl_rlsp.evaluation._metrics import Estimate, Evaluation, Group, bootstrap_mean, by_problem, group_majority
from trl_rlsp.evaluation._scoring import draw, evaluate_samples, score_samples
from trl_rlsp.evaluation._shown import INTERVALS, Chart, estimates_line, markdown_rows, save_plot
from trl_rlsp.evaluation._store import SampleStore, save_evaluation
from trl_rlsp.evaluation.budget._thinking import ThinkingBudget, draw_within
from trl_rlsp.generation import Engine, Request, Sample, Sampling
from trl_rlsp.rewards import OutcomeVerifier

if TYPE_CHECKING:
    from datasets import Dataset

Answers = Sequence[Hashable | None]  # keys, equal for equal answers; `None` for no answer and so no vote
Rule = Callable[[Answers, int], bool]
"""Whether to stop after these answers, when at most n samples may be drawn."""


def unbeatable(answers: Answers, n: int) -> bool:
    """Stop when no other answer can catch up with the leading one: the vote is the same as with all n samples.

    >>> unbeatable(["7", "7", "9", "7"], n=5), unbeatable(["7", "7", "9"], n=4)
    (True, False)
    """
    first, second = top_two(answers)
    return first - second > n - len(answers)


def adaptive_consistency(confidence: float = 0.95) -> Rule:
    """Stop when the leading answer is more likely than the second with a probability above `confidence`.

    The Beta rule of Adaptive-Consistency (2305.11860, section 3.2), which uses a confidence of 0.95. A ConfigError
    unless 0.5 < confidence < 1. The vote may differ from that of all n samples.

    >>> adaptive_consistency()(["7"] * 3, 40), adaptive_consistency()(["7"] * 4, 40)
    (False, True)
    """
    if not 0.5 < confidence < 1:
        raise ConfigError(f"confidence is above 0.5 and below 1, got {confidence!r}")
    return lambda answers, n: lead_probability(*top_two(answers)) > confidence


def last_agree(k: int, window: int) -> Rule:
    """Stop when `k` of the last `window` samples give the same answer, 2 <= k <= window (else a ConfigError).

    With k = window this is early-stopping self-consistency (2401.10480, section 2), evaluated after each sample instead
    of after each window. The vote may differ from that of all n samples.

    >>> last_agree(3, 4)(["9", "7", "7", None, "7"], 40)
    True
    """
    if not 2 <= k <= window:
        raise ConfigError(f"2 <= k <= window must hold, got k={k} and window={window}")
    return lambda answers, n: top_two(answers[-window:])[0] >= k


def top_two(answers: Answers) -> tuple[int, int]:
    """Votes of the leading answer and of the second; 0 if there is no such answer."""
    first, second, *_ = [*sorted(Counter(a for a in answers if a is not None).values(), reverse=True), 0, 0]
    return first, second


def lead_probability(first: int, second: int) -> float:
    """The mass above 1/2 of Beta(first + 1, second + 1), the posterior of the first answer's share of the two."""
    total = first + second + 1
    return sum(comb(total, j) for j in range(first + 1)) / 2**total


def draw_until_agreement(
    engine: Engine,
    dataset: Dataset,
    sampling: Sampling,
    rule: Rule,
    verifier: OutcomeVerifier,
    *,
    store: SampleStore | None = None,
) -> list[Group]:
    """The scored samples of each problem, drawn until the rule stops or `sampling.n` are reached.

    Each round draws one sample of every problem that is still open; with a store, a killed run can be resumed.
    """
    samples: dict[Request, Sample] = {}
    drawn: dict[int, Group] = {}
    still_open = list(range(len(dataset)))
    for number in range(sampling.n):
        asked = [Request(problem, number) for problem in still_open]
        samples |= {s.request: s for s in draw(engine, dataset, sampling, store=store, requests=asked)}
        found = [samples[Request(problem, earlier)] for problem in still_open for earlier in range(number + 1)]
        drawn |= by_problem(score_samples(found, dataset, verifier))  # groups equal answers again
        still_open = [p for p in still_open if not rule([s.answer for s in drawn[p]], sampling.n)]
    return [drawn[problem] for problem in range(len(dataset))]


@dataclass(frozen=True)
class RuleResult:
    """A rule against plain maj@n on the same problems.

    Attributes:
        accuracy: of the vote of all n samples (first) and of the samples drawn under the rule (second).
        tokens: sampled tokens per problem, in the same order; `saved` is the share that the rule saves.
        samples: samples per problem drawn under the rule.
        stopped: share of the problems stopped before n samples.
    """

    accuracy: Difference
    tokens: Difference
    samples: Estimate
    saved: float
    stopped: float


def try_rule(recorded: Sequence[Group], rule: Rule) -> RuleResult:
    """The savings of a rule, replayed on n scored samples of each problem in the order in which they were drawn.

    A DataError for no problems, for different numbers of samples, or if no vote has a score.
    """
    sizes = {len(group) for group in recorded}
    if len(sizes) != 1 or sizes == {0}:
        raise DataError(f"every problem needs the same number of samples, at least 1, got {sorted(sizes) or 'none'}")
    (n,) = sizes
    answers = [[sample.answer for sample in group] for group in recorded]
    counts = [next((k for k in range(1, n) if rule(given[:k], n)), n) for given in answers]
    groups = dict(enumerate(recorded)), {i: recorded[i][:count] for i, count in enumerate(counts)}
    accuracy = paired(*groups, lambda group: group_majority(group, len(group)))
    tokens = paired(*groups, lambda group: sum(sample.tokens for sample in group))
    if accuracy is None or tokens is None:
        raise DataError("no vote has a score: check the gold answers with `rlsp check`")
    stopped = sum(count < n for count in counts) / len(counts)
    saved = -tokens.difference.mean / tokens.first.mean
    return RuleResult(accuracy, tokens, bootstrap_mean(counts), saved, stopped)


@dataclass(frozen=True)
class Point:
    """One model at one budget of reasoning tokens.

    Attributes:
        mode: `at most` (the budget is a ceiling), `forced` (floor and ceiling) or `no budget`.
        forced: share of the completions whose answer was forced.
        folder: folder of its evaluation.
    """

    model: str
    label: str
    mode: str
    budget: int | None
    metrics: Evaluation
    forced: float
    folder: str


@dataclass(frozen=True)
class Bench:
    """One model on one set of problems, evaluated into a folder from which a killed run can be resumed.

    The samples depend on `drawn_with` and the budget; `settings` are written with the metrics of each point.
    """

    name: str
    engine: Engine
    dataset: Dataset
    sampling: Sampling
    verifier: OutcomeVerifier
    folder: Path
    drawn_with: Mapping[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)

    def points(self, budgets: Sequence[ThinkingBudget]) -> Iterator[Point]:
        """Sample and score P * n completions at each budget; the mode is `forced` for a budget with a floor.

        A ConfigError, before anything is sampled, for texts that the model cannot write.
        """
        for budget in budgets:
            budget.check(self.engine)
        yield from map(self._point, budgets)

    def _point(self, budget: ThinkingBudget) -> Point:
        mode = "forced" if budget.at_least else "no budget" if budget.at_most is None else "at most"
        label = mode if budget.at_most is None else f"{mode} {budget.at_most}"
        folder = self.folder / label.replace(" ", "_")
        with SampleStore(folder / "segments", {**self.drawn_with, "budget": asdict(budget)}, self.dataset) as store:
            thoughts = draw_within(self.engine, self.dataset, self.sampling, budget, store=store)
        metrics, scored = evaluate_samples([t.sample for t in thoughts], self.dataset, verifier=self.verifier)
        save_evaluation(metrics, scored, folder, self.settings)
        forced = sum(thought.forced for thought in thoughts) / len(thoughts)
        return Point(self.name, label, mode, budget.at_most, metrics, forced, str(folder))

    def votes(self, n: int, rules: Mapping[str, Rule]) -> dict[str, RuleResult]:
        """Early stopping by each rule against plain voting, on the same n samples per problem."""
        drawn_with = {**self.drawn_with, "num_samples": n}
        with SampleStore(self.folder / "votes" / "segments", drawn_with, self.dataset) as store:
            drawn = draw(self.engine, self.dataset, replace(self.sampling, n=n), store=store)
        groups = list(by_problem(score_samples(drawn, self.dataset, self.verifier)).values())
        return {name: try_rule(groups, rule) for name, rule in rules.items()}


def markdown(curves: Mapping[str, Sequence[Point]], votes: Mapping[str, Mapping[str, RuleResult]], n: int) -> str:
    """Markdown tables of the points and of votes of up to n samples per model, and the gains."""
    points = [point for curve in curves.values() for point in curve]
    metrics = points[0].metrics
    rows = [("model", "budget", "accuracy (pass@1)", "completion tokens", "answer forced", "finished")]
    for p in points:
        forced, finished = (f"{100 * share:.0f} %" for share in (p.forced, p.metrics.finished.mean))
        rows.append((p.model, p.label, p.metrics.pass_at_1.percent(), p.metrics.tokens.number(), forced, finished))
    head = f"{metrics.problems} problems x {metrics.samples} completions a point; {INTERVALS}."
    gains = "\n".join(gain for curve in curves.values() for gain in _gains(curve))
    parts = [head, markdown_rows(rows, left=2), gains]
    cast = [("model", "rule", "accuracy", "minus maj@n", "samples", "tokens per problem", "saved")]
    for name, results in votes.items():
        for r in list(results.values())[:1]:
            cast.append((name, "all samples", r.accuracy.first.percent(), "", "", r.tokens.first.number(), ""))
        for rule, r in results.items():
            gain, samples = r.accuracy.difference.number(100, sign="+"), r.samples.number()
            spent = r.tokens.second.number()
            cast.append((name, rule, r.accuracy.second.percent(), gain, samples, spent, f"{100 * r.saved:.0f} %"))
    if len(cast) > 1:
        parts += [f"Votes of up to {n} samples per problem:", markdown_rows(cast, left=2)]
    return "\n\n".join(filter(None, parts)) + "\n"


def _gains(curve: Sequence[Point]) -> Iterator[str]:
    """The gain of the largest budget of each mode over the smallest, paired by problem."""
    for mode in ("at most", "forced"):
        found = sorted((p.budget, p.folder) for p in curve if p.mode == mode and p.budget)
        if len(found) > 1:
            (least, first), *_, (most, last) = found
            gain = compare_folders(Path(first), Path(last))["pass@1"].difference.number(100, sign="+")
            yield f"- {curve[0].model}, {mode}: from {least} to {most} tokens {gain} points."


def plot_curves(curves: Mapping[str, Sequence[Point]], path: Path) -> None:
    """Write a PNG plot with one line per model and mode."""
    lines = []
    for name, curve in curves.items():
        for mode in dict.fromkeys(point.mode for point in curve):
            of_mode = [point.metrics for point in curve if point.mode == mode]
            tokens, accuracies = [m.tokens.mean for m in of_mode], [m.pass_at_1 for m in of_mode]
            lines.append(estimates_line(f"{name}, {mode}", tokens, accuracies))
    save_plot(Chart("budget", "Accuracy", "completion tokens (mean)", lines, percent=True), path)
