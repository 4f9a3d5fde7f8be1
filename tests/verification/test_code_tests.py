"""Every form tests come in, brought to one; which of them a prompt shows."""

from __future__ import annotations

import json
from typing import Any

import pytest

from trl_rlsp.errors import DataError
from trl_rlsp.verification.code._harness import from_data, to_data
from trl_rlsp.verification.code.tests import CodeTest, hidden_tests, read_tests


def stdin_test(given: str, expected: str) -> CodeTest:
    return CodeTest(stdin=given, expected=expected)


def call(arguments: list[Any], expected: Any, keywords: dict[str, Any] | None = None, **options: Any) -> CodeTest:
    options = {"function": "f", **options}
    return CodeTest(arguments=to_data([arguments, keywords or {}]), expected=to_data(expected), **options)


def asserted(arguments: list[Any], expected: Any, keywords: dict[str, Any] | None = None, **options: Any) -> CodeTest:
    return call(arguments, expected, keywords, exact=True, **options)


def statements(text: str, **functions: str) -> CodeTest:
    return CodeTest("null", statements=text, functions=json.dumps(functions))


CONTESTS = {
    "public_tests": {"input": ["1\n"], "output": ["2\n"]},
    "private_tests": {"input": [], "output": []},
    "generated_tests": {"input": ["3\n", "5\n"], "output": ["4\n", "6\n"]},
}
HUMAN_EVAL = {"test": "def check(candidate):\n    assert candidate(1) == 2\n", "entry_point": "f"}
LEETCODE = "def check(candidate):\n    assert candidate(x = 1) == 2\n\ncheck(Solution().f)"
KODCODE = "from solution import f\n\ndef test_one():\n    assert f(1) == 2\n"
MBPP = {"test_list": ["assert f(1) == 2"], "test_imports": ["import math"], "challenge_test_list": ["assert f(2) == 3"]}
LIVE_CODE_BENCH = [{"input": "[1]\n2", "output": "3", "testtype": "functional", "metadata": {"func_name": "f"}}]
FORMS = [
    ([{"input": "1", "output": "2"}], [stdin_test("1", "2")]),
    ([{"input": ["1", "2"], "output": ["3"]}], [stdin_test("1\n2", "3")]),
    ({"input": "1", "output": "2"}, [stdin_test("1", "2")]),
    ([{"function": "f", "arguments": [[1], "a"], "output": {"k": None}}], [call([[1], "a"], {"k": None})]),
    ([{"function": "f", "arguments": {"x": 1}, "output": 2}], [call([], 2, {"x": 1})]),
    # Parquet fills the fields of the other kind of test with null.
    ([{"input": None, "function": "f", "arguments": [], "output": 2}], [call([], 2)]),
    ({"inputs": ["1\n"], "outputs": ["2\n"]}, [stdin_test("1\n", "2\n")]),
    # APPS: one test, two arguments; the returned value is wrapped in a list.
    ({"fn_name": "f", "inputs": [[1, 2]], "outputs": [[3]]}, [call([1, 2], 3)]),
    ({"fn_name": "f", "inputs": [[1], [2]], "outputs": [[3], [4, 5]]}, [call([1], [3]), call([2], [4, 5])]),
    ({"input_output": '{"inputs": ["1"], "outputs": ["2"]}'}, [stdin_test("1", "2")]),
    (CONTESTS, [stdin_test("1\n", "2\n"), stdin_test("3\n", "4\n"), stdin_test("5\n", "6\n")]),
    (LIVE_CODE_BENCH, [call([[1], 2], 3)]),
    (["assert f(1, (2,)) == [3]"], [asserted([1, (2,)], [3])]),
    ("assert f(1) == 2\nassert f(2) == 3", [asserted([1], 2), asserted([2], 3)]),
    (MBPP, [asserted([1], 2), asserted([2], 3)]),
    (HUMAN_EVAL, [asserted([1], 2)]),
    (LEETCODE, [asserted([], 2, {"x": 1}, function="Solution().f")]),
    (KODCODE, [asserted([1], 2)]),
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
        ["assert f(x) == 1"],  # what x is nobody says
        ["assert f(g(1)) == 1"],  # f may be the program's and g the test's, or the other way round
        ["import os"],
        "def check(candidate):\n    assert candidate(1) == 2\n",  # no name to call
        "assert True",
        "assert (f(1)",
        "[" * 100_000,
    ],
)
def test_unusable_tests_are_an_error(tests: Any) -> None:
    with pytest.raises(DataError):
        read_tests(tests)


