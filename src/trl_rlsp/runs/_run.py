"""A run on disk: its evaluations, the history of its RL stage, and its logged completions.

Only files that training wrote are read. `Run.missing` names files that do not exist; unreadable files are errors.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, variance
from typing import Any, NamedTuple

from trl_rlsp.errors import DataError, SourceError
from trl_rlsp.evaluation import Difference, Estimate, by_problem, known_mean, natural, paired, read_metrics
from trl_rlsp.files import read_json
from trl_rlsp.runs._completions import LOGGED, SAMPLES, Completion, accuracy_part, read_files, rl_stage

ORDER = ("start", "base", "SFT", "RLSP")
HISTORY_FILE = "trainer_state.json"
FEWEST = 3  # values that a window needs before its mean is compared with that of another


@dataclass(frozen=True)
class Evaluated:
    """The evaluation of one model, named as in the run (`start`, `SFT`, `RLSP`), on one data set by `rlsp eval`."""

    name: str
    metrics: Mapping[str, Estimate]
    settings: Mapping[str, Any]
    completions: Sequence[Completion]
    problems_hash: str = ""


@dataclass(frozen=True)
class Run:
    """A folder of `rlsp run`, or the output folder of any TRL `GRPOTrainer`.

    Attributes:
        evaluations: in order of training.
        history: entries of `log_history` of the RL stage, in order.
        completions: completions logged by the RL stage, in order of step.
        missing: descriptions of files that do not exist.
    """

    name: str
    folder: Path
    evaluations: Sequence[Evaluated] = ()
    history: Sequence[Mapping[str, Any]] = ()
    completions: Sequence[Completion] = ()
    missing: Sequence[str] = ()


def read_run(folder: Path, name: str | None = None) -> Run:
    """Read a folder of `rlsp run` or the `output_dir` of a `GRPOTrainer(log_completions=True)`; `name` defaults to its.

    For a run in rounds, read its newest RL stage and every evaluation. A SourceError for a missing folder or one that
    holds no run, a DataError for an unreadable file.
    """
    if not folder.is_dir():
        raise SourceError(f"there is no run folder {str(folder)!r}")
    places = [path.parent for depth in ("", "*/", "round-*/*/") for path in folder.glob(f"{depth}metrics.json")]
    evaluations = [_read_evaluation(path, folder) for path in places if (path / SAMPLES).is_file()]
    evaluations.sort(key=lambda evaluated: _order(evaluated.name))
    stage = rl_stage(folder)
    history = _read_history(stage) if stage else []
    completions = read_files(sorted(stage.glob(LOGGED))) if stage else []
    if not (evaluations or history or completions):
        wanted = f"neither evaluations (metrics.json, samples.jsonl), nor a {HISTORY_FILE}, nor {LOGGED}"
        raise SourceError(f"{str(folder)!r} holds no run: {wanted}")
    texts = {
        "evaluations, so there is no before/after table (run `rlsp eval`)": evaluations,
        f"{HISTORY_FILE} of RL, so there are no curves from its log": history,
        "logged completions (train with log_completions: true)": completions,
    }
    missing = [text for text, found in texts.items() if not found]
    return Run(name or folder.resolve().name, folder, evaluations, history, completions, missing)


def _read_history(stage: Path) -> list[dict[str, Any]]:
    """The `log_history` of a stage, during training that of its newest checkpoint; empty if there is none."""
    numbered = {path.parent.name[11:]: path for path in stage.glob(f"checkpoint-*/{HISTORY_FILE}")}
    newest = max((number for number in numbered if number.isdigit()), key=int, default="")
    path = stage / HISTORY_FILE if (stage / HISTORY_FILE).is_file() else numbered.get(newest)
    if path is None:
        return []
    history = read_json(path).get("log_history")
    if not isinstance(history, list):
        raise DataError(f"{path} is no trainer state: it has no list `log_history`")
    return [entry for entry in history if isinstance(entry, dict) and isinstance(entry.get("step"), int)]


def _read_evaluation(folder: Path, run: Path) -> Evaluated:
    """One evaluation by `rlsp eval`; in a run with rounds, its name includes the round."""
    written = read_metrics(folder)
    try:
        counted = {f"{kind}@{k}": v for kind in ("pass", "maj") for k, v in (written.get(f"{kind}_at") or {}).items()}
        completions = read_files([folder / SAMPLES])
        if not all(completion.problem for completion in completions):
            raise ValueError("a sample does not say which problem it is of")
    except (TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{folder} is no evaluation that can be read: run `rlsp eval` again ({error})") from error
    in_round = folder.parent != run and folder.parent.name.startswith("round-")
    return Evaluated(
        name=folder.name.removeprefix("eval_") + (f" {folder.parent.name}" if in_round else ""),
        metrics={name: value for name, value in {**written, **counted}.items() if isinstance(value, Estimate)},
        settings=written.get("settings") or {},
        completions=completions,
        problems_hash=str(written.get("problems_hash") or ""),
    )


def difference(before: Evaluated, after: Evaluated, value: Callable[[Completion], float | None]) -> Difference | None:
    """Difference of a metric, paired by problem; `None` for different problem sets or if no problem has it in both."""
    if not before.problems_hash or before.problems_hash != after.problems_hash:
        return None
    groups = by_problem(before.completions), by_problem(after.completions)
    return paired(*groups, lambda completions: known_mean(map(value, completions)))


def _order(name: str) -> tuple[int, list[str]]:
    """Sort key: the stages in training order, then other names; rounds in order."""
    stage, _, in_round = name.partition(" round-")
    return (ORDER.index(stage) if stage in ORDER and not in_round else len(ORDER), natural(f"{in_round} {stage}"))


def values_of(history: Sequence[Mapping[str, Any]], key: str) -> tuple[list[int], list[float]]:
    """Steps and values of a metric, for the entries in which it is a finite number."""
    found = [e for e in history if type(e.get(key)) in (int, float) and math.isfinite(e[key])]
    return [entry["step"] for entry in found], [float(entry[key]) for entry in found]


def reward_parts(history: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of the reward functions that TRL logged, in order of first occurrence."""
    part = re.compile(r"rewards/(.+)/mean\Z")
    return list(dict.fromkeys(match[1] for entry in history for key in entry if (match := part.match(key))))


