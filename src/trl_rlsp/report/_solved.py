"""What more samples solve: pass@k and Cover@tau of evaluations, and the problems that only one of two models solves."""

from __future__ import annotations

from collections.abc import Sequence

from trl_rlsp.evaluation import (
    Chart,
    Comparison,
    Line,
    bootstrap_mean,
    by_problem,
    compare_groups,
    crossing_text,
    default_ks,
    default_taus,
    group_cover,
    group_pass,
)
from trl_rlsp.runs import Completion, Evaluated, Run

COVER_NOTE = "The share of problems of which at least a share tau of the completions is right."


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
        own = [pair for models in groups if len(models) > 1 for pair in compare_groups(models)]
        comparisons += own
        charts += _charts([one for models in groups for one in models.items()], own, f"_{number}" if number > 1 else "")
    return charts, comparisons


def _charts(
    models: Sequence[tuple[str, dict[str, list[Completion]]]], pairs: Sequence[Comparison], suffix: str
) -> list[Chart]:
    marks = sorted({pair.crossing.k for pair in pairs if pair.crossing})
    note = " ".join(filter(None, map(crossing_text, pairs)))
    passes, covers = [], []
    for name, groups in models:
        n = max(map(len, groups.values()))
        passes.append(_line(name, {k: [group_pass(g, k) for g in groups.values()] for k in default_ks(n)}))
        covers.append(_line(name, {tau: [group_cover(g, tau) for g in groups.values()] for tau in default_taus(n)}))
    of_k = Chart(
        f"pass_at_k{suffix}", "pass@k", "k", passes, note, percent=True, doubling=True, bands=True, marks=marks
    )
    return [of_k, Chart(f"cover_at_tau{suffix}", "Cover@tau", "tau", covers, COVER_NOTE, percent=True, bands=True)]


def _line(name: str, values: dict[float, list[float | None]] | dict[int, list[float | None]]) -> Line:
    """A line of means over the problems whose value is known."""
    known = {x: [v for v in column if v is not None] for x, column in values.items()}
    means = [bootstrap_mean(column) if column else None for column in known.values()]
    ends = ([getattr(mean, end, None) for mean in means] for end in ("mean", "low", "high"))
    return Line(name, list(known), *ends)
