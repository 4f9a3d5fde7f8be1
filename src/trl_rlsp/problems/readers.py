"""Raw rows from a local file, a local folder or the Hub.

Promises rows as plain dictionaries, the names of their columns and, for each row, where it came from, so that a later
complaint can name the place. CSV and JSON are read here and not by `datasets`, which would turn an answer `007` into 7,
refuse tests whose arguments differ in type, and not say which line is broken. Knows nothing about problems, answers or
prompts.
"""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trl_rlsp.errors import ConfigError, DataError, SourceError

FILE_EXTENSIONS = (".jsonl", ".json", ".csv", ".parquet")


@dataclass
class Table:
    """Raw rows of one source.

    Attributes:
        name: the file or the hub id, for messages.
        rows: one dictionary per row; a `Dataset` (of the Hub, or of a Parquet file) is decoded row by row.
        unit: what a row is called in messages, `"line"` in a file read by lines, else `"row"`.
        numbers: the line or row number of each row, counted from 1.
    """

    name: str
    rows: Any
    unit: str
    numbers: Sequence[int]

    @property
    def columns(self) -> list[str]:
        """Every column name that some row has, in order of first appearance."""
        if hasattr(self.rows, "column_names"):
            return list(self.rows.column_names)
        return list(dict.fromkeys(name for row in self.rows for name in row))

    def place(self, index: int) -> str:
        """Where row `index` (from 0) stands, such as `line 3 of math.jsonl`."""
        return f"{self.unit} {self.numbers[index]} of {self.name}"

    def only(self, columns: Iterable[str]) -> Table:
        """The table without its other columns, where they would cost something: a row in memory stays whole."""
        if not hasattr(self.rows, "select_columns"):
            return self
        wanted = set(columns)
        rows = self.rows.select_columns([name for name in self.columns if name in wanted])
        return Table(self.name, rows, self.unit, self.numbers)

    def sample(self, limit: int | None, seed: int) -> Table:
        """At most `limit` rows, drawn with a seed, in order."""
        if limit is None or limit >= len(self.rows):
            return self
        return self.select(sorted(random.Random(seed).sample(range(len(self.rows)), limit)))

    def select(self, indices: list[int]) -> Table:
        """The table cut down to `indices`; each row keeps its number."""
        select = getattr(self.rows, "select", None)
        rows = select(indices) if select else [self.rows[index] for index in indices]
        return Table(self.name, rows, self.unit, [self.numbers[index] for index in indices])


def read_file(path: str | Path) -> Table:
    """Read the rows of a local file.

    Args:
        path: a `.jsonl`, `.json` (a list of objects, an object with one list of objects, or JSON lines),
            `.csv` (with a header) or `.parquet` file.

    Returns:
        The rows, at least one.

    Raises:
        SourceError: no such file.
        ConfigError: the extension is none of the four.
        DataError: a broken line or row (its number is named), a wrong encoding, an empty file.
    """
    path = Path(path)
    if not path.is_file():
        raise SourceError(f"a data file must exist: there is none at {str(path)!r} (looked from {Path.cwd()})")
    readers = {".jsonl": _read_jsonl, ".json": _read_json, ".csv": _read_csv, ".parquet": _read_parquet}
    if path.suffix.lower() not in readers:
        raise ConfigError(
            f"a data file must end in one of {', '.join(readers)}, got {path.name!r}; "
            "convert it, for example with datasets.Dataset.to_json"
        )
    try:
        table = readers[path.suffix.lower()](path)
    except UnicodeDecodeError as error:
        raise DataError(f"{path.name} must be UTF-8 text: {error}; convert it with iconv -t UTF-8") from error
    if not len(table.rows):
        raise DataError(f"a data file must hold at least one row, {path.name} is empty")
    return table


def _read_jsonl(path: Path) -> Table:
    rows, numbers = [], []
    with path.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                rows.append(_json_object(line, f"line {number} of {path.name}"))
                numbers.append(number)
    return Table(path.name, rows, "line", numbers)


def _json_object(text: str, place: str) -> dict[str, Any]:
    try:
        row = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{place} is not valid JSON: {error.msg} at column {error.colno}: {text.strip()[:80]!r}"
        ) from error
    except RecursionError as error:
        raise DataError(f"{place} is nested too deeply to read") from error
    if not isinstance(row, dict):
        raise DataError(
            f'{place} must be a JSON object such as {{"problem": ..., "answer": ...}}, got {text.strip()[:80]!r}'
        )
    return row