def accuracy_key(history: Sequence[Mapping[str, Any]], *, held_out: bool = False) -> str | None:
    """The name of the logged metric that is the accuracy, on training problems or on `eval_dataset`."""
    part = accuracy_part(reward_parts(history))
    key = f"{'eval_' if held_out else ''}rewards/{part}/mean"
    return key if part and values_of(history, key)[0] else None


class Change(NamedTuple):
    """Means of a metric's first and last quarter (at least 3 values each), and the standard error of the difference."""

    before: float
    after: float
    error: float

    def rises(self, least: float) -> bool:
        """Whether it rises by more than `least` and by more than two standard errors."""
        return self.after - self.before > max(least, 2 * self.error)

    def falls(self, least: float) -> bool:
        """Whether it falls by more than `least` and by more than two standard errors."""
        return self.before - self.after > max(least, 2 * self.error)


def change(values: Sequence[float]) -> Change | None:
    """Compare the first quarter with the last; `None` for fewer than 6 values."""
    width = max(FEWEST, len(values) // 4)
    if len(values) < 2 * width:
        return None
    first, last = values[:width], values[-width:]
    return Change(fmean(first), fmean(last), math.sqrt((variance(first) + variance(last)) / width))


def last_mean(values: Sequence[float]) -> float | None:
    """Mean over the last quarter; `None` for fewer than 3 values."""
    width = max(FEWEST, len(values) // 4)
    return fmean(values[-width:]) if len(values) >= FEWEST else None
