"""pass@k up to 256: what a trained model solves that the starting model does not solve at any k (2504.13837).

One seed of each arm, on the first `PROBLEMS` test problems. A run keeps its model in its folder; the counts are written
beside it and enter the results file.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from countdown.intervals import interval, matrix
from countdown.runner import MODEL, Run

if TYPE_CHECKING:
    from countdown.grid import Grid

logger = logging.getLogger(__name__)

MANY, N, PROBLEMS = "many.json", 256, 100
KS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


def count(grid: Grid, run: Run) -> None:
    """Sample `N` completions of each problem from a run's model and write how many are right; done ones stay.

    Args:
        grid: the experiment.
        run: a complete run.
    """
    from countdown.problems import load
    from trl_rlsp.evaluation import evaluate
    from trl_rlsp.generation import Sampling, load_model

    target = run.folder / MANY
    if target.is_file() and json.loads(target.read_text(encoding="utf-8"))["fingerprint"] == run.fingerprint:
        return
    folder = run.folder / MODEL if grid.arms[run.arm].train else run.start
    model, tokenizer = load_model(str(folder), dtype="float32")
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


def read_counts(runs: Iterable[Run]) -> dict[str, dict[str, Any]]:
    """Arm -> what `count` wrote for its first seed that has it, with that seed."""
    found: dict[str, dict[str, Any]] = {}
    for run in runs:
        path = run.folder / MANY
        if run.arm not in found and path.is_file():
            own = json.loads(path.read_text(encoding="utf-8"))
            if own.pop("fingerprint") == run.fingerprint:
                found[run.arm] = {"seed": run.seed, **own}
    return found


def curves(counts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """pass@k of each arm with intervals over problems.

    Args:
        counts: arm -> `seed`, and `right` and `known`, P numbers of samples.

    Returns:
        Arm -> `seed`, `problems`, and `pass_at`: k -> interval, where at least one problem has k known samples.
    """
    found = {}
    for arm, own in counts.items():
        columns = {k: passed(own, k) for k in KS if max(own["known"]) >= k}
        pass_at = {str(k): interval(matrix([values])) for k, values in columns.items()}
        found[arm] = {"seed": own["seed"], "problems": len(own["right"]), "pass_at": pass_at}
    return found


def passed(own: Mapping[str, Any], k: int) -> list[float | None]:
    """pass@k of each problem; `None` with fewer than k known samples."""
    from trl_rlsp.evaluation import pass_at_k

    pairs = zip(own["known"], own["right"], strict=True)
    return [pass_at_k(known, right, k) if known >= k else None for known, right in pairs]


def newly_solved(counts: Mapping[str, Mapping[str, Any]], start: str) -> dict[str, Any]:
    """What the arms do on the problems that the starting model did not solve once in `N` samples.

    Args:
        counts: as `curves`.
        start: name of the arm that is the starting model.

    Returns:
        `problems`, their number; `of`, all; `upper_bound`, the solve rate that 0 of N still allows with 95 %
        confidence, 1 - 0.05^(1/N); `arms`: arm -> intervals of `pass_at_1` and `pass_at_8` on them, and the share
        `solved_once` in N samples. Empty without counts of the starting model.
    """
    if start not in counts:
        return {}
    own = counts[start]
    never = [place for place, right in enumerate(own["right"]) if right == 0 and own["known"][place] == N]
    found: dict[str, Any] = {
        "problems": len(never),
        "of": len(own["right"]),
        "upper_bound": float(f"{1 - 0.05 ** (1 / N):.3g}"),
        "arms": {},
    }
    for arm, other in counts.items():
        if arm != start and never:
            part = {name: [other[name][place] for place in never] for name in ("right", "known")}
            found["arms"][arm] = {
                "pass_at_1": interval(matrix([passed(part, 1)])),
                "pass_at_8": interval(matrix([passed(part, 8)])),
                "solved_once": float(np.mean([right > 0 for right in part["right"]])),
            }
    return found
