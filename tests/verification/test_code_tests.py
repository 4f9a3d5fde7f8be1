"""Every form tests come in, brought to one; which of them a prompt shows."""

from __future__ import annotations

import json
from typing import Any

import pytest

from trl_rlsp.errors import DataError
from trl_rlsp.verification.code.asserts import read_assert, split_asserts
from trl_rlsp.verification.code.tests import CodeTest, read_tests, without_visible


def stdin_test(given: str, expected: str) -> CodeTest:
    return CodeTest(stdin=given, expected=expected)


def call(arguments: str, expected: str, function: str = "f", **options: Any) -> CodeTest:
    return CodeTest(function=function, arguments=arguments, expected=expected, **options)


CONTESTS = {
    "public_tests": {"input": ["1\n"], "output": ["2\n"]},
    "private_tests": {"input": [], "output": []},
    "generated_tests": {"input": ["3\n", "5\n"], "output": ["4\n", "6\n"]},
}
FORMS = [
    ([{"input": "1", "output": "2"}], [stdin_test("1", "2")]),
    ([{"input": ["1", "2"], "output": ["3"]}], [stdin_test("1\n2", "3")]),
    ({"input": "1", "output": "2"}, [stdin_test("1", "2")]),
    ([{"function": "f", "arguments": [[1], "a"], "output": {"k": None}}], [call("[[1], 'a']", '{"k": null}')]),
    ([{"function": "f", "arguments": {"x": 1}, "output": 2}], [call("{'x': 1}", "2")]),
    # Parquet fills the fields of the other kind of test with null.
    ([{"input": None, "function": "f", "arguments": [], "output": 2}], [call("[]", "2")]),
    ({"inputs": ["1\n"], "outputs": ["2\n"]}, [stdin_test("1\n", "2\n")]),
    # APPS: one test, two arguments; the returned value is wrapped in a list.
    ({"fn_name": "f", "inputs": [[1, 2]], "outputs": [[3]]}, [call("[1, 2]", "3")]),
    ({"fn_name": "f", "inputs": [[1], [2]], "outputs": [[3], [4, 5]]}, [call("[1]", "[3]"), call("[2]", "[4, 5]")]),
    ({"input_output": '{"inputs": ["1"], "outputs": ["2"]}'}, [stdin_test("1", "2")]),
    (CONTESTS, [stdin_test("1\n", "2\n"), stdin_test("3\n", "4\n"), stdin_test("5\n", "6\n")]),
    (["assert f(1, (2,)) == [3]"], [call("[1, (2,)]", "[3]")]),
    ("assert f(1) == 2\nassert f(2) == 3", [call("[1]", "2"), call("[2]", "3")]),
]  # fmt: skip


@pytest.mark.parametrize(("tests", "expected"), FORMS)
def test_forms(tests: Any, expected: list[CodeTest]) -> None:
    assert read_tests(tests) == expected
    if not isinstance(tests, str):
        assert read_tests(json.dumps(tests)) == expected


@pytest.mark.parametrize(
    "tests",
    [
        None,
        [],
        {},
        "",
        "not json",
        5,
        [5],
        [{"input": "1"}],
        [{"output": "1"}],
        [{"function": "f", "arguments": [], "output": "1"}, {"input": "1"}],
        [{"function": "import os", "arguments": [], "output": 1}],
        {"inputs": ["1", "2"], "outputs": ["1"]},
        {"fn_name": "f", "inputs": [1], "outputs": [1]},
        ["assert f(x) == 1"],
        ["assert f(1) == 2", "assert g()[0] == 1"],
        ["import os"],
        "[" * 100_000,
    ],
)
def test_unusable_tests_are_an_error(tests: Any) -> None:
    with pytest.raises(DataError):
        read_tests(tests)


ASSERTS = [
    ("assert f(1) == 2", ([1], 2)),
    ("assert 2 == f(1)", ([1], 2)),
    ("assert f(-1, x) == 2".replace("x", "{'a': (1,)}"), ([-1, {"a": (1,)}], 2)),
    ("assert f(1) is None, 'message'", ([1], None)),
    ("assert f(1)", ([1], True)),
    ("assert not f(1)", ([1], False)),
    ("assert f(a=1, b=2) == 3", ({"a": 1, "b": 2}, 3)),
]


@pytest.mark.parametrize(("statement", "expected"), ASSERTS)
def test_asserts(statement: str, expected: tuple[Any, Any]) -> None:
    read = read_assert(statement)
    assert (read.function, read.arguments, read.expected) == ("f", *expected)


def test_asserts_with_tolerance_or_sets() -> None:
    close = read_assert("assert math.isclose(f(1), 2.5, rel_tol=0.001)")
    assert (close.expected, close.rel_tol, close.abs_tol) == (2.5, 0.001, 0.0)
    error = read_assert("assert abs(f(1) - 2) < 1e-3")
    assert (error.expected, error.rel_tol, error.abs_tol) == (2.0, 0.0, 1e-3)
    sets = read_assert("assert set(f([1])) == set((4, 5))")
    assert (sets.arguments, sets.expected, sets.unordered) == ([[1]], {4, 5}, True)


@pytest.mark.parametrize(
    "statement",
    ["assert f(1) > 2", "assert f(1) == g(2)", "assert f(1, a=2) == 3", "assert a.f(1) == 2", "f(1)", "assert (f(1)"],
)
def test_other_asserts_are_refused(statement: str) -> None:
    with pytest.raises((ValueError, SyntaxError)):
        read_assert(statement)


def test_a_check_function_is_split() -> None:
    text = "METADATA = {}\ndef check(candidate):\n    assert candidate(1) == 2\n    assert candidate(2) == 3\n"
    assert split_asserts(text) == ["assert candidate(1) == 2", "assert candidate(2) == 3"]
    with pytest.raises(ValueError, match="only assert statements"):
        split_asserts("for i in range(3):\n    assert f(i) == i")


VISIBLE = [
    (stdin_test("3\n1 2 3\n", ""), "Example\nInput\n3\n1 2  3\nOutput\n6", True),
    (stdin_test("3\n1 2 3\n", ""), "Add 3 numbers such as 1 2 3.", False),
    (stdin_test("3", ""), "Print the factorial of n, n < 3.", False),
    (stdin_test("3", ""), "Input: 3\nOutput: 6", True),
    (stdin_test("3", ""), "For `3` print 6.", True),
    (stdin_test("", ""), "Print hello.", False),
    (call("[[1, 2], 'a']", "3"), 'f([1,2], "a") gives 3', True),
    (call("[[1, 2], 'a']", "3"), "nums = [1, 2], letter = 'a'\nReturns 3", True),
    (call("[[1, 2], 'b']", "3"), "f([1, 2], 'a')", False),
    (call("[5]", "3"), "x = 57", False),
]


@pytest.mark.parametrize(("test", "prompt", "visible"), VISIBLE)
def test_what_a_prompt_shows(test: CodeTest, prompt: str, visible: bool) -> None:
    assert without_visible([test], prompt) == ([] if visible else [test])
