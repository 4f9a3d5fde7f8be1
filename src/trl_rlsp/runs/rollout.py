"""Completions as a run logged them, raw: prompt and text as they were, with where they stand.

Reads what `GRPOTrainer(log_completions=True)` writes (one Parquet file a logged step: step, prompt, completion, a
column for each reward, those that rewards logged themselves, advantage; no column of the data set) and the samples of
`rlsp eval`. Whatever a completion holds stays data: nothing of it is evaluated, rendered or followed.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trl_rlsp.errors import DataError, SourceError
from trl_rlsp.problems.readers import read_file
from trl_rlsp.runs.run import accuracy_part
from trl_rlsp.text.completion import completion_text

SAMPLES = ("samples.jsonl", "samples.parquet")
NOT_REWARDS = ("step", "prompt", "completion", "advantage")


@dataclass(frozen=True)
class Rollout:
    """One logged completion.

    Attributes:
        text: the completion; the text of its last message.
        prompt: text or messages as logged; `None` if not recorded.
        problem: index in the data set; `None` if not recorded.
        messages: how many messages the completion has; one where it was logged as text.
        finished: it ends with a final answer within the limit; `None` if not recorded.
        score: the outcome as logged: 1.0, 0.0, a share; `None` if not recorded or not scorable.
        rewards: every reward as logged.
        step: training step; `None` in an evaluation.
        index: its row in the file, from 0.
        file: the file's name.
        sha256: of the file.
    """

    text: str
    prompt: Any = None
    problem: int | None = None
    messages: int = 1
    finished: bool | None = None
    score: float | None = None
    rewards: Mapping[str, float | None] = field(default_factory=dict)
    step: int | None = None
    index: int = 0
    file: str = ""
    sha256: str = ""


def log_folder(run: Path) -> Path:
    """The folder that holds the completions of a run.

    Args:
        run: a folder of `rlsp run`, of one of its rounds, of a `GRPOTrainer`, or of `rlsp eval`.

    Returns:
        The folder with `completions/*.parquet`, that of the newest round if there are several; else the folder with
        the samples of an evaluation.

    Raises:
        SourceError: no such folder, or no completions in it.
    """
    if not run.is_dir():
        raise SourceError(f"there is no run folder {str(run)!r}")
    rounds = [path for path in run.glob("round-*") if path.name.removeprefix("round-").isdigit()]
    rounds.sort(key=lambda path: int(path.name.removeprefix("round-")), reverse=True)
    for folder in (run, run / "rlsp", *(path / "rlsp" for path in rounds)):
        if any((folder / "completions").glob("*.parquet")):
            return folder
    if any((run / name).is_file() for name in SAMPLES):
        return run
    raise SourceError(
        f"{str(run)!r} holds no completions: neither completions/*.parquet (train with log_completions: true), nor "
        "samples.jsonl of `rlsp eval`"
    )


def read_rollouts(folder: Path) -> list[Rollout]:
    """Every completion in a folder that `log_folder` found, in order of steps.

    TRL logs a batch again each time it is learned from; it is read once.

    Raises:
        DataError: a file without completions in it, or one that cannot be read.
    """
    files = sorted((folder / "completions").glob("*.parquet"))
    if not files:
        files = [folder / name for name in SAMPLES if (folder / name).is_file()][:1]
    rollouts: list[Rollout] = []
    before = ""
    for path in files:
        rows = _rows(path)
        content = repr([{**row, "step": None} for row in rows])  # as text, because nan differs from itself
        if content != before:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            rollouts += [_rollout(row, index, path, digest) for index, row in enumerate(rows)]
        before = content
    return sorted(rollouts, key=lambda rollout: (rollout.step or 0, rollout.file, rollout.index))


def _rows(path: Path) -> Sequence[dict[str, Any]]:
    """The rows of a file; TRL writes one without any where it logs before the first batch."""
    if path.suffix == ".parquet":
        import pyarrow.parquet

        try:
            if pyarrow.parquet.read_metadata(path).num_rows == 0:
                return []
        except pyarrow.ArrowException:
            pass  # the reader says what is wrong with it
    return read_file(path).rows


def _rollout(row: Mapping[str, Any], index: int, path: Path, digest: str) -> Rollout:
    place: dict[str, Any] = {"index": index, "file": path.name, "sha256": digest}
    if "text" in row and "problem" in row:
        return _sample(row, place)
    if not {"prompt", "completion"} <= row.keys():
        columns = ", ".join(sorted(row))
        raise DataError(f"{path} is no log of completions: it needs prompt and completion, and has {columns}")
    rewards = {name: _number(value) for name, value in row.items() if name not in NOT_REWARDS and _is_score(value)}
    part = accuracy_part(list(rewards))
    completion = row["completion"]
    return Rollout(
        text=completion_text(completion),
        prompt=_prompt(row["prompt"]),
        messages=1 if isinstance(completion, str) else len(completion or ()),
        score=rewards[part] if part else None,
        rewards=rewards,
        step=row.get("step"),
        **place,
    )


def _sample(row: Mapping[str, Any], place: Mapping[str, Any]) -> Rollout:
    score = _number(row.get("score"))
    number = row["problem"] if isinstance(row["problem"], int) else None
    finished = row.get("finished")
    return Rollout(
        text=str(row["text"]),
        prompt=_prompt(row.get("prompt")),
        problem=number,
        finished=None if finished is None else bool(finished),
        score=score,
        rewards={"outcome_verifier": score},
        **place,
    )


def _prompt(prompt: Any) -> Any:
    """The prompt without the empty fields that Parquet gives every message."""
    if not isinstance(prompt, list):
        return prompt
    return [{key: value for key, value in message.items() if value is not None} for message in prompt]


def _is_score(value: Any) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


def _number(value: Any) -> float | None:
    return None if value is None or math.isnan(value) else float(value)