def _read_json(path: Path) -> Table:
    text = path.read_text(encoding="utf-8-sig")
    if not text.strip():
        return Table(path.name, [], "row", [])
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        # Many tools write JSON lines under the name .json; a first line that is whole in itself tells them
        # apart.
        if error.msg == "Extra data":
            return _read_jsonl(path)
        raise DataError(
            f"{path.name} is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from error
    if isinstance(content, dict):
        lists = [
            value for value in content.values() if isinstance(value, list) and value and isinstance(value[0], dict)
        ]
        content = lists[0] if len(lists) == 1 else [content]
    if not isinstance(content, list):
        raise DataError(f"{path.name} must hold a list of objects, got {type(content).__name__}")
    for number, row in enumerate(content, start=1):
        if not isinstance(row, dict):
            raise DataError(f"row {number} of {path.name} must be an object, got {str(row)[:80]!r}")
    return _numbered(path.name, content)


def _read_csv(path: Path) -> Table:
    rows, numbers = [], []
    with path.open(encoding="utf-8-sig", newline="") as handle:
        reader = csv.DictReader(handle, strict=True)
        try:
            for row in reader:
                if None in row or None in row.values():
                    header = len(reader.fieldnames or [])
                    raise DataError(
                        f"line {reader.line_num} of {path.name} must have {header} fields as the header has"
                    )
                rows.append(row)
                numbers.append(reader.line_num)
        except csv.Error as error:
            line = reader.reader.line_num
            raise DataError(f"line {line} of {path.name} is not valid CSV: {error}") from error
    return Table(path.name, rows, "line", numbers)


def _read_parquet(path: Path) -> Table:
    import pyarrow
    from datasets import Dataset
    from pyarrow.parquet import read_table

    try:
        return _numbered(path.name, Dataset(read_table(path)))
    except pyarrow.ArrowException as error:
        raise DataError(f"{path.name} is not a readable Parquet file: {error}") from error


def _numbered(name: str, rows: Any) -> Table:
    return Table(name, rows, "row", range(1, len(rows) + 1))


def read_hub(path: str, *, name: str | None = None, split: str | None = None, revision: str | None = None) -> Table:
    """Read the rows of a dataset on the Hub, or of a local folder in one of the layouts `datasets` knows.

    Args:
        path: the hub id (`owner/name`) or a folder.
        name: the configuration of the dataset, where it has several.
        split: the split, such as `"train"` or `"test[:100]"`; may be left out where there is `train` or only
            one.
        revision: branch, tag or commit on the Hub.

    Returns:
        The rows, at least one.

    Raises:
        SourceError: the dataset cannot be reached, found or read.
        ConfigError: the split must be named.
        DataError: the split is empty.
    """
    try:
        loaded = _load(path, name, split, revision)
    except (OSError, ValueError, RuntimeError) as error:
        raise SourceError(_unreachable(path, name, split, error)) from error
    if isinstance(loaded, dict):
        loaded = loaded[_choose_split(path, list(loaded), split)]
    if not len(loaded):
        raise DataError(f"a split must hold at least one row, {path} (split {split!r}) is empty")
    return _numbered(path, loaded)


def _load(path: str, name: str | None, split: str | None, revision: str | None) -> Any:
    """A `Dataset`, or a `DatasetDict` where the split is still to be chosen."""
    import datasets

    if any((Path(path) / marker).is_file() for marker in ("state.json", "dataset_dict.json")):
        return datasets.load_from_disk(path)
    return datasets.load_dataset(path, name=name, split=split, revision=revision)


def _choose_split(path: str, splits: list[str], wanted: str | None) -> str:
    if wanted in splits:
        return str(wanted)
    if wanted is None and (len(splits) == 1 or "train" in splits):
        return "train" if "train" in splits else splits[0]
    raise ConfigError(f"{path} has the splits {', '.join(splits)}, got {wanted!r}: name one of them with split=")


def _unreachable(path: str, name: str | None, split: str | None, error: BaseException) -> str:
    given = {"name": name, "split": split}
    asked = "".join(f", {key} {value!r}" for key, value in given.items() if value is not None)
    reason = str(error).strip().partition("\n")[0] or type(error).__name__
    return (
        f"the dataset {path!r}{asked} could not be loaded: {reason}. Check its id, name and split on "
        "https://huggingface.co/datasets and that this machine can reach the Hub; for a private or gated "
        "dataset log in with `hf auth login`. Without a network, save the rows on another machine "
        "(datasets.load_dataset(...).to_json('rows.jsonl')) and give that file as the source"
    )
