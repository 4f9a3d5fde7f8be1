"""A run as it lies on disk: its evaluations, the history of its RL stage, and the completions that it logged.

Only files that training wrote are read, and nothing is fetched. A file that is not there is named in `Run.missing`;
a file that is there and cannot be read is an error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trl_rlsp.errors import DataError, SourceError
from trl_rlsp.evaluation.bootstrap import Estimate
from trl_rlsp.files import read_json
from trl_rlsp.runs.completion import Completion
from trl_rlsp.runs.reading import LOGGED, read_files, rl_stage, samples_file

ORDER = ("start", "base", "SFT", "RLSP")
HISTORY_FILE = "trainer_state.json"


@dataclass(frozen=True)
class Evaluated:
    """One model on one data set.

    Attributes:
        name: the model's name in the run: `start`, `SFT`, `RLSP`.
        metrics: name -> estimate with its 95 % interval, as `metrics.json` gives them.
        settings: data set and sampling.
        completions: every sample.
        problems_hash: hash of the problems.
    """

    name: str
    metrics: Mapping[str, Estimate]
    settings: Mapping[str, Any]
    completions: Sequence[Completion]
    problems_hash: str = ""


@dataclass(frozen=True)
class Run:
    """A folder of `rlsp run`, or the output folder of any TRL `GRPOTrainer`.

    Attributes:
        name: its name in the report.
        folder: where it was read.
        evaluations: in order of training.
        history: entries of `log_history` of the RL stage, in order.
        completions: completions that the RL stage logged, in order of their step.
        missing: what was looked for and is not there, in words.
    """

    name: str
    folder: Path
    evaluations: Sequence[Evaluated] = ()
    history: Sequence[Mapping[str, Any]] = ()
    completions: Sequence[Completion] = ()
    missing: Sequence[str] = ()


def read_run(folder: Path, name: str | None = None) -> Run:
    """Read a run; of a run in rounds, its newest RL stage and every evaluation.

    Args:
        folder: what `rlsp run` wrote, or the `output_dir` of a `GRPOTrainer(log_completions=True)`.
        name: its name in the report; default the folder's.

    Raises:
        SourceError: no such folder, or nothing of a run in it.
        DataError: a file that cannot be read.
    """
    if not folder.is_dir():
        raise SourceError(f"there is no run folder {str(folder)!r}")
    evaluations = read_evaluations(folder)
    stage = rl_stage(folder)
    history = read_history(stage) if stage else []
    completions = read_files(sorted(stage.glob(LOGGED))) if stage else []
    if not (evaluations or history or completions):
        raise SourceError(
            f"{str(folder)!r} holds no run: neither evaluations (metrics.json, samples.jsonl), nor a "
            f"{HISTORY_FILE}, nor {LOGGED}"
        )
    wanted = {
        "evaluations, so there is no before/after table (make them with `rlsp eval`)": evaluations,
        f"{HISTORY_FILE} of RL, so there are no curves from its log": history,
        "logged completions (train with log_completions: true)": completions,
    }
    missing = [text for text, found in wanted.items() if not found]
    return Run(name or folder.resolve().name, folder, evaluations, history, completions, missing)


def read_history(stage: Path) -> list[dict[str, Any]]:
    """The entries of `log_history` of a stage, while it trains those of its newest checkpoint; empty if it left none.

    Raises:
        DataError: a file that is no trainer state.
    """
    checkpoints = [path for path in stage.glob(f"checkpoint-*/{HISTORY_FILE}") if path.parent.name[11:].isdigit()]
    newest = max(checkpoints, key=lambda path: int(path.parent.name[11:]), default=None)
    path = stage / HISTORY_FILE if (stage / HISTORY_FILE).is_file() else newest
    if path is None:
        return []
    history = read_json(path).get("log_history")
    if not isinstance(history, list):
        raise DataError(f"{path} is no trainer state: it has no list `log_history`")
    return [entry for entry in history if isinstance(entry, dict) and isinstance(entry.get("step"), int)]


def read_evaluations(folder: Path) -> list[Evaluated]:
    """Evaluations in `folder`, in order of training; `folder` may be one itself, or hold rounds."""
    found = [path.parent for depth in ("", "*/", "round-*/*/") for path in folder.glob(f"{depth}metrics.json")]
    evaluations = [read_evaluation(path, folder) for path in found if samples_file(path)]
    return sorted(evaluations, key=lambda evaluated: _order(evaluated.name))


def read_evaluation(folder: Path, run: Path | None = None) -> Evaluated:
    """One evaluation, as `rlsp eval` writes it.

    Args:
        folder: of the evaluation.
        run: the run that it belongs to; a round's number becomes part of the evaluation's name.

    Raises:
        DataError: metrics or samples that cannot be read.
    """
    written = read_json(folder / "metrics.json")
    samples = samples_file(folder)
    try:
        metrics = {name: Estimate(**v) for name, v in _flat(written).items() if _is_estimate(v)}
        completions = read_files([samples] if samples else [])
        if not all(completion.problem for completion in completions):
            raise ValueError("a sample does not say which problem it is of")
    except (TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{folder} is no evaluation that can be read: run `rlsp eval` again ({error})") from error
    settings = written.get("settings")
    name = folder.name.removeprefix("eval_")
    in_round = run is not None and folder.parent != run and folder.parent.name.startswith("round-")
    return Evaluated(
        name=f"{name} {folder.parent.name}" if in_round else name,
        metrics=metrics,
        settings=settings if isinstance(settings, dict) else {},
        completions=completions,
        problems_hash=str(written.get("problems_hash") or ""),
    )


def _flat(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The metrics, with `pass_at: {4: ...}` as `pass@4`."""
    counted = {
        f"{name.removesuffix('_at')}@{k}": value
        for name in ("pass_at", "maj_at")
        for k, value in (metrics.get(name) or {}).items()
    }
    return {**metrics, **counted}


def _is_estimate(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"mean", "low", "high"}


def natural(name: str) -> list[str]:
    """Key that sorts numbers in names by their value.

    Example:
        >>> sorted(["pass@16", "pass@4"], key=natural)
        ['pass@4', 'pass@16']
    """
    return [f"{int(part):09d}" if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def _order(name: str) -> tuple[int, list[str]]:
    """The stages first in their order, then others by name; rounds after each other."""
    stage, _, in_round = name.partition(" round-")
    return (ORDER.index(stage) if stage in ORDER and not in_round else len(ORDER), natural(f"{in_round} {stage}"))
