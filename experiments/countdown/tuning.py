"""The learning rate of each arm, chosen in the same way for all: the best validation pass@1 of those tried."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from countdown.runner import RESULT, Run

if TYPE_CHECKING:
    from countdown.grid import Grid


def choose(tried: Sequence[dict[str, Any]], wanted: int) -> float | None:
    """The rate with the best validation pass@1, the lower one of two that are equal.

    Args:
        tried: `rate` and `pass_at_1` (`None` where the run failed) of each run so far.
        wanted: number of rates to be tried.

    Returns:
        `None` while rates are missing, or if all failed.

    >>> choose([{"rate": 1e-4, "pass_at_1": 0.3}, {"rate": 3e-4, "pass_at_1": 0.4}], wanted=2)
    0.0003
    """
    known = [entry for entry in tried if entry["pass_at_1"] is not None]
    if len(tried) < wanted or not known:
        return None
    return float(max(known, key=lambda entry: (entry["pass_at_1"], -entry["rate"]))["rate"])


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
