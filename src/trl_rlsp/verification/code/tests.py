"""Tests of a row, brought to one form.

Understands `[{input, output}]`, `[{function, arguments, output}]`, assert statements, APPS (`inputs`,
`outputs`, maybe `fn_name`) and CodeContests (`public_tests`, `private_tests`, `generated_tests`), each as
data or as JSON text. Nothing here runs code.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from trl_rlsp.errors import DataError
from trl_rlsp.verification.code.asserts import read_assert, split_asserts
from trl_rlsp.verification.code.compare import RELATIVE_TOLERANCE, json_value

_CONTEST_COLUMNS = ("public_tests", "private_tests", "generated_tests")


@dataclass(frozen=True)
class CodeTest:
    """One test.

    Attributes:
        stdin: what a program reads; `None` where a function is called.
        expected: text a program must write, or the JSON value, as JSON text, a function must return.
        function: name of the function to call.
        arguments: Python literal of a list of arguments, or of a dict of keyword arguments.
        rel_tol: relative tolerance for numbers with a decimal point.
        abs_tol: absolute tolerance; only where the test states one.
        unordered: compare as sets.
    """

    expected: str
    stdin: str | None = None
    function: str = ""
    arguments: str = "[]"
    rel_tol: float = RELATIVE_TOLERANCE
    abs_tol: float = 0.0
    unordered: bool = False


def read_tests(tests: Any) -> list[CodeTest]:
    """Bring the tests of a row to one form.

    Args:
        tests: a list, a mapping, or text (JSON, or assert statements).

    Returns:
        At least one test, in the order given.

    Raises:
        DataError: no test, or one that cannot be read; then none counts, since a part of the tests would
            accept what all of them reject.
    """
    try:
        found = list(_read(tests))
    except (ValueError, TypeError, SyntaxError, KeyError, RecursionError, MemoryError) as error:
        raise DataError(f"the tests cannot be read: {type(error).__name__}: {error}") from error
    if not found:
        raise DataError("the row has no tests")
    return found


def without_visible(tests: Iterable[CodeTest], prompt: str) -> list[CodeTest]:
    """The tests whose input the prompt does not show; examples in the statement prove nothing.

    An input counts as shown where it stands on lines of its own, or after a colon; a call where it is written
    as `name(arguments)` or with its arguments as `name = value`. White space does not matter.

    Args:
        tests: all tests.
        prompt: text of the prompt.

    Returns:
        The others, in order.
    """
    lines = "\n" + re.sub(r"[ \t]+", " ", re.sub(r"\s*\n\s*", "\n", prompt)) + "\n"
    packed = re.sub(r"[ \t]", "", prompt)
    return [test for test in tests if not _is_visible(test, lines, packed)]


def _read(tests: Any) -> Iterable[CodeTest]:
    if isinstance(tests, str):
        try:
            tests = json.loads(tests)
        except json.JSONDecodeError:
            return [_from_assert(statement) for statement in split_asserts(tests)]
    if isinstance(tests, Mapping):
        return _from_mapping(tests)
    return [_one(test) for test in tests]


def _from_mapping(tests: Mapping[str, Any]) -> list[CodeTest]:
    columns = [tests[name] for name in _CONTEST_COLUMNS if tests.get(name)]
    if columns:
        return [test for column in columns for test in _from_mapping(column)]
    if "input_output" in tests:
        return list(_read(tests["input_output"]))
    if "function" in tests or not {"inputs", "input"} & tests.keys():
        return [_one(tests)]
    inputs, outputs = tests.get("inputs", tests.get("input")), tests.get("outputs", tests.get("output"))
    if isinstance(inputs, str):
        return [_one(tests)]
    pairs = list(zip(inputs or (), outputs or (), strict=True))
    name = tests.get("fn_name")
    if not name:
        return [CodeTest(stdin=_stream(given), expected=_stream(wanted)) for given, wanted in pairs]
    wrapped = all(isinstance(wanted, list) and len(wanted) == 1 for _, wanted in pairs)  # APPS: all or none
    return [_call(name, list(given), wanted[0] if wrapped else wanted) for given, wanted in pairs]


def _one(test: Any) -> CodeTest:
    if isinstance(test, str):
        return _from_assert(test)
    if not isinstance(test, Mapping) or "output" not in test:
        raise DataError(f"a test needs {{input, output}} or {{function, arguments, output}}, got {str(test)[:80]!r}")
    if test.get("function"):
        return _call(test["function"], test.get("arguments") or [], test["output"])
    if test.get("input") is None:
        raise DataError(f"a test has neither input nor function: {str(test)[:80]!r}")
    return CodeTest(stdin=_stream(test["input"]), expected=_stream(test["output"]))


def _from_assert(statement: str) -> CodeTest:
    read = read_assert(statement)
    return _call(
        read.function,
        read.arguments,
        read.expected,
        rel_tol=RELATIVE_TOLERANCE if read.rel_tol is None else read.rel_tol,
        abs_tol=read.abs_tol,
        unordered=read.unordered,
    )


def _call(function: Any, arguments: Any, expected: Any, **options: Any) -> CodeTest:
    if not isinstance(function, str) or not function.isidentifier():
        raise DataError(f"the function of a test must be a name, got {function!r}")
    if not isinstance(arguments, dict):
        arguments = list(arguments)
    text = repr(arguments)
    if ast.literal_eval(text) != arguments:
        raise DataError(f"the arguments of a test must be plain data, got {text[:80]}")
    return CodeTest(function=function, arguments=text, expected=json.dumps(json_value(expected)), **options)


def _stream(value: Any) -> str:
    """Text of an input or output; APPS gives some as lists of lines."""
    return "\n".join(map(str, value)) if isinstance(value, list) else str(value)


def _is_visible(test: CodeTest, lines: str, packed: str) -> bool:
    if test.stdin is not None:
        text = re.sub(r"[ \t]+", " ", re.sub(r"\s*\n\s*", "\n", test.stdin.strip()))
        return bool(text) and (f"\n{text}\n" in lines or f": {text}\n" in lines or f"`{text}`" in lines)
    arguments = ast.literal_eval(test.arguments)
    values = list(arguments.values()) if isinstance(arguments, dict) else arguments
    return any(_shows_call(packed, test.function, form) for form in _written(values))


def _written(values: list[Any]) -> list[list[str]]:
    forms = [[re.sub(r"\s", "", repr(value)) for value in values]]
    with suppress(TypeError, ValueError):
        forms.append([re.sub(r"\s", "", json.dumps(value)) for value in values])
    return forms


def _shows_call(packed: str, function: str, values: list[str]) -> bool:
    if f"{function}({','.join(values)})" in packed:
        return True
    named = r",?".join(rf"\w+={re.escape(value)}" for value in values)
    return bool(values) and re.search(named + r"(?![\w.])", packed) is not None