ASSERTS = [
    ("assert f(1) == 2", asserted([1], 2)),
    ("assert 2 == f(1)", asserted([1], 2)),
    ("assert f(-1, {'a': (1,)}) == 2", asserted([-1, {"a": (1,)}], 2)),
    ("assert f(1) is None, 'message'", statements("assert f(1) is None", f="f")),
    ("assert f(1)", statements("assert f(1)", f="f")),
    ("assert not f(1), f(1)", statements("assert not f(1)", f="f")),
    ("assert f(1, b=2) == 3", asserted([1], 3, {"b": 2})),
    ("assert sum(1, 2) == 3", asserted([1, 2], 3, function="sum")),  # the program may define it
    ("assert Solution().f(1) == 3", asserted([1], 3, function="Solution().f")),
    ("assert math.isclose(f(1), 2.5)", statements("assert math.isclose(f(1), 2.5)", f="f")),
    ("assert abs(f(1) - 2) < 1e-3, 'far'", statements("assert abs(f(1) - 2) < 0.001", f="f")),
    ("assert set(f([1])) == {4}", statements("assert set(f([1])) == {4}", f="f")),
    ("assert f(3 * 19) == [3, 19]", statements("assert f(3 * 19) == [3, 19]", f="f")),
    ("assert f(f(1)) != 1 > f(2)", statements("assert f(f(1)) != 1 > f(2)", f="f")),
    ("for i in range(3):\n    assert f(i) == i", statements("for i in range(3):\n    assert f(i) == i", f="f")),
    ("x = 2\nassert f(x) == 3", statements("x = 2\nassert f(x) == 3", f="f")),
    ("assert len(Solution().f(1)) == 3", statements("assert len(Solution_f(1)) == 3", Solution_f="Solution().f")),
]  # fmt: skip


@pytest.mark.parametrize(("statement", "expected"), ASSERTS)
def test_asserts(statement: str, expected: CodeTest) -> None:
    assert read_tests(statement) == [expected]


CHECK = "def check(candidate):\n    assert candidate(1) == 2\n    for i in range(2):\n        assert candidate(i)\n"
PROMPTS = [
    ("def f(x):\n    ...\n", "f"),
    ("class Solution:\n    def helper(self): ...\n    def f(self, x: int) -> int:\n", "Solution().f"),
    ("Write this.\n```python\ndef f(x):\n    ...\n```", "f"),
]


@pytest.mark.parametrize(("prompt", "function"), PROMPTS)
def test_the_function_that_the_prompt_starts(prompt: str, function: str) -> None:
    assert read_tests(CHECK.partition("    for")[0], prompt) == [asserted([1], 2, function=function)]
    body = "assert candidate(1) == 2\nfor i in range(2):\n    assert candidate(i)"
    assert read_tests(CHECK, prompt) == [statements(body, candidate=function)]


def test_a_function_of_the_prompt_is_the_tests_not_the_programs() -> None:
    prompt = "def poly(x):\n    return x - 2\n\ndef zero():\n    ...\n"
    tests = read_tests("def check(candidate):\n    assert poly(candidate()) == 0", prompt)
    text = "def poly(x):\n    return x - 2\nassert poly(candidate()) == 0"
    assert tests == [statements(text, candidate="zero")]
    with pytest.raises(DataError, match="poly"):
        read_tests("def check(candidate):\n    assert poly(candidate()) == 0\ncheck(zero)")


def test_data_keeps_the_types_of_python() -> None:
    value = [(1, 2.5), {1: (None,), "a": {3}}, frozenset([4]), b"ab", 1j, True]
    assert from_data(json.loads(to_data(value))) == value
    with pytest.raises(TypeError, match="not plain data"):
        to_data(object())


VISIBLE = [
    (stdin_test("3\n1 2 3\n", ""), "Example\nInput\n3\n1 2  3\nOutput\n6", True),
    (stdin_test("3\n1 2 3\n", ""), "Add 3 numbers such as 1 2 3.", False),
    (stdin_test("3", ""), "Print the factorial of n, n < 3.", False),
    (stdin_test("3", ""), "Input: 3\nOutput: 6", True),
    (stdin_test("3", ""), "For `3` print 6.", True),
    (stdin_test("", ""), "Print hello.", False),
    (call([[1, 2], "a"], 3), 'f([1,2], "a") gives 3', True),
    (call([[1, 2], "a"], 3), "nums = [1, 2], letter = 'a'\nReturns 3", True),
    (call([[1, 2], "b"], 3), "f([1, 2], 'a')", False),
    (call([5], 3), "x = 57", False),
    (statements("assert abs(f('a') - 2) < 1", f="f"), 'Your code must pass: assert abs(f("a")-2) < 1', True),
]


@pytest.mark.parametrize(("test", "prompt", "visible"), VISIBLE)
def test_what_a_prompt_shows(test: CodeTest, prompt: str, visible: bool) -> None:
    other = stdin_test("not shown", "x")
    assert hidden_tests([test, other], prompt) == ([other] if visible else [test, other])


def test_where_the_prompt_shows_all_tests_all_count() -> None:
    # MBPP's usual prompt holds every test of its row.
    tests = read_tests(["assert f(1) == 2", "assert f(2) == 3"])
    assert hidden_tests(tests, "Your code must pass:\nassert f(1) == 2\nassert f(2) == 3") == tests
