"""Tests of code datasets in one form."""

from __future__ import annotations

import json

import pytest

from trl_rlsp.errors import DataError
from trl_rlsp.verification.code.tests import MAX_TESTS, read_tests, reference_program, shown_problem, tests_json

tests_json.__test__ = False  # not a test, whatever its name says


def converted(value):
    return json.loads(tests_json({"t": value}, "t", ""))


class TestForms:
    def test_apps_stdin_given_as_lines(self):
        value = json.dumps({"inputs": [["2", "1 2"]], "outputs": [["3"]]})
        assert converted(value) == [{"input": "2\n1 2", "output": "3"}]

    def test_code_contests_groups_in_order_and_capped(self):
        many = {"input": [str(n) for n in range(100)], "output": [str(n) for n in range(100)]}
        row = {
            "public_tests": {"input": ["p"], "output": ["q"]},
            "private_tests": None,
            "generated_tests": many,
        }
        tests = json.loads(tests_json(row, None, ""))
        assert tests[:2] == [{"input": "p", "output": "q"}, {"input": "0", "output": "0"}]
        assert len(tests) == MAX_TESTS

    @pytest.mark.parametrize(
        "value",
        [
            [{"input": None, "output": None, "function": "f", "arguments": [1]}],
            {"fn_name": "f", "inputs": [[1], [2]], "outputs": [[3], [4, 5]]},
            ["assert f([1, (2, 3)], 'x') == {'a': -1}", "assert not f()"],
            "def check(candidate):\n    assert candidate(1)\ncheck(f)",
        ],
    )
    def test_calls_and_statements_are_kept_for_the_verifier(self, value):
        assert read_tests(tests_json({"t": value}, "t", "")) == read_tests(value)

    def test_what_stands_beside_the_tests(self):
        source = "def check(candidate):\n    assert candidate(1) == 2\n"
        (test,) = read_tests(tests_json({"test": source, "entry_point": "f"}, "test", ""))
        assert test.function == "f"
        row = {
            "test_list": ["assert f(1) == 2"],
            "challenge_test_list": ["assert f(x) == 2"],
            "test_setup_code": "x = 1",
        }
        first, second = read_tests(tests_json(row, "test_list", ""))
        assert first.function == "f"
        assert second.statements == "x = 1\nassert f(x) == 2"

    def test_no_test_columns(self):
        assert tests_json({"answer": "1"}, None, "") is None


class TestErrors:
    @pytest.mark.parametrize(
        ("value", "message"),
        [
            ([], "the row has no tests"),
            (None, "the row has no tests"),
            ("{", "cannot be read"),
            ({"inputs": ["1"], "outputs": []}, "one output for each input, got 1 and 0"),
            ([{"input": "1"}], "a test needs"),
            ([3], "cannot be read"),
            ("def check(candidate):\n    assert candidate(1)", "which function is tested"),
        ],
    )
    def test_message(self, value, message):
        with pytest.raises(DataError, match=message):
            tests_json({"t": value}, "t", "")


class TestReferenceAndPrompt:
    @pytest.mark.parametrize(
        ("row", "program"),
        [
            ({"solutions": {"language": [2, 3, 3], "solution": ["c++", "first", "second"]}}, "first"),
            ({"solutions": {"language": [2], "solution": ["c++"]}}, ""),
            ({"solutions": '["one", "two"]'}, "one"),
            ({"solutions": ""}, ""),
            ({"code": "mbpp"}, "mbpp"),
            (
                {"entry_point": "f", "prompt": "def f():\n", "canonical_solution": "    return 1"},
                "def f():\n    return 1",
            ),
            ({}, ""),
        ],
    )
    def test_reference_program(self, row, program):
        assert reference_program(row) == program

    def test_the_function_to_write_is_named_once(self):
        tests = json.dumps([{"function": "inc", "arguments": [1], "output": 2}])
        assert shown_problem("Add one.", {}, tests) == "Add one.\n\nName the function `inc`."
        assert shown_problem("Write inc.", {}, tests) == "Write inc."
        assert shown_problem([{"role": "user", "content": "x"}], {}, tests) == [{"role": "user", "content": "x"}]
