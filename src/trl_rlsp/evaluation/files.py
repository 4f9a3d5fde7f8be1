"""An evaluation on disk: `metrics.json`, and `samples.jsonl` with a scored sample a line."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from trl_rlsp.errors import DataError
from trl_rlsp.evaluation.bootstrap import Estimate
from trl_rlsp.evaluation.metrics import Evaluation, ScoredSample, Slice
from trl_rlsp.evaluation.sample_store import SAMPLES, read_lines

INTERVALS = "95 % percentile bootstrap over problems, 2000 resamples"
METRICS = "metrics.json"


def save_evaluation(
    evaluation: Evaluation,
    samples: Sequence[ScoredSample],
    folder: Path,
    settings: dict[str, Any],
    *,
    parquet: bool = False,
) -> None:
    """Write `samples.jsonl`, `samples.parquet` if it is wanted and, last, `metrics.json` into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(asdict(sample), ensure_ascii=False) + "\n" for sample in samples)
    _replace(folder / SAMPLES, lines)
    if parquet:
        import pyarrow
        from pyarrow.parquet import write_table

        write_table(pyarrow.Table.from_pylist([asdict(sample) for sample in samples]), folder / "samples.parquet")
    figures = {**asdict(evaluation), "intervals": INTERVALS, "settings": settings}
    _replace(folder / METRICS, [json.dumps(figures, indent=2) + "\n"])


def load_evaluation(folder: Path) -> Evaluation:
    """Read what `save_evaluation` wrote.

    Raises:
        DataError: the folder holds no complete evaluation.
    """
    try:
        figures = json.loads((folder / METRICS).read_text(encoding="utf-8"))
        figures.pop("settings")
        figures.pop("intervals", None)
        for name in ("pass_at", "maj_at"):
            figures[name] = {int(k): Estimate(**v) for k, v in figures.get(name, {}).items()}
        for name in ("levels", "subjects"):
            figures[name] = {label: _slice(v) for label, v in figures.get(name, {}).items()}
        for name in ("pass_at_1", "tokens", "finished", "search_steps"):
            figures[name] = Estimate(**figures[name])
        return Evaluation(**figures)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(f"{folder} holds no complete evaluation: run `rlsp eval` again ({error})") from error


def load_scored(folder: Path) -> list[ScoredSample]:
    """The scored samples of a complete evaluation, with the keys of their answers.

    Raises:
        SourceError: there is no `samples.jsonl`.
        DataError: the samples are not scored yet, or were by a version that kept no answers.
    """
    names = {field.name for field in fields(ScoredSample)}
    lines = read_lines(folder)
    for number, line in enumerate(lines, start=1):
        if not isinstance(line, dict) or not names <= line.keys():
            raise DataError(
                f"{folder / SAMPLES}, line {number}: not a sample with a score and an answer; finish the evaluation, "
                f"or score it again with `rlsp eval --rescore {folder}`"
            )
    return [ScoredSample(**{name: line[name] for name in names}) for line in lines]


def load_settings(folder: Path) -> dict[str, Any]:
    """The settings that an evaluation was made with.

    Raises:
        DataError: the folder holds no complete evaluation.
    """
    try:
        return dict(json.loads((folder / METRICS).read_text(encoding="utf-8"))["settings"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"{folder} holds no complete evaluation: run `rlsp eval` again ({error})") from error


def _slice(values: dict[str, Any]) -> Slice:
    accuracy = values["pass_at_1"]
    return Slice(
        problems=values["problems"],
        pass_at_1=None if accuracy is None else Estimate(**accuracy),
        tokens=Estimate(**values["tokens"]),
        finished=Estimate(**values["finished"]),
    )


def _replace(path: Path, lines: Iterable[str]) -> None:
    """Write a file whole or not at all."""
    part = path.with_name(path.name + ".part")
    with open(part, "w", encoding="utf-8") as file:
        file.writelines(lines)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)
