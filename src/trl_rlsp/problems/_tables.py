r"""Raw rows of a file, a folder or the Hub; the roles of their columns; and the answers inside them.

CSV and JSON are not read with `datasets`, because it would turn an answer `007` into 7, refuse tests whose arguments
differ in type, and not report which line is broken.
"""

from __future__ import annotations

import csv
import json
import math
import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trl_rlsp.errors import ConfigError, DataError, MissingColumnError, SourceError
from trl_rlsp.text import find_boxes
from trl_rlsp.verification import has_test_columns, reference_program, shown_problem, tests_json

FILE_EXTENSIONS = (".jsonl", ".json", ".csv", ".parquet")

WORKED_COLUMNS = ("solution", "response", "output")
LONGEST_BARE_ANSWER = 300

# Names are tried in this order, ignoring case; spaces and hyphens match underscores.
CANDIDATES: dict[str, tuple[str, ...]] = {
    "problem": ("problem", "question", "prompt", "description", "query", "instruction", "input", "text"),
    "answer": (
        *("answer", "final_answer", "expected_answer", "gold", "gold_answer", "ground_truth", "target", "label"),
        *WORKED_COLUMNS,
    ),
    "tests": ("tests", "input_output", "test_cases", "test_list", "test"),
    "level": ("level", "difficulty"),
    "subject": ("subject", "type", "topic"),
    "id": ("id", "unique_id", "problem_id", "uid", "task_id", "name"),
}
WITHOUT_ROLE = (
    *("task", "public_tests", "private_tests", "generated_tests", "solutions", "code", "starter_code"),
    *("test", "test_list", "test_imports", "test_setup_code", "challenge_test_list"),
    *("entry_point", "canonical_solution", "prompt"),
)
"""Columns that are read in addition to those with a role; the rest of a table is not decoded."""

_HASH_ANSWER = re.compile(r"^####[ \t]*(\S.*?)\s*$", re.MULTILINE)


@dataclass
class Table:
    """Raw rows of one source: dictionaries, or a `Dataset` that is decoded row by row."""

    name: str
    rows: Any
    unit: str  # the name of a row in messages: "line" in a file read by lines, else "row"
    numbers: Sequence[int]  # numbers of the lines or rows, from 1

    @property
    def columns(self) -> list[str]:
        """The names of all columns in any row, in order of first appearance."""
        own = getattr(self.rows, "column_names", None)
        return list(own or dict.fromkeys(name for row in self.rows for name in row))

    def place(self, index: int) -> str:
        """The location of row `index` (from 0), such as `line 3 of math.jsonl`."""
        return f"{self.unit} {self.numbers[index]} of {self.name}"

    def only(self, columns: Iterable[str]) -> Table:
        """The table with only these columns, if decoding the others would take time."""
        select, wanted = getattr(self.rows, "select_columns", None), set(columns)
        return replace(self, rows=select([name for name in self.columns if name in wanted])) if select else self

    def sample(self, limit: int | None, seed: int) -> Table:
        """The table reduced to at most `limit` rows, sampled with a seed, in the original order."""
        return self.select(sample(len(self.rows), limit, seed))

    def select(self, indices: Sequence[int]) -> Table:
        """The table reduced to `indices`; each row keeps its number."""
        select = getattr(self.rows, "select", None)
        rows = select(indices) if select else [self.rows[index] for index in indices]
        return replace(self, rows=rows, numbers=[self.numbers[index] for index in indices])


def sample(count: int, limit: int | None, seed: int) -> Sequence[int]:
    """Indices of at most `limit` of `count` rows, sampled with a seed, sorted."""
    return range(count) if limit is None or limit >= count else sorted(random.Random(seed).sample(range(count), limit))


def read_file(path: str | Path) -> Table:
    """The rows of a local file: JSON lines, JSON (a list of objects, or an object with one such list), CSV, Parquet."""
    path = Path(path)
    if not path.is_file():
        raise SourceError(f"a data file must exist: there is none at {str(path)!r} (looked from {Path.cwd()})")
    read = {".jsonl": _read_jsonl, ".json": _read_json, ".csv": _read_csv, ".parquet": _read_parquet}
    if path.suffix.lower() not in read:
        way_out = "convert it, for example with datasets.Dataset.to_json"
        raise ConfigError(f"a data file must end in one of {', '.join(read)}, got {path.name!r}; {way_out}")
    try:
        table = read[path.suffix.lower()](path)
    except UnicodeDecodeError as error:
        raise DataError(f"{path.name} must be UTF-8 text: {error}; convert it with iconv -t UTF-8") from error
    for index, row in enumerate(table.rows if isinstance(table.rows, list) else ()):
        if not isinstance(row, dict):
            example = '{"problem": ..., "answer": ...}'
            raise DataError(f"{table.place(index)} must be a JSON object such as {example}, got {str(row)[:80]!r}")
    return table


