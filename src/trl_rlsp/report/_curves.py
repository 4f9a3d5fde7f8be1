"""Charts over the steps of RL: accuracy, reward and its parts, length, share finished, entropy, behaviours."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from trl_rlsp.behaviours import KINDS
from trl_rlsp.evaluation import Estimate, bootstrap_mean, by_problem
from trl_rlsp.report._charts import Chart, Line
from trl_rlsp.runs import Completion, Run, StepMetrics, accuracy, accuracy_key, reward_parts, values_of
from trl_rlsp.text import words

STEP = "training step"
StepsOfRuns = Sequence[Sequence[StepMetrics]]


def training_curves(runs: Sequence[Run], metrics: StepsOfRuns) -> list[Chart]:
    """The curves of one or several runs; a chart without a line is left out.

    Args:
        runs: R runs.
        metrics: for each run, those of its logged completions, a step each.
    """
    charts = [
        _accuracy(runs),
        _chart(runs, "reward", "Reward", {"": "reward"}),
        _parts(runs),
        _chart(runs, "length", "Completion length, tokens", {"": "completions/mean_length"}),
        _chart(runs, "cut_off", "Share cut off at the limit", {"": "completions/clipped_ratio"}, percent=True),
        _from_text(runs, metrics, "finished", "Share with a final answer", "finished"),
        _chart(runs, "entropy", "Entropy of the next token, nats", {"": "entropy"}),
        _chart(runs, "kl", "KL divergence from the reference, nats", {"": "kl"}),
        _chart(
            runs, "zero_variance", "Groups in which all rewards are equal", {"": "frac_reward_zero_std"}, percent=True
        ),
        _from_text(runs, metrics, "repetition", "Share of text that repeats earlier text", "repetition"),
        _behaviours(runs, metrics),
    ]
    return [chart for chart in charts if chart.lines]


def _accuracy(runs: Sequence[Run]) -> Chart:
    lines = []
    for run in runs:
        for held_out, suffix in ((False, "training problems"), (True, "held-out problems")):
            key = accuracy_key(run.history, held_out=held_out)
            if key:
                lines.append(Line(_name(runs, run, suffix), *values_of(run.history, key)))
    return Chart("accuracy", "Accuracy", STEP, lines, percent=True)


def _parts(runs: Sequence[Run]) -> Chart:
    lines = [
        Line(_name(runs, run, part), *values_of(run.history, f"rewards/{part}/mean"))
        for run in runs
        for part in reward_parts(run.history)
    ]
    note = "Mean of each reward function, as logged: before TRL's reward_weights."
    return Chart("reward_parts", "Reward parts", STEP, [line for line in lines if line.x], note)


def _chart(
    runs: Sequence[Run], key: str, title: str, metrics: dict[str, str], *, percent: bool = False, note: str = ""
) -> Chart:
    lines = [
        Line(_name(runs, run, label), *values_of(run.history, metric))
        for run in runs
        for label, metric in metrics.items()
    ]
    return Chart(key, title, STEP, [line for line in lines if line.x], note, percent)


def _from_text(runs: Sequence[Run], metrics: StepsOfRuns, key: str, title: str, attribute: str) -> Chart:
    lines = []
    for run, steps in zip(runs, metrics, strict=True):
        values = [getattr(step, attribute) for step in steps]
        if any(value is not None for value in values):
            lines.append(Line(_name(runs, run, ""), [step.step for step in steps], values))
    return Chart(key, title, STEP, lines, "From the completions that were logged.", percent=True)


def _behaviours(runs: Sequence[Run], metrics: StepsOfRuns) -> Chart:
    lines = []
    for run, steps in zip(runs, metrics, strict=True):
        for kind in KINDS:
            values = [step.behaviours[kind] for step in steps]
            if any(values):
                name = _name(runs, run, kind.replace("_", " "))
                lines.append(Line(name, [step.step for step in steps], values))
    note = "Found by patterns in the completions that were logged."
    return Chart("behaviours", "Search behaviours per 1,000 words", STEP, lines, note)


def _name(runs: Sequence[Run], run: Run, label: str) -> str:
    if len(runs) == 1:
        return label or run.name
    return f"{run.name}: {label}" if label else run.name


Source = tuple[str, Sequence[Completion]]
SOLVED = ("never", "under half", "half or more", "always")
FEWEST = 5
LENGTH_BINS = 6


def effort_charts(runs: Sequence[Run]) -> list[Chart]:
    """Length against correctness, and length against difficulty, of each evaluation and of training."""
    found = sources(runs)
    charts = [length_and_correctness(found), length_by_verdict(found), effort_and_difficulty(found)]
    return [chart for chart in charts if chart is not None and chart.lines]


def sources(runs: Sequence[Run]) -> list[Source]:
    """Named sets of completions: evaluations; the logged ones of a run that has no evaluation."""
    found: list[Source] = []
    for run in runs:
        prefix = f"{run.name}: " if len(runs) > 1 else ""
        found += [(prefix + evaluated.name, evaluated.completions) for evaluated in run.evaluations]
        if not run.evaluations and run.completions:
            half = run.completions[len(run.completions) // 2].step
            early = [c for c in run.completions if (c.step or 0) < (half or 0)]
            late = [c for c in run.completions if (c.step or 0) >= (half or 0)]
            found += [(f"{prefix}first half", early), (f"{prefix}second half", late)] if early else [(prefix, late)]
    return found


def length_and_correctness(found: Sequence[Source]) -> Chart | None:
    """Accuracy of short and of long completions; bins hold equal numbers of all completions together."""
    lengths, unit = _lengths(found)
    ordered = sorted(length for row in lengths for length in row)
    if not ordered:
        return None
    cuts = {ordered[len(ordered) * i // LENGTH_BINS] for i in range(1, LENGTH_BINS)}
    edges = sorted(cuts - {ordered[0]})
    names = _bin_names(edges, ordered[0], ordered[-1])
    lines = []
    for (name, completions), row in zip(found, lengths, strict=True):
        bins: list[list[float]] = [[] for _ in names]
        for completion, length in zip(completions, row, strict=True):
            if completion.score is not None:
                bins[sum(length >= edge for edge in edges)].append(completion.score)
        lines.append(_line(name, bins, wilson))
    note = f"Share right, with Wilson 95 % intervals; bins under {FEWEST} completions are left out."
    chart = Chart("length_correctness", "Accuracy by length", f"completion length, {unit}", lines, note, True, names)
    return without_empty(chart)


def length_by_verdict(found: Sequence[Source]) -> Chart:
    """Mean length of right and of wrong completions."""
    lengths, unit = _lengths(found)
    lines = []
    for (name, completions), row in zip(found, lengths, strict=True):
        bins: list[list[float]] = [[], []]
        for completion, length in zip(completions, row, strict=True):
            if completion.score is not None:
                bins[completion.score >= 0.5].append(float(length))
        lines.append(_line(name, bins, bootstrap_mean))
    note = "Mean, with bootstrap 95 % intervals over completions."
    chart = Chart("length_verdict", f"Length by verdict, {unit}", "verdict", lines, note, False, ("wrong", "right"))
    return without_empty(chart)


def effort_and_difficulty(found: Sequence[Source]) -> Chart:
    """Mean length on easy and on hard problems: by the data set's level, else by how often a problem is solved."""
    lengths, unit = _lengths(found)
    levels = {c.problem: c.level for _, completions in found for c in completions if c.level is not None}
    names: Sequence[str] = sorted(set(levels.values())) if levels else SOLVED
    places = levels or solve_classes([c for _, completions in found for c in completions])
    lines = []
    for (name, completions), row in zip(found, lengths, strict=True):
        bins: list[list[float]] = [[] for _ in names]
        problems: dict[str, list[float]] = {}
        for completion, length in zip(completions, row, strict=True):
            problems.setdefault(completion.problem, []).append(float(length))
        for problem, values in problems.items():
            if problem in places:
                bins[names.index(places[problem])].append(sum(values) / len(values))
        lines.append(_line(name, bins, bootstrap_mean))
    label = "level of the problem" if levels else "how often the problem is solved"
    by = "" if levels else " How often it is solved: by all models here together."
    note = f"Mean over problems, with bootstrap 95 % intervals; places under {FEWEST} problems are left out.{by}"
    chart = Chart("effort_difficulty", f"Length by difficulty, {unit}", label, lines, note, False, tuple(names))
    return without_empty(chart)


