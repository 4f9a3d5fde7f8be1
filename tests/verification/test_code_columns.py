"""Tests of code datasets in one form."""

from __future__ import annotations

import json

import pytest

from trl_rlsp.errors import DataError
from trl_rlsp.verification.code.columns import MAX_TESTS, assert_test, reference_program, shown_problem, tests_json

tests_json.__test__ = False  # not a test, whatever its name says


def converted(value):
    return json.loads(tests_json({"t": value}, "t"))


class TestForms:
    def test_ready_tests_pass_through_and_nulls_of_parquet_are_dropped(self):
        stdin = {"input": "1", "output": "2", "function": None, "arguments": None}
        call = {"input": None, "function": "f", "arguments": [1], "output": None}
        assert converted([stdin, call]) == [
            {"input": "1", "output": "2"},
            {"function": "f", "arguments": [1], "output": None},
        ]

    def test_apps_stdin_given_as_lines(self):
        value = json.dumps({"inputs": [["2", "1 2"]], "outputs": [["3"]]})
        assert converted(value) == [{"input": "2\n1 2", "output": "3"}]

    def test_apps_calls_unwrap_only_where_every_value_is_wrapped(self):
        wrapped = {"fn_name": "f", "inputs": [[1], [2]], "outputs": [[3], [4]]}
        bare = {"fn_name": "f", "inputs": [[1], [2]], "outputs": [[3], [4, 5]]}
        assert [test["output"] for test in converted(json.dumps(wrapped))] == [3, 4]
        assert [test["output"] for test in converted(json.dumps(bare))] == [[3], [4, 5]]

    def test_code_contests_groups_in_order_and_capped(self):
        many = {"input": [str(n) for n in range(100)], "output": [str(n) for n in range(100)]}
        row = {
            "public_tests": {"input": ["p"], "output": ["q"]},
            "private_tests": None,
            "generated_tests": many,
        }
        tests = json.loads(tests_json(row, None))
        assert tests[:2] == [{"input": "p", "output": "q"}, {"input": "0", "output": "0"}]
        assert len(tests) == MAX_TESTS

    def test_assert_statements(self):
        assert converted(["assert f([1, (2, 3)], 'x') == {'a': -1}", "assert f() == None"]) == [
            {"function": "f", "arguments": [[1, [2, 3]], "x"], "output": {"a": -1}},
            {"function": "f", "arguments": [], "output": None},
        ]

    def test_no_test_columns(self):
        assert tests_json({"answer": "1"}, None) is None


class TestErrors:
    @pytest.mark.parametrize(
        ("value", "message"),
        [
            ([], "the row has no tests"),
            (None, "the row has no tests"),
            ("{", "are text but not JSON"),
            ({"inputs": ["1"], "outputs": []}, "one output for each input, got 1 and 0"),
            ([{"input": "1"}], "a test .column 't'. must be"),
            ([3], "a test .column 't'. must be .*got '3'"),
        ],
    )
    def test_message(self, value, message):
        with pytest.raises(DataError, match=message):
            tests_json({"t": value}, "t")

    @pytest.mark.parametrize(
        "statement",
        [
            "assert f(1)",
            "assert f(1) != 2",
            "assert f(x) == 2",
            "assert a.f(1) == 2",
            "assert f(n=1) == 2",
            "assert f(1) == {1, 2}",
            "assert 1 == 1",
            "print(1)",
            "assert f(",
            "",
        ],
    )
    def test_asserts_that_cannot_be_converted(self, statement):
        with pytest.raises(DataError, match="cannot be converted"):
            assert_test(statement)


class TestReferenceAndPrompt:
    @pytest.mark.parametrize(
        ("row", "program"),
        [
            ({"solutions": {"language": [2, 3, 3], "solution": ["c++", "first", "second"]}}, "first"),
            ({"solutions": {"language": [2], "solution": ["c++"]}}, ""),
            ({"solutions": '["one", "two"]'}, "one"),
            ({"solutions": ""}, ""),
            ({"code": "mbpp"}, "mbpp"),
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
