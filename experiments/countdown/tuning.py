"""The learning rate of each arm, chosen in the same way for all: the best mean validation pass@1 of those tried."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from countdown.runner import RESULT, Run, mean

if TYPE_CHECKING:
    from countdown.grid import Grid


def choose(tried: Sequence[dict[str, Any]], wanted: int) -> float | None:
    """The rate with the best mean of validation pass@1 over seeds, the lower one of two that are equal.

    Args:
        tried: `rate` and `pass_at_1` (`None` where the run failed) of each run so far.
        wanted: number of runs of this arm.

    Returns:
        `None` while runs are missing, or if every rate has one that failed.

    >>> choose([{"rate": 1e-4, "pass_at_1": 0.3}, {"rate": 3e-4, "pass_at_1": 0.4}], wanted=2)
    0.0003
    """
    means = mean_by_rate(tried)
    known = {rate: mean for rate, mean in means.items() if mean is not None}
    if len(tried) < wanted or not known:
        return None
    return float(max(known, key=lambda rate: (known[rate], -rate)))


def mean_by_rate(tried: Iterable[dict[str, Any]]) -> dict[float, float | None]:
    """Mean of validation pass@1 over the seeds of each rate; `None` where a run failed."""
    values: dict[float, list[float | None]] = {}
    for entry in tried:
        values.setdefault(entry["rate"], []).append(entry["pass_at_1"])
    return {rate: None if None in own else mean(own) for rate, own in values.items()}


def write_rates(grid: Grid, runs: Sequence[Run]) -> None:
    """Write the rates file: for each arm what was tried, with which result, and what is chosen."""
    rates: dict[str, Any] = {}
    for name in {run.arm: None for run in runs}:
        tried = [entry for run in runs if run.arm == name and (entry := _outcome(run)) is not None]
        if tried:
            wanted = sum(run.arm == name for run in runs)
            rates[name] = {"chosen": choose(tried, wanted), "tried": tried}
    if rates:
        grid.rates_file.write_text(json.dumps(rates, indent=1) + "\n", encoding="utf-8")


def _outcome(run: Run) -> dict[str, Any] | None:
    """What one tuning run gave, `None` while it is not done."""
    from countdown.schedule import complete, failure

    names = ("pass_at_1", "mean_tokens", "finished", "steps", "sampled_tokens")
    if complete(run):
        result = json.loads((run.folder / RESULT).read_text(encoding="utf-8"))
        return {"rate": run.rate, "seed": run.seed, **{name: result[name] for name in names}}
    reason = failure(run)
    return None if reason is None else {"rate": run.rate, "seed": run.seed, "pass_at_1": None, "reason": reason}
