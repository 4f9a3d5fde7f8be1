"""Read what training left on disk: a folder of `rlsp run`, or the output folder of any TRL `GRPOTrainer`.

Only files that training wrote are read, and nothing is fetched. A file that is not there is named in `Run.missing`;
a file that is there and cannot be read is an error.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trl_rlsp.errors import DataError, SourceError
from trl_rlsp.evaluation.bootstrap import Estimate
from trl_rlsp.runs.logged import read_completions
from trl_rlsp.runs.problems import with_prompts
from trl_rlsp.runs.run import Completion, Evaluated, Run, natural

ORDER = ("start", "base", "SFT", "RLSP")
HISTORY_FILE = "trainer_state.json"


def read_run(folder: Path, name: str | None = None) -> Run:
    """Read a run.

    Args:
        folder: what `rlsp run` wrote, or the `output_dir` of a `GRPOTrainer(log_completions=True)`.
        name: its name in the report; default the folder's.

    Raises:
        SourceError: no such folder, or nothing of a run in it.
        DataError: a file that cannot be read.
    """
    if not folder.is_dir():
        raise SourceError(f"there is no run folder {str(folder)!r}")
    evaluations = with_prompts(read_evaluations(folder))
    stage = rl_stage(folder)
    history = read_history(stage) if stage else []
    completions = read_completions(stage / "completions") if stage else []
    if not (evaluations or history or completions):
        raise SourceError(
            f"{str(folder)!r} holds no run: neither evaluations (metrics.json, samples.jsonl), nor a "
            f"{HISTORY_FILE}, nor completions/*.parquet"
        )
    wanted = {
        "evaluations, so there is no before/after table (make them with `rlsp eval`)": evaluations,
        f"{HISTORY_FILE} of RL, so there are no curves from its log": history,
        "logged completions (train with log_completions: true)": completions,
    }
    missing = [text for text, found in wanted.items() if not found]
    return Run(name or folder.resolve().name, folder, evaluations, history, completions, missing)


def rl_stage(folder: Path) -> Path | None:
    """The folder of the RL stage: `folder` itself, its `rlsp/`, or the first folder in it that has completions."""
    candidates = [folder, folder / "rlsp", *sorted(path for path in folder.iterdir() if path.is_dir())]
    for candidate in candidates:
        if any((candidate / "completions").glob("*.parquet")):
            return candidate
    for candidate in candidates[:2]:
        if history_file(candidate):
            return candidate
    return None


def history_file(stage: Path) -> Path | None:
    """`trainer_state.json` of a stage; while it trains, that of its newest checkpoint."""
    if (stage / HISTORY_FILE).is_file():
        return stage / HISTORY_FILE
    found = [path for path in stage.glob(f"checkpoint-*/{HISTORY_FILE}") if path.parent.name[11:].isdigit()]
    return max(found, key=lambda path: int(path.parent.name[11:]), default=None)


def read_history(stage: Path) -> list[dict[str, Any]]:
    """The entries of `log_history` of a stage, empty if it left none.

    Raises:
        DataError: a file that is no trainer state.
    """
    path = history_file(stage)
    if path is None:
        return []
    history = _read_json(path).get("log_history")
    if not isinstance(history, list):
        raise DataError(f"{path} is no trainer state: it has no list `log_history`")
    return [entry for entry in history if isinstance(entry, dict) and isinstance(entry.get("step"), int)]


def read_evaluations(folder: Path) -> list[Evaluated]:
    """Evaluations in `folder`, in order of training; `folder` may be one itself."""
    found = [path.parent for path in (*folder.glob("metrics.json"), *folder.glob("*/metrics.json"))]
    evaluations = [read_evaluation(path) for path in found if samples_file(path)]
    return sorted(evaluations, key=lambda evaluated: _order(evaluated.name))


def samples_file(folder: Path) -> Path | None:
    """The samples of an evaluation."""
    return next((folder / name for name in ("samples.jsonl", "samples.parquet") if (folder / name).is_file()), None)


def read_evaluation(folder: Path) -> Evaluated:
    """One evaluation, as `rlsp eval` writes it.

    Raises:
        DataError: figures or samples that cannot be read.
    """
    figures = _read_json(folder / "metrics.json")
    path = samples_file(folder)
    rows = _rows(path) if path else []
    try:
        estimates = {k: Estimate(**v) for k, v in _flat(figures).items() if _is_estimate(v)}
        completions = _samples(rows)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{folder} is no evaluation that can be read: run `rlsp eval` again ({error!r})") from error
    settings = figures.get("settings")
    return Evaluated(
        name=folder.name.removeprefix("eval_"),
        figures=estimates,
        settings=settings if isinstance(settings, dict) else {},
        completions=completions,
        problems_hash=str(figures.get("problems_hash") or ""),
    )


def _flat(figures: Mapping[str, Any]) -> dict[str, Any]:
    """The figures, with `pass_at: {4: ...}` as `pass@4`."""
    counted = {
        f"{name.removesuffix('_at')}@{k}": value
        for name in ("pass_at", "maj_at")
        for k, value in (figures.get(name) or {}).items()
    }
    return {**figures, **counted}


def _samples(rows: Sequence[Mapping[str, Any]]) -> list[Completion]:
    seen: dict[str, int] = {}
    completions = []
    for row in rows:
        problem = str(row["problem"])
        number = seen[problem] = seen.get(problem, -1) + 1
        level = row.get("level")
        completions.append(
            Completion(
                problem=problem,
                text=str(row["text"]),
                score=None if row.get("score") is None else float(row["score"]),
                reason=str(row.get("reason") or ""),
                prompt=str(row.get("prompt") or ""),
                tokens=None if row.get("tokens") is None else int(row["tokens"]),
                search_steps=(row.get("task_metrics") or {}).get("search_steps"),
                finished=None if row.get("finished") is None else bool(row["finished"]),
                sample=number,
                level=None if level is None else str(level),
            )
        )
    return completions


def _rows(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        import pyarrow.parquet as parquet

        return parquet.read_table(path).to_pylist()
    try:
        with open(path, encoding="utf-8") as file:
            return [json.loads(line) for line in file if line.strip()]
    except ValueError as error:
        raise DataError(f"{path} holds a line that is no JSON: {error}") from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} must hold a JSON object, got {type(content).__name__}")
    return content


def _is_estimate(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"mean", "low", "high"}


def _order(name: str) -> tuple[int, list[str]]:
    """The stages first in their order, then others by name."""
    return (ORDER.index(name) if name in ORDER else len(ORDER), natural(name))
