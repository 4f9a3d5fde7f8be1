"""Raw rows -> problem rows: which column holds what, and the answer inside a worked solution.

Promises that every row that leaves has a problem and either an answer or tests; anything else is an error
that names the place. Knows nothing about files, the Hub or generated tasks.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from trl_rlsp.errors import ConfigError, DataError, MissingColumnError
from trl_rlsp.problems.readers import Table
from trl_rlsp.text import find_boxes
from trl_rlsp.verification import has_test_columns, reference_program, shown_problem, tests_json

# Names looked for in this order, in any case, with blanks and hyphens read as underscores.
CANDIDATES: dict[str, tuple[str, ...]] = {
    "problem": ("problem", "question", "prompt", "description", "query", "instruction", "input", "text"),
    "answer": (
        *(
            "answer",
            "final_answer",
            "expected_answer",
            "gold",
            "gold_answer",
            "ground_truth",
            "target",
            "label",
        ),
        *("solution", "response", "output"),
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
"""Columns that are read beside those with a role; the rest of a table is not decoded."""
WORKED_COLUMNS = ("solution", "response", "output")
LONGEST_BARE_ANSWER = 300

_HASH_ANSWER = re.compile(r"^####[ \t]*(\S.*?)\s*$", re.MULTILINE)


def resolve_columns(
    table: Table, columns: Mapping[str, str] | None = None, preset: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Decide which column of a table of problems plays which role.

    Args:
        table: the raw rows.
        columns: the caller's map, role -> column; it wins.
        preset: the map of a known dataset; used where the caller's map is silent and the column is there.

    Returns:
        Role -> column, always with `problem`, and with `answer` or a source of tests.

    Raises:
        ConfigError: `columns` names a role that does not exist.
        MissingColumnError: a mapped column is absent, or none can be found for the problem or the answer.
    """
    found = match_columns(table, CANDIDATES, columns, preset)
    has_tests = "tests" in found or has_test_columns(table.columns)
    require_roles(table, found, CANDIDATES, ("problem",) if has_tests else ("problem", "answer"))
    return found


def match_columns(
    table: Table,
    candidates: Mapping[str, tuple[str, ...]],
    columns: Mapping[str, str] | None = None,
    preset: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Match roles to columns by the caller's map, then a preset's, then by name.

    Args:
        table: the raw rows.
        candidates: role -> names looked for, in order.
        columns: the caller's map, role -> column.
        preset: a known dataset's map.

    Returns:
        Role -> column for the roles that have one.

    Raises:
        ConfigError: `columns` names a role that does not exist.
        MissingColumnError: `columns` names a column that does not exist.
    """
    present = table.columns
    for role, column in (columns or {}).items():
        if role not in candidates:
            raise ConfigError(f"columns= maps roles ({', '.join(candidates)}) to columns, got the role {role!r}")
        if column not in present:
            raise MissingColumnError(
                f"{table.name} has no column {column!r} (asked for as {role}); it has {', '.join(present)}"
            )
    found = dict(columns or {})
    found |= {role: column for role, column in (preset or {}).items() if role not in found and column in present}
    for role, names in candidates.items():
        chosen = found.get(role) or _first_present(names, present, taken=found.values())
        if chosen:
            found[role] = chosen
    return found


def require_roles(
    table: Table, found: Mapping[str, str], candidates: Mapping[str, tuple[str, ...]], required: Iterable[str]
) -> None:
    """Refuse a table in which a role has no column.

    Args:
        table: the raw rows.
        found: role -> column, from `match_columns`.
        candidates: role -> names that were looked for.
        required: the roles that must have a column.

    Raises:
        MissingColumnError: one has none.
    """
    for role in required:
        if role not in found:
            raise MissingColumnError(
                f"{table.name} has no column for the {role}; it has {', '.join(table.columns)}. "
                f"Name it with columns={{{role!r}: COLUMN}} (looked for {', '.join(candidates[role])})"
            )


def _first_present(candidates: tuple[str, ...], present: list[str], taken: Iterable[str]) -> str | None:
    known = {re.sub(r"[\s-]", "_", name.strip().lower()): name for name in reversed(present) if name not in taken}
    return next((known[candidate] for candidate in candidates if candidate in known), None)


def problem_rows(table: Table, roles: Mapping[str, str], *, drop_invalid: bool = False) -> list[dict[str, Any]]:
    """Turn raw rows into problem rows.

    Args:
        table: the raw rows.
        roles: role -> column, from `resolve_columns`.
        drop_invalid: leave rows without a problem or an answer out instead of raising.

    Returns:
        Rows with `problem` (text or messages), `solution`, and those of `tests`, `level`, `subject`, `id`
        that the source has.

    Raises:
        DataError: a row without a problem or an answer, or no row left.
    """
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
    if not isinstance(problem, list):
        problem = cell_text(problem)
    if not problem:
        raise DataError(f"the problem (column {roles['problem']!r}) is empty")
    row: dict[str, Any] = {"problem": problem}
    tests = tests_json(raw, roles.get("tests"), problem if isinstance(problem, str) else "")
    if tests is not None:
        row["problem"] = shown_problem(problem, raw, tests)
        row["solution"] = reference_program(raw) or cell_text(raw.get(roles.get("answer", "")))
        row["tests"] = tests
    else:
        row["solution"] = final_answer(raw.get(roles.get("answer", "")), roles.get("answer", "answer"))
    if '"entry"' in cell_text(raw.get("task")):  # a generated problem that was saved: its own scorer decides
        row["task"] = raw["task"]
    for role in ("level", "subject", "id"):
        if role in roles:
            row[role] = cell_text(raw.get(roles[role])) or None
    return row


def cell_text(value: Any) -> str:
    """A cell as text: numbers without a spurious `.0`, nothing for null and NaN.

    Args:
        value: what a reader delivered.

    Returns:
        The stripped text, empty where there is none.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    if isinstance(value, (list, tuple)):
        return ", ".join(cell_text(item) for item in value)
    return str(value).strip()


def final_answer(value: Any, column: str = "answer") -> str:
    r"""The bare gold answer in a cell.

    Args:
        value: a bare answer, a worked solution that ends in `\boxed{...}`, or one whose last line is `####
            answer`.
        column: the name of its column: in one named like a worked solution, a long text without either mark
            is refused.

    Returns:
        The answer.

    Raises:
        DataError: the cell is empty, or a worked solution without a marked answer.

    >>> final_answer("She has 3 + 4 = 7.\n#### 7")
    '7'
    """
    text = cell_text(value)
    if not text:
        raise DataError(f"the answer (column {column!r}) is empty")
    hashes = _HASH_ANSWER.findall(text)
    if hashes:
        return str(hashes[-1])
    boxed = last_boxed(text)
    if boxed is not None:
        return boxed
    if column.lower() in WORKED_COLUMNS and (len(text) > LONGEST_BARE_ANSWER or "\n\n" in text):
        raise DataError(f"the worked solution (column {column!r}) marks no answer with \\boxed{{}} or ####")
    return text


def last_boxed(text: str) -> str | None:
    r"""The content of the last `\boxed{...}` of a trusted text.

    Args:
        text: a worked solution from a dataset (completions go through `answers`).

    Returns:
        The content, or `None` where there is no whole box; `\boxed 5` and `\fbox{5}` count.

    >>> last_boxed(r"so \boxed{\frac{1}{2}}.")
    '\\frac{1}{2}'
    """
    boxes, _ = find_boxes(text)
    return (boxes[-1].answer or None) if boxes else None