def without_empty(chart: Chart) -> Chart:
    """The chart without categories in which no line has a value."""
    kept = [i for i in range(len(chart.categories)) if any(line.y[i] is not None for line in chart.lines)]

    def chosen(line: Line) -> Line:
        y, low, high = ([row[i] for i in kept] for row in (line.y, line.low, line.high))
        return Line(line.name, list(range(len(kept))), y, low, high)

    lines = [chosen(line) for line in chart.lines] if kept else []
    return replace(chart, lines=lines, categories=tuple(chart.categories[i] for i in kept))


def solve_classes(completions: Sequence[Completion]) -> dict[str, str]:
    """Problem -> one of `SOLVED`, over every completion given.

    Example:
        >>> solve_classes([Completion("", p, score=s) for p, s in (("a", 1.0), ("a", 0.0), ("b", 0.0))])
        {'a': 'half or more', 'b': 'never'}
    """
    classes = {}
    for problem, group in by_problem(completions).items():
        rate = accuracy(group)
        if rate is not None:
            classes[problem] = SOLVED[0 if rate == 0 else 3 if rate == 1 else 2 if rate >= 0.5 else 1]
    return classes


def wilson(values: Sequence[float]) -> Estimate:
    """Mean of shares with Wilson's 95 % interval.

    Example:
        >>> round(wilson([1.0] * 8 + [0.0] * 2).low, 4)
        0.4902
    """
    n, p, z = len(values), sum(values) / len(values), 1.959964
    center = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return Estimate(p, max(0.0, center - half), min(1.0, center + half))


def _line(name: str, bins: Sequence[Sequence[float]], estimate: Callable[[Sequence[float]], Estimate]) -> Line:
    points = [estimate(values) if len(values) >= FEWEST else None for values in bins]
    return Line(
        name,
        list(range(len(bins))),
        [None if point is None else point.mean for point in points],
        [None if point is None else point.low for point in points],
        [None if point is None else point.high for point in points],
    )


def _lengths(found: Sequence[Source]) -> tuple[list[list[int]], str]:
    """Lengths of every completion: in tokens where all of them were recorded, else in words."""
    if all(c.tokens is not None for _, completions in found for c in completions):
        return [[c.tokens or 0 for c in completions] for _, completions in found], "tokens"
    return [[len(words(c.text)) for c in completions] for _, completions in found], "words"


def _bin_names(edges: Sequence[int], least: int, most: int) -> tuple[str, ...]:
    """`20-39`, `40-80`: the whole numbers that each bin holds."""
    starts = [least, *edges]
    ends = [edge - 1 for edge in edges] + [most]
    return tuple(f"{start}–{end}" if start < end else str(end) for start, end in zip(starts, ends, strict=True))
