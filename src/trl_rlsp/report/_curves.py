"""Charts over the steps of RL, of length against correctness, of effort against difficulty, and of pass@k."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

from trl_rlsp import evaluation
from trl_rlsp.behaviours import KINDS
from trl_rlsp.evaluation import Chart, Comparison, Estimate, Line, by_problem, estimates_line, known_mean
from trl_rlsp.runs import Completion, Evaluated, Run, StepMetrics, accuracy_key, reward_parts, values_of
from trl_rlsp.text import words

STEP, LOGGED = "training step", "From the logged completions."
CURVES = (
    Chart("accuracy", "Accuracy", STEP, (), percent=True),
    Chart("reward", "Reward", STEP, ()),
    Chart("reward_parts", "Reward parts", STEP, (), "Mean of each as logged, before TRL's reward_weights."),
    Chart("length", "Completion length, tokens", STEP, ()),
    Chart("cut_off", "Share cut off at the token limit", STEP, (), percent=True),
    Chart("finished", "Share with a final answer", STEP, (), LOGGED, percent=True),
    Chart("entropy", "Entropy of the next token, nats", STEP, ()),
    Chart("kl", "KL divergence from the reference, nats", STEP, ()),
    Chart("zero_variance", "Groups in which all rewards are equal", STEP, (), percent=True),
    Chart("importance", "Importance ratio of vLLM's samples", STEP, (), "Mean; 1 if both policies agree."),
    Chart("repetition", "Share of text that repeats earlier text", STEP, (), LOGGED, percent=True),
    Chart("behaviours", "Search behaviors per 1,000 words", STEP, (), f"Matched by patterns. {LOGGED}"),
)
METRICS = {  # chart -> metric that TRL logs
    **{"reward": "reward", "length": "completions/mean_length", "cut_off": "completions/clipped_ratio"},
    **{"entropy": "entropy", "kl": "kl", "zero_variance": "frac_reward_zero_std"},
    "importance": "sampling/importance_sampling_ratio/mean",
}
SOLVED = ("never", "under half", "half or more", "always")
FEWEST = 5
NOTE = f"Means over problems, with bootstrap 95 % intervals; bins with fewer than {FEWEST} problems are left out."
COVER_NOTE = "The share of problems of which at least a share tau of the completions is right."
LENGTH_BINS = 6


def training_curves(runs: Sequence[Run], metrics: Sequence[Sequence[StepMetrics]]) -> list[Chart]:
    """The curves of R runs, from their history and the metrics of their steps; charts without data are left out."""
    lines: dict[str, list[Line]] = {}
    for run, steps in zip(runs, metrics, strict=True):
        logged = [("reward_parts", part, f"rewards/{part}/mean") for part in reward_parts(run.history)]
        logged += [(key, "", metric) for key, metric in METRICS.items()]
        for label, held_out in (("training problems", False), ("held-out problems", True)):
            logged += [("accuracy", label, accuracy_key(run.history, held_out=held_out) or "")]
        series: list[tuple[str, str, list[int], list[Any]]]
        series = [(key, label, *values_of(run.history, metric)) for key, label, metric in logged]
        x = [step.step for step in steps]
        series += [(name, "", x, [getattr(step, name) for step in steps]) for name in ("finished", "repetition")]
        for kind in KINDS:
            counts = [step.behaviours[kind] for step in steps]
            series += [("behaviours", kind.replace("_", " "), x, counts)] if any(counts) else []
        for key, label, x, y in series:
            if any(value is not None for value in y):
                name = f"{run.name}: {label}" if label and len(runs) > 1 else label or run.name
                lines.setdefault(key, []).append(Line(name, x, y))
    return [replace(chart, lines=lines[chart.key]) for chart in CURVES if chart.key in lines]


def effort_charts(runs: Sequence[Run]) -> list[Chart]:
    """Length against correctness, and length against difficulty, for each evaluation and for training.

    Difficulty is the level in the data set, or else the solve rate over all completions.
    """
    sources = _sources(runs)
    completions = [c for _, group in sources for c in group]
    in_tokens = all(c.tokens is not None for c in completions)
    unit = "tokens" if in_tokens else "words"

    def length(c: Completion) -> int:
        return c.tokens or 0 if in_tokens else len(words(c.text))

    ordered = sorted(map(length, completions)) or [0]
    starts = sorted({ordered[len(ordered) * i // LENGTH_BINS] for i in range(LENGTH_BINS)})  # equal counts per bin
    ends = [start - 1 for start in starts[1:]] + [ordered[-1]]
    lengths = tuple(f"{start}–{end}" if start < end else str(end) for start, end in zip(starts, ends, strict=True))
    levels = {c.problem: c.level for c in completions if c.level is not None}
    places = levels or solve_classes(completions)
    names = sorted(set(levels.values())) if levels else SOLVED
    label = "level of the problem" if levels else "how often the problem is solved, over all models shown"
    by_length = Chart("length_correctness", "Accuracy by length", f"completion length, {unit}", (), NOTE, True, lengths)
    by_verdict = Chart("length_verdict", f"Length by verdict, {unit}", "verdict", (), NOTE, False, ("wrong", "right"))
    by_class = Chart("effort_difficulty", f"Length by difficulty, {unit}", label, (), NOTE, categories=tuple(names))
    charts = [
        _binned(by_length, sources, lambda c: bisect(starts, length(c)) - 1, lambda c: c.score),
        _binned(by_verdict, sources, lambda c: None if c.score is None else int(c.score >= 0.5), length),
        _binned(by_class, sources, lambda c: names.index(places[c.problem]) if c.problem in places else None, length),
    ]
    return [chart for chart in charts if chart.lines]


def _sources(runs: Sequence[Run]) -> list[tuple[str, Sequence[Completion]]]:
    """Named sets of completions: evaluations or, for a run without evaluations, both halves of the logged ones."""
    sources: list[tuple[str, Sequence[Completion]]] = []
    for run in runs:
        prefix = f"{run.name}: " if len(runs) > 1 else ""
        sources += [(prefix + evaluated.name, evaluated.completions) for evaluated in run.evaluations]
        if not run.evaluations and run.completions:
            half = run.completions[len(run.completions) // 2].step or 0
            early = [c for c in run.completions if (c.step or 0) < half]
            late = [c for c in run.completions if (c.step or 0) >= half]
            sources += [(f"{prefix}first half", early), (f"{prefix}second half", late)] if early else [(prefix, late)]
    return sources


def _binned(
    chart: Chart,
    sources: Sequence[tuple[str, Sequence[Completion]]],
    place: Callable[[Completion], int | None],
    value: Callable[[Completion], float | None],
) -> Chart:
    """A chart with a line for each set of completions, without categories that have too few problems in every set."""
    lines: dict[str, list[Estimate | None]] = {}
    for name, group in sources:
        bins: list[dict[str, list[float]]] = [{} for _ in chart.categories]
        for c in group:
            at, measured = place(c), value(c)
            if at is not None and measured is not None:
                bins[at].setdefault(c.problem, []).append(measured)
        lines[name] = [evaluation.bootstrap_mean([*map(fmean, b.values())]) if len(b) >= FEWEST else None for b in bins]
    filled = [i for i in range(len(chart.categories)) if any(points[i] for points in lines.values())]
    x = list(range(len(filled)))
    drawn = [estimates_line(name, x, [points[i] for i in filled]) for name, points in lines.items() if filled]
    return replace(chart, lines=drawn, categories=tuple(chart.categories[i] for i in filled))


def solve_classes(completions: Sequence[Completion]) -> dict[str, str]:
    """Problem -> one of `SOLVED`, over all given completions."""
    rates = {problem: known_mean(c.score for c in group) for problem, group in by_problem(completions).items()}
    known = {problem: rate for problem, rate in rates.items() if rate is not None}
    return {p: SOLVED[0 if rate == 0 else 3 if rate == 1 else 2 if rate >= 0.5 else 1] for p, rate in known.items()}


def solved(runs: Sequence[Run]) -> tuple[list[Chart], list[Comparison]]:
    """Two charts for each set of problems, and the comparisons of each run's evaluations on it, as in `rlsp compare`.

    Evaluations with one completion per problem are left out.
    """
    sets: dict[str, dict[str, list[tuple[str, Evaluated]]]] = {}  # set of problems -> run -> evaluations by name
    for run in runs:
        for e in run.evaluations:
            name = f"{run.name}: {e.name}" if len(runs) > 1 else e.name
            if len(e.completions) > len({c.problem for c in e.completions}):
                sets.setdefault(e.problems_hash or name, {}).setdefault(run.name, []).append((name, e))
    charts, comparisons = [], []
    for number, of_runs in enumerate(sets.values(), start=1):
        groups = [{name: by_problem(e.completions) for name, e in found} for found in of_runs.values()]
        own = [pair for models in groups if len(models) > 1 for pair in evaluation.compare_groups(models)]
        comparisons += own
        charts += _charts([one for models in groups for one in models.items()], own, f"_{number}" if number > 1 else "")
    return charts, comparisons


def _charts(
    models: Sequence[tuple[str, dict[str, list[Completion]]]], pairs: Sequence[Comparison], suffix: str
) -> list[Chart]:
    marks = sorted({pair.crossing.k for pair in pairs if pair.crossing})
    note = " ".join(filter(None, map(evaluation.crossing_text, pairs)))
    passes, covers = [], []
    for name, groups in models:
        n = max(map(len, groups.values()))
        ks, taus = evaluation.default_ks(n), evaluation.default_taus(n)
        at_k = [evaluation.estimate(evaluation.group_pass(g, k) for g in groups.values()) for k in ks]
        at_tau = [evaluation.estimate(evaluation.group_cover(g, tau) for g in groups.values()) for tau in taus]
        passes.append(estimates_line(name, ks, at_k))
        covers.append(estimates_line(name, taus, at_tau))
    of_k = Chart(
        f"pass_at_k{suffix}", "pass@k", "k", passes, note, percent=True, doubling=True, bands=True, marks=marks
    )
    return [of_k, Chart(f"cover_at_tau{suffix}", "Cover@tau", "tau", covers, COVER_NOTE, percent=True, bands=True)]
