"""pass@k up to 256: what a trained model solves that the starting model does not solve at any k (2504.13837).

On the first `PROBLEMS` test problems, for one seed of each arm or more. A run keeps its model in its folder; the counts
are written beside it and enter the results file.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from countdown.intervals import interval, matrix
from countdown.runner import MODEL, Run, load_run

if TYPE_CHECKING:
    from countdown.grid import Grid

logger = logging.getLogger(__name__)

MANY, N, PROBLEMS = "many.json", 256, 100
KS = (1, 2, 4, 8, 16, 32, 64, 128, 256)

Counts = dict[str, list[dict[str, Any]]]
"""Arm -> for each of its counted seeds: `seed`, and `right` and `known`, P numbers of samples."""


def count(grid: Grid, run: Run) -> None:
    """Sample `N` completions of each problem from a run's model and write how many are right; done ones stay.

    Args:
        grid: the experiment.
        run: a complete run.
    """
    from countdown.problems import load
    from trl_rlsp.evaluation import evaluate
    from trl_rlsp.generation import Sampling

    target = run.folder / MANY
    if target.is_file() and json.loads(target.read_text(encoding="utf-8"))["fingerprint"] == run.fingerprint:
        return
    folder = run.folder / MODEL if grid.arms[run.arm].train else run.start
    model, tokenizer = load_run(grid, folder)
    rows = load(grid).test
    rows = rows.select(range(min(PROBLEMS, len(rows))))
    samples = evaluate(model, tokenizer, rows, Sampling(seed=run.seed, **{**grid.sampling, "n": N}))[1]
    right, known = [0] * len(rows), [0] * len(rows)
    for sample in samples:
        right[sample.problem] += sample.score == 1.0
        known[sample.problem] += sample.score is not None
    found = {"fingerprint": run.fingerprint, "right": right, "known": known}
    target.write_text(json.dumps(found) + "\n", encoding="utf-8")
    logger.info(
        "%s seed %d: %d of %d problems solved at least once", run.arm, run.seed, sum(map(bool, right)), len(rows)
    )


def read_counts(runs: Iterable[Run]) -> Counts:
    """What `count` wrote for each run that has it."""
    found: Counts = {}
    for run in runs:
        path = run.folder / MANY
        if path.is_file():
            own = json.loads(path.read_text(encoding="utf-8"))
            if own.pop("fingerprint") == run.fingerprint:
                found.setdefault(run.arm, []).append({"seed": run.seed, **own})
    return found


def curves(counts: Counts) -> dict[str, Any]:
    """pass@k of each arm with intervals over seeds and problems.

    Returns:
        Arm -> `seeds`, `problems`, and `pass_at`: k -> interval, where at least one problem has k known samples.
    """
    found = {}
    for arm, runs in counts.items():
        most = max(known for own in runs for known in own["known"])
        pass_at = {str(k): interval(matrix([passed(own, k) for own in runs])) for k in KS if most >= k}
        seeds = [own["seed"] for own in runs]
        found[arm] = {"seeds": seeds, "problems": len(runs[0]["right"]), "pass_at": pass_at}
    return found


def passed(own: Mapping[str, Any], k: int) -> list[float | None]:
    """pass@k of each problem; `None` with fewer than k known samples."""
    from trl_rlsp.evaluation import pass_at_k

    pairs = zip(own["known"], own["right"], strict=True)
    return [pass_at_k(known, right, k) if known >= k else None for known, right in pairs]


def _groups(own: Mapping[str, Any]) -> list[list[Any]]:
    """The scores that the counts of an arm stand for: P lists of records with a `score`."""
    return [
        [SimpleNamespace(score=score) for score in [1.0] * right + [0.0] * (known - right)]
        for right, known in zip(own["right"], own["known"], strict=True)
    ]


def newly_solved(counts: Counts, start: str) -> dict[str, Any]:
    """What the arms do on the problems that the starting model did not solve once in `N` samples.

    Args:
        counts: as `curves`; the first seed of each arm is used.
        start: name of the arm that is the starting model.

    Returns:
        `problems`, their number; `of`, all; `upper_bound`, the solve rate that 0 of N still allows with 95 %
        confidence, 1 - 0.05^(1/N); `arms`: arm -> intervals of `pass_at_1` and `pass_at_8` on them, and the share
        `solved_once` in N samples. Empty without counts of the starting model.
    """
    if start not in counts:
        return {}
    from trl_rlsp.evaluation import unsolved

    groups = {arm: dict(enumerate(_groups(own))) for arm, (own, *_) in counts.items()}
    found = {arm: unsolved(groups[start], group) for arm, group in groups.items()}
    never = found.pop(start)
    arms = {}
    for arm, one in found.items() if never.problems else ():
        own = {f"pass_at_{k}": [round(end, 5) for end in (e.mean, e.low, e.high)] for k, e in one.pass_at.items()}
        arms[arm] = {**own, "solved_once": one.solved / one.problems}
    bound = float(f"{never.upper_bound:.3g}")
    return {"problems": never.problems, "of": len(groups[start]), "upper_bound": bound, "arms": arms}
