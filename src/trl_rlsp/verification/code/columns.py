"""Tests, reference programs and problem texts in the columns of code data sets. Nothing here runs code."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from trl_rlsp.errors import DataError
from trl_rlsp.verification.code.tests import CONTEST_COLUMNS, read_tests

PYTHON3 = 3  # the code CodeContests gives to Python 3 among the languages of its solutions
MAX_TESTS = 64  # a few problems of CodeContests have hundreds of generated tests, which would only cost time
_BESIDE = ("entry_point", "test_imports", "test_setup_code", "challenge_test_list")
"""Columns of HumanEval, LeetCode and MBPP that belong to the tests."""


def has_test_columns(columns: Iterable[str]) -> bool:
    """Whether columns hold tests without a role pointing at them, as those of CodeContests do."""
    return bool(set(columns) & set(CONTEST_COLUMNS))


def tests_json(row: Mapping[str, Any], column: str | None, problem: str) -> str | None:
    """The tests of a row as JSON, a form that Arrow keeps whatever the arguments are.

    Args:
        row: a raw row.
        column: the column with the tests; `None` looks for the columns of CodeContests only.
        problem: the problem's text, for tests that leave the function's name to it.

    Returns:
        JSON that `read_tests` reads, of at most `MAX_TESTS` inputs and outputs; `None` where there is no such column.

    Raises:
        DataError: the columns are there but hold no test that can be read.
    """
    if column is None and not has_test_columns(row):
        return None
    tests: Any = {name: row.get(name) for name in CONTEST_COLUMNS} if column is None else row.get(column)
    beside = {name: row[name] for name in _BESIDE if row.get(name)}
    if isinstance(tests, str) and not beside:
        read = read_tests(tests, problem)
        tests = json.loads(tests) if tests.lstrip()[:1] in tuple("[{") else [tests]
    else:
        tests = {"tests": tests, **beside} if beside and column not in beside else tests
        read = read_tests(tests or (), problem)
    if all(test.stdin is not None for test in read):
        tests = [{"input": test.stdin, "output": test.expected} for test in read[:MAX_TESTS]]
    try:
        return json.dumps(tests, ensure_ascii=False)
    except TypeError as error:
        raise DataError(f"the tests (column {column!r}) have no JSON form: {error}") from error


def reference_program(row: Mapping[str, Any]) -> str:
    """A correct Python program of the row, for `rlsp check`; empty where it has none.

    Args:
        row: a raw row of CodeContests, APPS, MBPP or HumanEval.
    """
    solutions = row.get("solutions")
    if isinstance(solutions, str):
        try:
            solutions = json.loads(solutions)
        except json.JSONDecodeError:
            return ""
    if isinstance(solutions, Mapping):
        pairs = zip(solutions.get("language") or (), solutions.get("solution") or (), strict=False)
        solutions = [program for language, program in pairs if language == PYTHON3]
    if not solutions and isinstance(row.get("code"), str):
        return str(row["code"])
    if not solutions and row.get("entry_point") and isinstance(row.get("canonical_solution"), str):
        return f"{row.get('prompt') or ''}{row['canonical_solution']}"
    return next((program for program in solutions or () if isinstance(program, str)), "")


def shown_problem(problem: Any, row: Mapping[str, Any], tests: str) -> Any:
    """The problem text with what a program needs to be callable: the starter code, or the function's name.

    Args:
        problem: the problem text, or messages, which are left alone.
        row: a raw row, maybe with `starter_code`.
        tests: the row's tests, from `tests_json`.
    """
    if not isinstance(problem, str):
        return problem
    starter = row.get("starter_code")
    if isinstance(starter, str) and starter.strip():
        return f"{problem}\n\nStart from this code:\n```python\n{starter.strip()}\n```"
    test = read_tests(tests, problem)[0]
    function = test.function or next(iter(json.loads(test.functions).values()), "")
    if function and function.rpartition(".")[2] not in problem:
        kind = "method" if "." in function else "function"
        return f"{problem}\n\nName the {kind} `{function.replace('()', '')}`."
    return problem
