"""Completions of a run, from the files that it left.

Reads what any `trl.GRPOTrainer(log_completions=True)` writes (`completions/completions_00010.parquet` with the columns
`step`, `prompt`, `completion`, one a reward, `advantage`), and the `samples.jsonl` of `rlsp eval`, with the problems
beside it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trl_rlsp.errors import DataError, SourceError
from trl_rlsp.evaluation.store import SAMPLES, read_problems
from trl_rlsp.text.completion import completion_text

VERIFIED = ("solution", "task", "tests")
"""Columns that the outcome verifier scores by."""


@dataclass(frozen=True)
class Completion:
    """One completion of a run.

    Attributes:
        text: the last assistant message.
        step: optimiser step at which it was sampled; `None` in an evaluation.
        tokens: its length in tokens, if the file says.
        prompt: as the file has it.
        columns: those of `VERIFIED` that the file has.
    """

    text: str
    step: int | None = None
    tokens: int | None = None
    prompt: Any = None
    columns: dict[str, Any] = field(default_factory=dict)


def read_completions(sources: Iterable[str | Path]) -> list[Completion]:
    """Completions of runs and files, in order of step.

    Args:
        sources: Parquet or JSONL files, or folders of a run, searched for `completions_*.parquet` and, failing that,
            for `samples.jsonl`.

    Raises:
        SourceError: no such file, or a folder without completions.
        DataError: a file that does not hold completions.
    """
    files = [file for source in sources for file in _files(Path(source))]
    found = [completion for file in files for completion in _read(file)]
    return sorted(found, key=lambda c: -1 if c.step is None else c.step)


def _files(source: Path) -> list[Path]:
    if source.is_file():
        return [source]
    if source.is_dir():
        for pattern in ("completions_*.parquet", "samples.jsonl"):
            files = sorted(source.rglob(pattern))
            if files:
                return files
        raise SourceError(
            f"a run has completions_*.parquet (GRPOTrainer with log_completions=True) or samples.jsonl (rlsp eval), "
            f"{str(source)!r} has neither"
        )
    raise SourceError(f"there is no file or folder {str(source)!r}")


def _read(file: Path) -> Iterator[Completion]:
    rows = _parquet_rows(file) if file.suffix == ".parquet" else _with_problems(file)
    for number, row in enumerate(rows, start=1):
        text = row.get("completion", row.get("text"))
        if text is None:
            raise DataError(f"row {number} of {file.name} needs a column `completion` or `text`, has {sorted(row)}")
        columns = {name: row[name] for name in VERIFIED if row.get(name) is not None}
        yield Completion(completion_text(text), row.get("step"), row.get("tokens"), row.get("prompt"), columns)


def _parquet_rows(file: Path) -> list[dict[str, Any]]:
    import pyarrow
    import pyarrow.parquet

    try:
        return pyarrow.parquet.read_table(file).to_pylist()
    except pyarrow.ArrowInvalid as error:
        raise DataError(f"{file.name} is not a Parquet file: {error}") from error


def _with_problems(file: Path) -> Iterator[dict[str, Any]]:
    """Rows of a JSONL file; those of an evaluation with the problem that lies in the same folder."""
    problems = read_problems(file.parent) if file.name == SAMPLES else None
    for row in _jsonl_rows(file):
        number = row.get("problem")
        known = problems is not None and isinstance(number, int) and 0 <= number < len(problems)
        yield {**problems[number], **row} if problems is not None and known else row


def _jsonl_rows(file: Path) -> Iterator[dict[str, Any]]:
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                row = json.loads(line)
            except ValueError as error:
                raise DataError(f"line {number} of {file.name} is not JSON: {error}") from error
            if not isinstance(row, dict):
                raise DataError(f"line {number} of {file.name} must be a JSON object, got {line.strip()[:80]!r}")
            yield row