def _numbered(name: str, rows: Any, numbers: Iterable[int] | None = None) -> Table:
    """A table of rows, or of lines with the given numbers."""
    if not len(rows):
        raise DataError(f"there must be at least one row, {name} is empty")
    return Table(name, rows, "row" if numbers is None else "line", list(numbers or range(1, len(rows) + 1)))


def _read_jsonl(path: Path) -> Table:
    with path.open(encoding="utf-8-sig") as file:
        lines = {number: line.strip() for number, line in enumerate(file, start=1) if line.strip()}
    rows = [_json(line, f"line {number} of {path.name}") for number, line in lines.items()]
    return _numbered(path.name, rows, lines)


def _json(text: str, place: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        where = f"column {error.colno}" if error.lineno == 1 else f"line {error.lineno}, column {error.colno}"
        raise DataError(f"{place} is not valid JSON: {error.msg} at {where}: {text[:80]!r}") from error
    except RecursionError as error:
        raise DataError(f"{place} is nested too deeply to read") from error


def _read_json(path: Path) -> Table:
    text = path.read_text(encoding="utf-8-sig")
    try:
        content = _json(text, path.name) if text.strip() else []
    except DataError as error:
        if "Extra data" in str(error):  # the first line is a complete document: JSON lines named .json
            return _read_jsonl(path)
        raise
    if isinstance(content, dict):  # use its only list of objects, else the object itself
        lists = [rows for rows in content.values() if isinstance(rows, list) and rows and isinstance(rows[0], dict)]
        content = lists[0] if len(lists) == 1 else [content]
    if not isinstance(content, list):
        raise DataError(f"{path.name} must hold a list of objects, got {type(content).__name__}")
    return _numbered(path.name, content)


def _read_csv(path: Path) -> Table:
    rows = {}
    with path.open(encoding="utf-8-sig", newline="") as handle:
        reader = csv.DictReader(handle, strict=True)
        try:
            for row in reader:
                if None in row or None in row.values():
                    wanted = f"{len(reader.fieldnames or [])} fields as the header has"
                    raise DataError(f"line {reader.line_num} of {path.name} must have {wanted}")
                rows[reader.line_num] = row
        except csv.Error as error:
            raise DataError(f"line {reader.reader.line_num} of {path.name} is not valid CSV: {error}") from error
    return _numbered(path.name, list(rows.values()), rows)


def _read_parquet(path: Path) -> Table:
    import pyarrow
    from datasets import Dataset
    from pyarrow.parquet import read_table

    try:
        return _numbered(path.name, Dataset(read_table(path)))
    except pyarrow.ArrowException as error:
        raise DataError(f"{path.name} is not a readable Parquet file: {error}") from error


def read_hub(path: str, *, name: str | None = None, split: str | None = None, revision: str | None = None) -> Table:
    """The rows of a dataset on the Hub, or of a local folder in a layout that `datasets` supports.

    The split, such as `"train"` or `"test[:100]"`, may be omitted if there is a split `train` or only one split.
    """
    import datasets

    try:
        if any((Path(path) / marker).is_file() for marker in ("state.json", "dataset_dict.json")):
            loaded: Any = datasets.load_from_disk(path)
        else:
            loaded = datasets.load_dataset(path, name=name, split=split, revision=revision)
    except (OSError, ValueError, RuntimeError) as error:
        asked = "".join(f", {key} {value!r}" for key, value in {"name": name, "split": split}.items() if value)
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise SourceError(
            f"the dataset {path!r}{asked} could not be loaded: {reason}. Check its id, name and split on "
            "https://huggingface.co/datasets; for a gated dataset log in with `hf auth login`. Without a network, save "
            "the rows elsewhere (datasets.load_dataset(...).to_json('rows.jsonl')) and give that file as the source"
        ) from error
    if isinstance(loaded, dict):
        wanted = split or ("train" if "train" in loaded else next(iter(loaded)) if len(loaded) == 1 else None)
        if wanted not in loaded:
            raise ConfigError(f"{path} has the splits {', '.join(loaded)}, got {split!r}: name one of them with split=")
        loaded = loaded[wanted]
    return _numbered(path, loaded)


def match_columns(
    table: Table, candidates: Mapping[str, tuple[str, ...]], columns: Mapping[str, str] | None, *required: str
) -> dict[str, str]:
    """Role -> column, from the caller's map `columns` if it has the role, else by name."""
    present, found = table.columns, dict(columns or {})
    for role, column in found.items():
        if role not in candidates:
            raise ConfigError(f"columns= maps roles ({', '.join(candidates)}) to columns, got the role {role!r}")
        if column not in present:
            has = f"it has {', '.join(present)}"
            raise MissingColumnError(f"{table.name} has no column {column!r} (requested as {role}); {has}")
    for role, names in candidates.items():
        free = {re.sub(r"[\s-]", "_", c.strip().lower()): c for c in reversed(present) if c not in found.values()}
        if chosen := found.get(role) or next((free[name] for name in names if name in free), None):
            found[role] = chosen
        elif role in required:
            raise MissingColumnError(
                f"{table.name} has no column for the {role}; it has {', '.join(present)}. "
                f"Name it with columns={{{role!r}: COLUMN}} (looked for {', '.join(names)})"
            )
    return found


def resolve_columns(table: Table, columns: Mapping[str, str] | None = None) -> dict[str, str]:
    """`match_columns` for a table of problems, which must have a problem, and an answer or tests."""
    tested = has_test_columns(table.columns) or "tests" in match_columns(table, CANDIDATES, columns)
    return match_columns(table, CANDIDATES, columns, "problem", *([] if tested else ["answer"]))


def problem_rows(table: Table, roles: Mapping[str, str], drop_invalid: bool = False) -> list[dict[str, Any]]:
    """Raw rows -> rows with `problem` (text or messages), `solution`, and other roles that the source has."""
    rows = []
    for index, raw in enumerate(table.rows):
        try:
            rows.append(_problem_row(raw, roles))
        except DataError as error:
            if not drop_invalid:
                way_out = "correct it, or leave such rows out with drop_invalid=True"
                raise DataError(f"{table.place(index)}: {error}; {way_out}") from error
    if not rows:
        raise DataError(f"no row of {table.name} has a problem and an answer")
    return rows


def _problem_row(raw: Mapping[str, Any], roles: Mapping[str, str]) -> dict[str, Any]:
    problem = raw.get(roles["problem"])
    problem = problem if isinstance(problem, list) else cell_text(problem)
    if not problem:
        raise DataError(f"the problem (column {roles['problem']!r}) is empty")
    answer = raw.get(roles.get("answer", ""))
    tests = tests_json(raw, roles.get("tests"), problem if isinstance(problem, str) else "")
    if tests is None:
        row = {"problem": problem, "solution": final_answer(answer, roles.get("answer", "answer"))}
    else:
        solution = reference_program(raw) or cell_text(answer)
        row = {"problem": shown_problem(problem, raw, tests), "solution": solution, "tests": tests}
    if '"entry"' in cell_text(raw.get("task")):  # a saved generated problem: its own scorer verifies answers
        row["task"] = raw["task"]
    return row | {r: cell_text(raw.get(roles[r])) or None for r in ("level", "subject", "id") if r in roles}


def cell_text(value: Any) -> str:
    """A cell as stripped text: numbers without a spurious `.0`, empty for null and NaN."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, (list, tuple)):
        return ", ".join(map(cell_text, value))
    whole = isinstance(value, float) and value.is_integer() and abs(value) < 2**53
    return str(int(value) if whole else value).strip()


def final_answer(value: Any, column: str = "answer") -> str:
    r"""The gold answer in a cell: a bare answer, or a worked solution with `\boxed{...}` or a line `#### answer`.

    >>> final_answer("She has 3 + 4 = 7.\n#### 7")
    '7'
    """
    text = cell_text(value)
    if not text:
        raise DataError(f"the answer (column {column!r}) is empty")
    if hashes := _HASH_ANSWER.findall(text):
        return str(hashes[-1])
    boxed = last_boxed(text)
    if boxed is None and column.lower() in WORKED_COLUMNS and (len(text) > LONGEST_BARE_ANSWER or "\n\n" in text):
        raise DataError(f"the worked solution (column {column!r}) marks no answer with \\boxed{{}} or ####")
    return text if boxed is None else boxed


def last_boxed(text: str) -> str | None:
    r"""The content of the last `\boxed{...}` of a trusted text; `\boxed 5` and `\fbox{5}` count.

    >>> last_boxed(r"so \boxed{\frac{1}{2}}.")
    '\\frac{1}{2}'
    """
    boxes, _ = find_boxes(text)
    return (boxes[-1].answer or None) if boxes else None
