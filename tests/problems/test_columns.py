r"""Which column is what, and the answer inside a worked solution."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trl_rlsp.errors import ConfigError, DataError, MissingColumnError
from trl_rlsp.problems._tables import Table, cell_text, final_answer, last_boxed, problem_rows, resolve_columns
from trl_rlsp.verification.code.tests import read_tests


def table(*rows: dict) -> Table:
    return Table("t.jsonl", list(rows), "line", list(range(1, len(rows) + 1)))


class TestResolveColumns:
    @pytest.mark.parametrize(
        ("present", "expected"),
        [
            (["problem", "solution", "answer"], {"problem": "problem", "answer": "answer"}),
            (["Problem", "Solution"], {"problem": "Problem", "answer": "Solution"}),
            (["question", "final-answer"], {"problem": "question", "answer": "final-answer"}),
            (["prompt", "ground truth"], {"problem": "prompt", "answer": "ground truth"}),
            (["description", "tests"], {"problem": "description", "tests": "tests"}),
            (["question", "input_output"], {"problem": "question", "tests": "input_output"}),
            (["description", "public_tests"], {"problem": "description"}),
            (
                ["task_id", "text", "code", "test_list"],  # MBPP
                {"problem": "text", "tests": "test_list", "id": "task_id"},
            ),
            (
                ["unique_id", "problem", "answer", "type", "difficulty"],
                {
                    "problem": "problem",
                    "answer": "answer",
                    "level": "difficulty",
                    "subject": "type",
                    "id": "unique_id",
                },
            ),
        ],
    )
    def test_found_by_name(self, present, expected):
        assert resolve_columns(table(dict.fromkeys(present, "x"))) == expected

    def test_explicit_map_wins_over_names(self):
        rows = table({"problem": "p", "answer": "a", "solution": "s", "gold": "g"})
        assert resolve_columns(rows, {"answer": "gold"})["answer"] == "gold"
        assert resolve_columns(rows)["answer"] == "answer"

    def test_one_column_plays_one_role(self):
        roles = resolve_columns(table({"prompt": "p", "target": "a"}), {"problem": "prompt"})
        assert roles == {"problem": "prompt", "answer": "target"}

    def test_unknown_role(self):
        with pytest.raises(ConfigError, match=r"maps roles \(problem, answer, .*got the role 'Question'"):
            resolve_columns(table({"Question": "p", "answer": "a"}), {"Question": "problem"})

    def test_mapped_column_that_is_absent(self):
        with pytest.raises(MissingColumnError, match=r"no column 'gold' .requested as answer.; it has p, a"):
            resolve_columns(table({"p": "1", "a": "2"}), {"answer": "gold"})

    def test_no_answer_column(self):
        with pytest.raises(MissingColumnError, match=r"no column for the answer; it has problem, level\. Name it"):
            resolve_columns(table({"problem": "1", "level": 2}))


class TestFinalAnswer:
    @pytest.mark.parametrize(
        ("cell", "answer"),
        [
            ("p - q", "p - q"),
            (60, "60"),
            (60.0, "60"),
            (0.5, "0.5"),
            (True, "True"),
            (["3", 4], "3, 4"),
            ("\\boxed{5}", "5"),
            ("First \\boxed{1}, so \\boxed{\\frac{1}{2}}.", "\\frac{1}{2}"),
            ("so $\\fbox{7}$", "7"),
            ("so $\\boxed 9$.", "9"),
            ("A set: \\boxed{\\{1, 2\\}}", "\\{1, 2\\}"),
            ("6 / 2 = <<6/2=3>>3\n#### 3", "3"),
            ("a\n#### 1,000  ", "1,000"),
        ],
    )
    def test_extraction(self, cell, answer):
        assert final_answer(cell) == answer

    @pytest.mark.parametrize("cell", [None, "", "  ", float("nan"), []])
    def test_empty(self, cell):
        with pytest.raises(DataError, match=r"the answer \(column 'gold'\) is empty"):
            final_answer(cell, "gold")

    def test_a_worked_solution_without_a_marked_answer(self):
        prose = "First we do this.\n\nThen we do that."
        with pytest.raises(DataError, match=r"'Solution'.* marks no answer"):
            final_answer(prose, "Solution")
        assert final_answer(prose, "answer") == prose
        assert final_answer("p - q", "solution") == "p - q"

    @settings(deadline=None)
    @given(st.text(alphabet="ab1\\ +^_,", min_size=1).filter(lambda text: text.strip() and not text.endswith("\\")))
    def test_what_is_boxed_comes_out(self, answer):
        assert last_boxed(f"see \\boxed{{0}} and \\boxed{{{answer}}} done") == answer.strip()

    @settings(deadline=None)
    @given(st.text(alphabet="\\boxed{} #\n1$"))
    def test_never_fails_on_strange_text(self, text):
        assert last_boxed(text) is None or isinstance(last_boxed(text), str)

    def test_an_open_box_is_no_box(self):
        assert last_boxed("\\boxed{1") is None
        assert last_boxed("\\boxed{}") is None


class TestProblemRows:
    def test_error_names_the_line_and_can_be_skipped(self):
        rows = table({"problem": "p", "answer": "1"}, {"problem": " ", "answer": "2"}, {"answer": "3"})
        roles = {"problem": "problem", "answer": "answer"}
        with pytest.raises(DataError, match=r"line 2 of t.jsonl: the problem \(column 'problem'\) is empty"):
            problem_rows(rows, roles)
        assert problem_rows(rows, roles, drop_invalid=True) == [{"problem": "p", "solution": "1"}]

    def test_no_row_left(self):
        with pytest.raises(DataError, match=r"no row of t.jsonl has a problem and an answer"):
            problem_rows(table({"problem": ""}), {"problem": "problem", "answer": "x"}, drop_invalid=True)

    def test_code_rows(self):
        raw = {
            "question": "Add one.",
            "input_output": json.dumps({"inputs": [[1]], "outputs": [[2]], "fn_name": "inc"}),
            "solutions": json.dumps(["def inc(n):\n    return n + 1"]),
            "starter_code": "def inc(n):\n",
        }
        (row,) = problem_rows(table(raw), resolve_columns(table(raw)))
        assert row["problem"] == "Add one.\n\nStart from this code:\n```python\ndef inc(n):\n```"
        assert row["solution"].startswith("def inc")
        assert read_tests(row["tests"]) == read_tests([{"function": "inc", "arguments": [1], "output": 2}])


@settings(deadline=None)
@given(st.integers() | st.text() | st.none() | st.floats())
def test_cell_text_is_stripped_text(value):
    text = cell_text(value)
    assert text == text.strip()
    if isinstance(value, int):
        assert int(text) == value
