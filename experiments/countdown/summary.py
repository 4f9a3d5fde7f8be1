"""`results.json`: every run, the summary of each arm with intervals, the comparisons, and whether the bar is met."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from countdown.grid import band_of
from countdown.intervals import difference, interval, matrix, rank_correlation
from countdown.many import curves, newly_solved, read_counts
from countdown.runner import PROBLEMS, RESULT, Run

if TYPE_CHECKING:
    from countdown.grid import Grid

SFT, BASELINE = "sft", "verifier_only"
METRICS = ("pass_at_1", "pass_at_8", "maj_at_8", "mean_tokens", "search_steps", "finished")
MARGIN = 0.05
PACKAGES = ("torch", "transformers", "trl", "reasoning-gym")

Tables = dict[str, list[dict[str, list]]]
"""Arm -> the problem table of each finished seed."""


def results(grid: Grid, finished: Sequence[Run], failed: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What the results file holds.

    Args:
        grid: the experiment.
        finished: the complete runs.
        failed: arm, seed and reason of each run that failed.
    """
    runs = [_read(run.folder / RESULT) for run in finished]
    tables: Tables = {}
    for run in finished:
        tables.setdefault(run.arm, []).append(_read(run.folder / PROBLEMS))
    summary = {arm: arm_summary(own, grid.bands) for arm, own in tables.items()}
    compared, counts = comparisons(tables, summary), read_counts(finished)
    return {
        "experiment": grid.name,
        "planned": {"arms": list(grid.arms), "seeds": list(grid.seeds)},
        "runs": [{name: value for name, value in run.items() if name != "fingerprint"} for run in runs],
        "failed": list(failed),
        "summary": summary,
        "start_pass_at_1": summary[SFT]["pass_at_1"] if SFT in summary else None,
        "pass_at_k": curves(counts),
        "newly_solved": newly_solved(counts, SFT),
        **compared,
        "bar": bar(summary, compared),
        "difficulty": _difficulty_curve(tables),
        "settings": settings(grid),
        "made_on": machine(),
    }


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def column(tables: Sequence[dict[str, list]], metric: str) -> np.ndarray:
    """values_SP of one metric of an arm; `maj_at_K` is read from the majority curve."""
    if metric.startswith("maj_at_"):
        k = int(metric.removeprefix("maj_at_"))
        return matrix([[votes[k - 1] for votes in table["majority"]] for table in tables])
    return matrix([table[metric] for table in tables])


def arm_summary(tables: Sequence[dict[str, list]], bands: Any) -> dict[str, Any]:
    """Intervals of every metric, over all problems and by difficulty, and the rank correlation of effort."""
    difficulty = tables[0]["difficulty"]
    own = np.array([band_of(value, bands) for value in difficulty])
    found: dict[str, Any] = {"seeds": len(tables), "problems": len(difficulty)}
    found.update({metric: interval(column(tables, metric)) for metric in METRICS})
    found["by_difficulty"] = {
        band: {metric: interval(column(tables, metric)[:, own == band]) for metric in METRICS}
        for band in bands
        if (own == band).any()
    }
    found["effort_rank_correlation"] = rank_correlation(difficulty, column(tables, "search_steps"))
    return found


def comparisons(tables: Tables, summary: dict[str, Any]) -> dict[str, Any]:
    """Each arm against RL on the outcome alone, and against votes of the SFT model at an equal token budget."""
    found: dict[str, Any] = {"minus_verifier_only": {}, "sft_majority": {}, "minus_sft_majority": {}}
    if BASELINE in tables:
        theirs = column(tables[BASELINE], "pass_at_1")
        others = [arm for arm in tables if arm != BASELINE]
        found["minus_verifier_only"] = {a: difference(column(tables[a], "pass_at_1"), theirs) for a in others}
    if SFT not in tables:
        return found
    votes = len(tables[SFT][0]["majority"][0])
    found["sft_majority"] = {str(k): interval(column(tables[SFT], f"maj_at_{k}")) for k in range(1, votes + 1)}
    for arm in tables:
        if arm != SFT:
            k = equal_votes(summary[arm]["mean_tokens"][0], summary[SFT]["mean_tokens"][0], votes)
            ours, theirs = column(tables[arm], "pass_at_1"), column(tables[SFT], f"maj_at_{k}")
            found["minus_sft_majority"][arm] = {"k": k, "difference": difference(ours, theirs)}
    return found


