"""Charts over the steps of RL, and of length against correctness and effort against difficulty."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from trl_rlsp.behaviours import KINDS
from trl_rlsp.evaluation import Chart, Estimate, Line, bootstrap_mean, by_problem, known_mean
from trl_rlsp.runs import Completion, Run, StepMetrics, accuracy_key, reward_parts, values_of
from trl_rlsp.text import words

STEP, LOGGED = "training step", "From the completions that were logged."
CURVES = (
    Chart("accuracy", "Accuracy", STEP, (), percent=True),
    Chart("reward", "Reward", STEP, ()),
    Chart("reward_parts", "Reward parts", STEP, (), "Mean of each as logged: before TRL's reward_weights."),
    Chart("length", "Completion length, tokens", STEP, ()),
    Chart("cut_off", "Share cut off at the limit", STEP, (), percent=True),
    Chart("finished", "Share with a final answer", STEP, (), LOGGED, percent=True),
    Chart("entropy", "Entropy of the next token, nats", STEP, ()),
    Chart("kl", "KL divergence from the reference, nats", STEP, ()),
    Chart("zero_variance", "Groups in which all rewards are equal", STEP, (), percent=True),
    Chart("repetition", "Share of text that repeats earlier text", STEP, (), LOGGED, percent=True),
    Chart("behaviours", "Search behaviors per 1,000 words", STEP, (), f"Found by patterns. {LOGGED}"),
)
METRICS = {
    **{"reward": "reward", "length": "completions/mean_length", "cut_off": "completions/clipped_ratio"},
    **{"entropy": "entropy", "kl": "kl", "zero_variance": "frac_reward_zero_std"},
}
"""Chart -> what TRL logs for it."""

SOLVED = ("never", "under half", "half or more", "always")
FEWEST = 5
LENGTH_BINS = 6


def training_curves(runs: Sequence[Run], metrics: Sequence[Sequence[StepMetrics]]) -> list[Chart]:
    """The curves of R runs and of their logged completions, step by step; a chart without a line is left out."""
    lines: dict[str, list[Line]] = {}
    for run, steps in zip(runs, metrics, strict=True):
        logged = [("reward_parts", part, f"rewards/{part}/mean") for part in reward_parts(run.history)]
        logged += [(key, "", metric) for key, metric in METRICS.items()]
        for label, held_out in (("training problems", False), ("held-out problems", True)):
            logged += [("accuracy", label, accuracy_key(run.history, held_out=held_out) or "")]
        found: list[tuple[str, str, list[int], list[Any]]]
        found = [(key, label, *values_of(run.history, metric)) for key, label, metric in logged]
        x = [step.step for step in steps]
        found += [(name, "", x, [getattr(step, name) for step in steps]) for name in ("finished", "repetition")]
        for kind in KINDS:
            counts = [step.behaviours[kind] for step in steps]
            found += [("behaviours", kind.replace("_", " "), x, counts)] if any(counts) else []
        for key, label, x, y in found:
            if any(value is not None for value in y):
                name = f"{run.name}: {label}" if label and len(runs) > 1 else label or run.name
                lines.setdefault(key, []).append(Line(name, x, y))
    return [replace(chart, lines=lines[chart.key]) for chart in CURVES if chart.key in lines]


Lengths = Sequence[tuple[Completion, int]]
"""Completions, each with its length."""
Named = Sequence[tuple[str, Lengths]]


def effort_charts(runs: Sequence[Run]) -> list[Chart]:
    """Length against correctness, and length against difficulty, of each evaluation and of training."""
    found = _sources(runs)
    completions = [c for _, group in found for c in group]
    in_tokens = all(c.tokens is not None for c in completions)  # else in words
    lengths = [(name, [(c, c.tokens or 0 if in_tokens else len(words(c.text))) for c in g]) for name, g in found]
    unit = "tokens" if in_tokens else "words"
    by_verdict = _binned(
        Chart("length_verdict", f"Length by verdict, {unit}", "verdict", (), categories=("wrong", "right")),
        lengths,
        lambda group: ((int(c.score >= 0.5), length) for c, length in group if c.score is not None),
        bootstrap_mean,
        "Mean, with bootstrap 95 % intervals over completions.",
    )
    charts = [_accuracy_by_length(lengths, unit), by_verdict, _length_by_difficulty(completions, lengths, unit)]
    return [chart for chart in charts if chart.lines]


def _sources(runs: Sequence[Run]) -> list[tuple[str, Sequence[Completion]]]:
    """Named sets of completions: evaluations; both halves of the logged ones of a run that has no evaluation."""
    found: list[tuple[str, Sequence[Completion]]] = []
    for run in runs:
        prefix = f"{run.name}: " if len(runs) > 1 else ""
        found += [(prefix + evaluated.name, evaluated.completions) for evaluated in run.evaluations]
        if not run.evaluations and run.completions:
            half = run.completions[len(run.completions) // 2].step or 0
            early = [c for c in run.completions if (c.step or 0) < half]
            late = [c for c in run.completions if (c.step or 0) >= half]
            found += [(f"{prefix}first half", early), (f"{prefix}second half", late)] if early else [(prefix, late)]
    return found


def _binned(
    chart: Chart,
    lengths: Named,
    placed: Callable[[Lengths], Iterable[tuple[int, float]]],
    estimate: Callable[[Sequence[float]], Estimate],
    note: str,
) -> Chart:
    """A chart with a line for each set of completions, from (category, value) pairs; without empty categories."""
    lines: list[tuple[str, list[Estimate | None]]] = []
    for name, group in lengths:
        bins: list[list[float]] = [[] for _ in chart.categories]
        for place, value in placed(group):
            bins[place].append(value)
        lines.append((name, [estimate(values) if len(values) >= FEWEST else None for values in bins]))
    kept = [i for i in range(len(chart.categories)) if any(points[i] for _, points in lines)]
    drawn = [
        Line(name, range(len(kept)), *([getattr(points[i], e, None) for i in kept] for e in ("mean", "low", "high")))
        for name, points in lines
        if kept
    ]
    return replace(chart, lines=drawn, categories=tuple(chart.categories[i] for i in kept), note=note)


def _accuracy_by_length(lengths: Named, unit: str) -> Chart:
    """Bins hold equal numbers of all completions together."""
    ordered = sorted(length for _, group in lengths for _, length in group) or [0]
    cuts = {ordered[len(ordered) * i // LENGTH_BINS] for i in range(1, LENGTH_BINS)}
    starts = sorted({ordered[0], *cuts})
    ends = [start - 1 for start in starts[1:]] + [ordered[-1]]
    names = tuple(f"{start}–{end}" if start < end else str(end) for start, end in zip(starts, ends, strict=True))
    return _binned(
        Chart("length_correctness", "Accuracy by length", f"completion length, {unit}", (), "", True, names),
        lengths,
        lambda group: ((sum(n >= start for start in starts[1:]), c.score) for c, n in group if c.score is not None),
        wilson,
        f"Share right, with Wilson 95 % intervals; bins under {FEWEST} completions are left out.",
    )


def _length_by_difficulty(completions: Sequence[Completion], lengths: Named, unit: str) -> Chart:
    """By the data set's level, else by how often a problem is solved."""
    levels = {c.problem: c.level for c in completions if c.level is not None}
    names = sorted(set(levels.values())) if levels else SOLVED
    places = levels or solve_classes(completions)

    def placed(group: Lengths) -> Iterable[tuple[int, float]]:
        of_problem: dict[str, list[int]] = {}
        for completion, length in group:
            of_problem.setdefault(completion.problem, []).append(length)
        means = {problem: sum(values) / len(values) for problem, values in of_problem.items()}
        return ((names.index(places[problem]), mean) for problem, mean in means.items() if problem in places)

    label = "level of the problem" if levels else "how often the problem is solved"
    by = "" if levels else " How often it is solved: by all models here together."
    note = f"Mean over problems, with bootstrap 95 % intervals; places under {FEWEST} problems are left out.{by}"
    chart = Chart("effort_difficulty", f"Length by difficulty, {unit}", label, (), categories=tuple(names))
    return _binned(chart, lengths, placed, bootstrap_mean, note)


def solve_classes(completions: Sequence[Completion]) -> dict[str, str]:
    """Problem -> one of `SOLVED`, over every completion given."""
    rates = {problem: known_mean(c.score for c in group) for problem, group in by_problem(completions).items()}
    known = {problem: rate for problem, rate in rates.items() if rate is not None}
    return {p: SOLVED[0 if rate == 0 else 3 if rate == 1 else 2 if rate >= 0.5 else 1] for p, rate in known.items()}


def wilson(values: Sequence[float]) -> Estimate:
    """Mean of shares with Wilson's 95 % interval."""
    n, p, z = len(values), sum(values) / len(values), 1.959964
    center = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return Estimate(p, max(0.0, center - half), min(1.0, center + half))
