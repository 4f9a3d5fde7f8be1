"""Tests of a row, read from the form of its data set; the only reader of tests. Nothing here runs code.

Read are, as data or as JSON text: `[{input, output}]`, `[{function, arguments, output}]`, lists of assert statements
(MBPP), Python source (HumanEval and LeetCode with `test` and `entry_point`, KodCode), `inputs` and `outputs`, maybe
with `fn_name` (APPS, TACO), functional tests of LiveCodeBench, and `public_tests`, `private_tests`,
`generated_tests` (CodeContests).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from trl_rlsp.errors import DataError
from trl_rlsp.verification.code.asserts import read_source
from trl_rlsp.verification.code.call_harness import from_data, to_data
from trl_rlsp.verification.code.code_test import CodeTest

CONTEST_COLUMNS = ("public_tests", "private_tests", "generated_tests")
_SOURCE_COLUMNS = ("test", "tests", "test_list", "challenge_test_list")
_SETUP_COLUMNS = ("test_imports", "test_setup_code")

__all__ = ["CONTEST_COLUMNS", "CodeTest", "hidden_tests", "read_tests"]


def read_tests(tests: Any, prompt: str = "") -> list[CodeTest]:
    """Bring the tests of a row to one form.

    Args:
        tests: a list, a mapping (such as a row of the data set), or text (JSON or Python).
        prompt: the problem, for tests that leave the function's name to it.

    Returns:
        At least one test, in the order given.

    Raises:
        DataError: no test, or one that cannot be read; then none counts, since a part of the tests would
            accept what all of them reject.
    """
    try:
        found = list(_read(tests, prompt))
    except (ValueError, TypeError, SyntaxError, KeyError, AttributeError, RecursionError, MemoryError) as error:
        raise DataError(f"the tests cannot be read: {type(error).__name__}: {error}") from error
    if not found:
        raise DataError("the row has no tests")
    return found


def hidden_tests(tests: Iterable[CodeTest], prompt: str) -> list[CodeTest]:
    """The tests that count: those that the prompt does not show, or all where it shows all (MBPP).

    An input counts as shown where it stands on lines of its own, or after a colon; a call where it is written
    as `name(arguments)` or with its arguments as `name = value`. White space does not matter.
    """
    tests = list(tests)
    lines = "\n" + re.sub(r"[ \t]+", " ", re.sub(r"\s*\n\s*", "\n", prompt)) + "\n"
    packed = re.sub(r"[ \t]", "", prompt)
    return [test for test in tests if not _is_shown(test, lines, packed)] or tests


def _read(tests: Any, prompt: str) -> Iterator[CodeTest]:
    if isinstance(tests, str):
        try:
            tests = json.loads(tests)
        except json.JSONDecodeError:
            yield from read_source(tests, prompt=prompt)
            return
    if isinstance(tests, Mapping):
        yield from _from_mapping(tests, prompt)
        return
    for test in tests:
        yield from read_source(test, prompt=prompt) if isinstance(test, str) else [_one(test)]


def _from_mapping(tests: Mapping[str, Any], prompt: str) -> Iterator[CodeTest]:
    sources = [tests[name] for name in _SOURCE_COLUMNS if tests.get(name)]
    columns = [tests[name] for name in CONTEST_COLUMNS if tests.get(name)]
    if sources:
        setup = "\n".join(map(_lines, (tests.get(name) or "" for name in _SETUP_COLUMNS)))
        for source in sources:
            yield from read_source(f"{setup}\n{_lines(source)}", tests.get("entry_point") or "", prompt)
    elif columns:
        for column in columns:
            yield from _from_mapping(column, prompt)
    elif tests.get("input_output"):
        yield from _read(tests["input_output"], prompt)
    elif isinstance(tests.get("input"), str) or not {"inputs", "input"} & tests.keys() or tests.get("function"):
        yield _one(tests)
    else:
        yield from _parallel(tests, tests.get("fn_name"))


def _one(test: Mapping[str, Any]) -> CodeTest:
    if test.get("function"):
        return _call(test["function"], test.get("arguments") or [], test["output"])
    if test.get("input") is None or "output" not in test:
        raise DataError(f"a test needs {{input, output}} or {{function, arguments, output}}, got {str(test)[:80]!r}")
    if test.get("testtype") == "functional":
        arguments = [json.loads(line) for line in test["input"].splitlines()]
        return _call(test.get("fn_name") or test["metadata"]["func_name"], arguments, json.loads(test["output"]))
    return CodeTest(_lines(test["output"]), _lines(test["input"]))


def _parallel(tests: Mapping[str, Any], function: str | None) -> Iterator[CodeTest]:
    inputs, outputs = tests.get("inputs", tests.get("input")) or (), tests.get("outputs", tests.get("output")) or ()
    if len(inputs) != len(outputs):
        raise DataError(f"tests need one output for each input, got {len(inputs)} and {len(outputs)}")
    pairs = list(zip(inputs, outputs, strict=True))
    if not function:
        yield from (CodeTest(_lines(wanted), _lines(given)) for given, wanted in pairs)
        return
    wrapped = all(isinstance(wanted, list) and len(wanted) == 1 for _, wanted in pairs)  # APPS: all or none
    yield from (_call(function, given, wanted[0] if wrapped else wanted) for given, wanted in pairs)


def _call(function: Any, arguments: Any, expected: Any) -> CodeTest:
    if not isinstance(function, str) or not re.fullmatch(r"[^\W\d]\w*(\(\))?(\.[^\W\d]\w*)?", function):
        raise DataError(f"the function of a test must be a name, got {function!r}")
    keywords = arguments if isinstance(arguments, dict) else {}
    return CodeTest(to_data(expected), None, function, to_data([[] if keywords else list(arguments), keywords]))


def _lines(value: Any) -> str:
    """Text of an input, an output or source; some data sets give lists of lines."""
    return "\n".join(map(str, value)) if isinstance(value, list) else str(value)


def _is_shown(test: CodeTest, lines: str, packed: str) -> bool:
    if test.stdin is not None:
        text = re.sub(r"[ \t]+", " ", re.sub(r"\s*\n\s*", "\n", test.stdin.strip()))
        return bool(text) and (f"\n{text}\n" in lines or f": {text}\n" in lines or f"`{text}`" in lines)
    if test.statements:
        asserted = test.statements.rpartition("\n")[2].removeprefix("assert ")
        return re.sub(r"\s", "", asserted).replace('"', "'") in re.sub(r"\s", "", packed).replace('"', "'")
    positional, keywords = from_data(json.loads(test.arguments))  # type: ignore[misc]
    values = [*positional, *keywords.values()]  # type: ignore[has-type]
    return any(_shows_call(packed, test.function.rpartition(".")[2], form) for form in _written(values))


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
