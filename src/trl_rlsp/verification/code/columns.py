"""Tests and reference programs of code datasets, brought to one form.

Understands the columns of CodeContests (`public_tests`, `private_tests`, `generated_tests`: parallel lists of
inputs and outputs), of APPS (`input_output`: JSON with `inputs`, `outputs` and maybe `fn_name`), of MBPP
(assert statements), and rows that already have a list of tests. Nothing here runs code.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable, Mapping
from typing import Any

from trl_rlsp.errors import DataError

CODE_CONTESTS_COLUMNS = ("public_tests", "private_tests", "generated_tests")
PYTHON3 = 3  # the code CodeContests gives to Python 3 among the languages of its solutions
MAX_TESTS = 64  # a few problems of CodeContests have hundreds of generated tests, which would only cost time


def has_test_columns(columns: Iterable[str]) -> bool:
    """Whether columns hold tests without a role pointing at them.

    Args:
        columns: the column names of a source.

    Returns:
        `True` for the columns of CodeContests.
    """
    return bool(set(columns) & set(CODE_CONTESTS_COLUMNS))


def tests_json(row: Mapping[str, Any], column: str | None) -> str | None:
    """The tests of a row as a JSON list, a form that Arrow keeps whatever the arguments are.

    Args:
        row: a raw row.
        column: the column with the tests; `None` looks for the columns of CodeContests only.

    Returns:
        JSON of `[{"input": str, "output": str}, ...]` or `[{"function": str, "arguments": list, "output":
        any}, ...]`; `None` where the row has no such columns.

    Raises:
        DataError: the columns are there but hold no usable test.
    """
    if column is not None:
        tests = _tests_of(row.get(column), column)
    elif has_test_columns(row):
        groups = (row.get(name) or {} for name in CODE_CONTESTS_COLUMNS)
        tests = [test for group in groups for test in _stdin_tests(group.get("input"), group.get("output"))]
    else:
        return None
    if not tests:
        raise DataError("the row has no tests")
    return json.dumps(tests[:MAX_TESTS], ensure_ascii=False)


def _tests_of(value: Any, column: str) -> list[dict[str, Any]]:
    if isinstance(value, str) and value.strip():
        try:
            value = json.loads(value)
        except (json.JSONDecodeError, RecursionError) as error:
            raise DataError(f"the tests (column {column!r}) are text but not JSON: {error}") from error
    if isinstance(value, Mapping):
        return _parallel_tests(value)
    tests = [_one_test(test, column) for test in value or ()]
    return tests


def _one_test(test: Any, column: str) -> dict[str, Any]:
    if isinstance(test, str):
        return assert_test(test)
    if isinstance(test, Mapping) and "output" in test and ("input" in test or {"function", "arguments"} <= set(test)):
        # Parquet gives every row every field, null where another row's kind of test has it.
        fields = ("input", "output") if test.get("input") is not None else ("function", "arguments", "output")
        return {name: test[name] for name in fields}
    raise DataError(
        f"a test (column {column!r}) must be {{input, output}}, {{function, arguments, output}} or an assert "
        f"statement, got {str(test)[:80]!r}"
    )


def _parallel_tests(value: Mapping[str, Any]) -> list[dict[str, Any]]:
    inputs, outputs = value.get("inputs", value.get("input")), value.get("outputs", value.get("output"))
    function = value.get("fn_name")
    if not function:
        return _stdin_tests(inputs, outputs)
    _same_length(inputs, outputs)
    outputs = list(outputs or ())
    # APPS wraps the value a function returns in a list of one, in all tests of a problem or in none.
    if outputs and all(isinstance(output, list) and len(output) == 1 for output in outputs):
        outputs = [output[0] for output in outputs]
    return [
        {"function": function, "arguments": list(arguments), "output": output}
        for arguments, output in zip(inputs or (), outputs, strict=True)
    ]


def _stdin_tests(inputs: Any, outputs: Any) -> list[dict[str, str]]:
    _same_length(inputs, outputs)
    pairs = zip(inputs or (), outputs or (), strict=True)
    return [{"input": _stream_text(given), "output": _stream_text(expected)} for given, expected in pairs]


def _same_length(inputs: Any, outputs: Any) -> None:
    if len(inputs or ()) != len(outputs or ()):
        raise DataError(f"tests need one output for each input, got {len(inputs or ())} and {len(outputs or ())}")


def _stream_text(value: Any) -> str:
    return "\n".join(map(str, value)) if isinstance(value, list) else str(value)


def assert_test(statement: str) -> dict[str, Any]:
    """Read `assert f(1, 2) == 3` as a call and its expected value.

    Args:
        statement: the assert statement; arguments and value must be literals that JSON can hold.

    Returns:
        `{"function": "f", "arguments": [1, 2], "output": 3}`; tuples become lists.

    Raises:
        DataError: any other statement.
    """
    try:
        body = ast.parse(statement.strip()).body
        node = body[0] if len(body) == 1 else None
        compare = node.test if isinstance(node, ast.Assert) else None
        if not (isinstance(compare, ast.Compare) and len(compare.ops) == 1 and isinstance(compare.ops[0], ast.Eq)):
            raise ValueError("not of the form assert f(...) == value")
        call = compare.left
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and not call.keywords):
            raise ValueError("the left side is not a plain call")
        arguments = [ast.literal_eval(argument) for argument in call.args]
        test = {
            "function": call.func.id,
            "arguments": arguments,
            "output": ast.literal_eval(compare.comparators[0]),
        }
        return dict(json.loads(json.dumps(test)))
    except (SyntaxError, ValueError, TypeError, RecursionError) as error:
        raise DataError(f"the test {statement.strip()[:80]!r} cannot be converted: {error}") from error


def reference_program(row: Mapping[str, Any]) -> str:
    """A correct Python program of the row, for `rlsp check`.

    Args:
        row: a raw row of CodeContests, APPS or MBPP.

    Returns:
        The first correct Python 3 program, empty where the row has none.
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
    return next((program for program in solutions or () if isinstance(program, str)), "")


def shown_problem(problem: Any, row: Mapping[str, Any], tests: str) -> Any:
    """The problem text with what a program needs to be callable: the starter code, or the function's name.

    Args:
        problem: the problem text, or messages, which are left alone.
        row: a raw row, maybe with `starter_code`.
        tests: the row's tests, from `tests_json`.

    Returns:
        The problem to show.
    """
    if not isinstance(problem, str):
        return problem
    starter = row.get("starter_code")
    if isinstance(starter, str) and starter.strip():
        return f"{problem}\n\nStart from this code:\n```python\n{starter.strip()}\n```"
    function = json.loads(tests)[0].get("function")
    if function and function not in problem:
        return f"{problem}\n\nName the function `{function}`."
    return problem