def equal_votes(tokens: float, sft_tokens: float, most: int) -> int:
    """Votes of the SFT model that cost at least as many tokens as one completion of an arm, at most `most`.

    >>> equal_votes(100.0, 60.0, 8)
    2
    """
    return min(most, max(1, int(np.ceil(tokens / sft_tokens - 1e-9))))


def bar(summary: dict[str, Any], compared: dict[str, Any]) -> dict[str, Any] | None:
    """Whether the best exploration arm meets each part of the bar; `None` while an arm it needs is missing.

    Only arms with as many seeds as the outcome alone has are compared: with fewer, chance would choose the best.

    Returns:
        `best` (by pass@1, on the test problems), and for each part its numbers and `met`.
    """
    if SFT not in summary or BASELINE not in summary:
        return None
    enough = summary[BASELINE]["seeds"]
    arms = [arm for arm, own in summary.items() if arm not in (SFT, BASELINE) and own["seeds"] >= enough]
    if not arms:
        return None
    best = max(arms, key=lambda arm: summary[arm]["pass_at_1"][0])
    ours, theirs = summary[best]["pass_at_1"], summary[BASELINE]["pass_at_1"]
    gain, votes = compared["minus_verifier_only"][best], compared["minus_sft_majority"][best]
    effort = summary[best]["effort_rank_correlation"]
    parts = {
        "beats_verifier_only": {
            "difference": gain,
            "intervals_apart": ours[1] > theirs[2],
            "met": gain[0] >= MARGIN and gain[1] > 0 and ours[1] > theirs[2],
        },
        "beats_sft_majority": {**votes, "met": votes["difference"][1] > 0},
        "effort_rises_with_difficulty": {"rank_correlation": effort, "met": effort is not None and effort[1] > 0},
    }
    return {"best": best, **parts, "met": all(part["met"] for part in parts.values())}


def _difficulty_curve(tables: Tables, bins: int = 8) -> dict[str, Any]:
    """Mean effort and accuracy of each arm in equally filled bins of difficulty, for the plot."""
    if not tables:
        return {}
    difficulty = np.array(next(iter(tables.values()))[0]["difficulty"])
    parts = [part for part in np.array_split(np.argsort(difficulty, kind="stable"), bins) if len(part)]
    curves: dict[str, Any] = {"mean_difficulty": [round(float(difficulty[part].mean()), 3) for part in parts]}
    for arm, own in tables.items():
        curves[arm] = {
            metric: [round(float(np.nanmean(column(own, metric)[:, part])), 4) for part in parts]
            for metric in ("search_steps", "pass_at_1")
        }
    return curves


def settings(grid: Grid) -> dict[str, Any]:
    """What was run: everything of the configuration that a reader needs, and each arm's learning rate."""
    rates = {name: grid.rate(arm) for name, arm in grid.arms.items() if arm.train}
    return {
        "command": f"python experiments/countdown/run.py --config {relative(grid.path)}",
        "budget": grid.budget,
        "problems": dict(grid.problems),
        "bands": dict(grid.bands),
        "training": dict(grid.training),
        "sampling": dict(grid.sampling),
        "arms": {
            name: {"trainer": a.trainer, "training": a.training, "rewards": a.rewards} for name, a in grid.arms.items()
        },
        "learning_rates": {name: {"rate": rate, "tuned": tuned} for name, (rate, tuned) in rates.items()},
    }


def relative(path: Path) -> str:
    """The path from the repository's root; the bare name for a file outside it."""
    from countdown.grid import ROOT

    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name


def machine() -> dict[str, Any]:
    """Processor, cores and versions; no names or paths of this machine."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass  # not Linux, or a processor that gives no name
    versions = {package: version(package) for package in PACKAGES}
    return {"processor": model, "cores": os.cpu_count(), "python": platform.python_version(), **versions}
