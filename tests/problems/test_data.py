"""`load_problems`: from each kind of source to rows, and every way in which a source can be wrong."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from trl_rlsp.errors import ConfigError, DataError, MissingColumnError, SourceError
from trl_rlsp.problems import _tables
from trl_rlsp.problems.data import (
    CODE_SYSTEM_PROMPT,
    DEFAULT_SYSTEM_PROMPT,
    load_problems,
    problem_key,
    prompt_messages,
)

SHARED = Path(os.environ.get("TRL_RLSP_DATA", Path(__file__).parents[3] / "shared" / "data"))
COUNTDOWN = "reasoning_gym:countdown?min_numbers=3&max_numbers=3&max_value=9&min_target=1&max_target=99"


def write_jsonl(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def sums(tmp_path: Path) -> Path:
    sums = [{"problem": f"What is {n} + {n}?", "answer": 2 * n, "level": n % 3} for n in range(40)]
    rows = [row | {"id": f"s{n}"} for n, row in enumerate(sums)]
    return write_jsonl(tmp_path / "sums.jsonl", rows)


def shared_file(name: str) -> Path:
    path = SHARED / name
    if not path.is_file():
        pytest.skip(f"{name} is not at {SHARED}; set TRL_RLSP_DATA to its folder")
    return path


class TestRows:
    def test_a_row_has_messages_a_solution_and_what_the_source_adds(self, sums):
        row = load_problems(sums)[3]
        assert row == {
            "prompt": [
                {"role": "system", "content": DEFAULT_SYSTEM_PROMPT},
                {"role": "user", "content": "What is 3 + 3?"},
            ],
            "solution": "6",
            "level": "0",
            "id": "s3",
        }

    def test_system_prompt_own_or_none(self, sums):
        assert load_problems(sums, system_prompt="Be brief.")[0]["prompt"][0]["content"] == "Be brief."
        assert [message["role"] for message in load_problems(sums, system_prompt=None)[0]["prompt"]] == ["user"]

    def test_default_system_prompt_asks_for_reasoning_and_one_boxed_answer(self):
        assert "step by step" in DEFAULT_SYSTEM_PROMPT
        assert "once, in \\boxed{}" in DEFAULT_SYSTEM_PROMPT

    def test_rows_with_tests_get_the_code_prompt_and_keep_their_tests(self, tmp_path):
        tests = [{"input": "1\n", "output": "2\n"}, {"function": "f", "arguments": [1, [2]], "output": None}]
        path = write_jsonl(tmp_path / "code.jsonl", [{"problem": "Double it with f.", "tests": tests}])
        row = load_problems(path)[0]
        assert row["prompt"][0]["content"] == CODE_SYSTEM_PROMPT
        assert json.loads(row["tests"]) == tests
        assert row["solution"] == ""

    def test_messages_in_the_source_are_kept(self, tmp_path):
        chat = [{"role": "system", "content": "Mine."}, {"role": "user", "content": "1 + 1?"}]
        path = write_jsonl(tmp_path / "chat.jsonl", [{"prompt": chat, "answer": "2"}])
        assert load_problems(path)[0]["prompt"] == chat
        assert prompt_messages(chat[1:], "Yours.")[0] == {"role": "system", "content": "Yours."}

    def test_limit_is_a_seeded_sample_in_order(self, sums):
        first, again = load_problems(sums, limit=10, seed=1), load_problems(sums, limit=10, seed=1)
        numbers = [int(name[1:]) for name in first["id"]]
        assert first["id"] == again["id"] != load_problems(sums, limit=10, seed=2)["id"]
        assert numbers == sorted(numbers) != list(range(10))
        assert len(load_problems(sums, limit=1000)) == 40

    def test_only_the_rows_and_columns_that_are_needed_are_decoded(self, tmp_path, monkeypatch):
        """Rows of CodeContests carry hundreds of wrong solutions; a limit of 4 must not decode 40 of them."""
        from datasets import Dataset

        rows = [{"problem": f"{n}?", "answer": str(n), "incorrect_solutions": ["x"] * 9} for n in range(40)]
        path = tmp_path / "rows.parquet"
        Dataset.from_list(rows).to_parquet(path)
        expected = load_problems(path, limit=4, seed=3)
        decoded = []
        whole = _tables._problem_row
        monkeypatch.setattr(_tables, "_problem_row", lambda raw, roles: decoded.append(raw) or whole(raw, roles))
        assert load_problems(path, limit=4, seed=3).to_list() == expected.to_list()
        assert [sorted(raw) for raw in decoded] == [["answer", "problem"]] * 4
        numbers = sorted(random.Random(3).sample(range(40), 4))  # the rows that were drawn when all were decoded
        assert expected["solution"][:] == [str(number) for number in numbers]

    def test_limit_below_one(self, sums):
        with pytest.raises(ConfigError, match="limit must be at least 1, got 0"):
            load_problems(sums, limit=0)


class TestRealFiles:
    def test_math(self):
        path = shared_file("math_250.jsonl")
        raw = [json.loads(line) for line in path.open(encoding="utf-8")]
        problems = load_problems(path)
        assert problems["solution"][:] == [row["answer"] for row in raw]
        assert set(problems["level"]) == set("12345")
        assert problems[0]["subject"] == "Intermediate Algebra"

    def test_math_answers_can_be_taken_from_the_worked_solutions(self):
        path = shared_file("math_250.jsonl")
        from_solutions = load_problems(path, columns={"answer": "solution"})["solution"]
        answers = load_problems(path)["solution"]
        differing = [pair for pair in zip(answers, from_solutions, strict=True) if pair[0] != pair[1]]
        assert len(differing) <= 10  # spelling only, such as \frac43 or a missing space

    def test_aime(self):
        problems = load_problems(shared_file("aime_1983_2023.jsonl"))
        assert len(problems) == 918
        odd = [answer for answer in problems["solution"] if not answer.isdigit()]
        assert odd == ["080 or 081 (both were accepted)"]
        assert problems["id"][0] == "1983-1"


class TestExcludeAndUnique:
    def test_problem_key_of_countdown_ignores_order_and_wording(self):
        task = load_problems(COUNTDOWN + "&seed=5&size=20")
        compact = load_problems(COUNTDOWN + "&seed=5&size=20", prompt_style="compact")
        assert [problem_key(row) for row in task] == [problem_key(row) for row in compact]
        numbers, target = compact[0]["prompt"][0]["content"].split(" : ")
        in_order = " ".join(sorted(numbers.split(), key=int))
        assert problem_key(compact[0]) == f"countdown: {in_order} : {target}"

    def test_problem_key_of_text_ignores_blanks_and_case(self):
        messages = [{"role": "system", "content": "s"}, {"role": "user", "content": "what is 1?"}]
        assert problem_key({"prompt": "What  is\n1?"}) == problem_key({"prompt": messages})

    def test_problem_key_without_a_user_message(self):
        assert problem_key({"prompt": [{"role": "system", "content": "What is 1?"}]}) == "what is 1?"
        parts = [{"role": "user", "content": [{"type": "text", "text": "What is 1?"}]}]
        assert problem_key({"prompt": parts}) == "what is 1?"
        for prompt in ([], "", [{"role": "user", "content": None}], [{"role": "user"}]):
            with pytest.raises(DataError, match="a prompt must contain text"):
                problem_key({"prompt": prompt})

    def test_held_out_shares_no_problem_with_training(self):
        train = load_problems(COUNTDOWN + "&seed=1&size=150", prompt_style="compact", unique=True)
        held_out = load_problems(COUNTDOWN + "&seed=100&size=150", exclude=train, unique=True, limit=60)
        train_keys, held_out_keys = ([problem_key(row) for row in rows] for rows in (train, held_out))
        assert not set(train_keys) & set(held_out_keys)
        assert len(set(train_keys)) == len(train_keys)
        assert len(set(held_out_keys)) == len(held_out_keys) == 60

    def test_unique_and_exclude_by_key(self, tmp_path):
        rows = [{"problem": text, "answer": "1"} for text in ("a?", "A?", "b?", "c?")]
        path = write_jsonl(tmp_path / "rows.jsonl", rows)
        kept = load_problems(path, unique=True, exclude=["c?"], system_prompt=None)
        assert [row["prompt"][0]["content"] for row in kept] == ["a?", "b?"]

    def test_exclude_takes_no_source(self, sums):
        with pytest.raises(ConfigError, match="exclude takes rows or keys, got the text 'math-500'"):
            load_problems(sums, exclude="math-500")

    def test_nothing_left(self, sums):
        with pytest.raises(DataError, match=r"every problem of .*sums.jsonl is excluded"):
            load_problems(sums, exclude=load_problems(sums))


class TestErrors:
    @pytest.mark.parametrize("source", ["math501", "./nowhere", "a/b/c", "folder/"])
    def test_unknown_source(self, source):
        with pytest.raises(SourceError, match=r"unknown source .*math-500.*owner/name.*reasoning_gym:TASK"):
            load_problems(source)

    def test_missing_file(self):
        with pytest.raises(SourceError, match=r"there is none at 'nowhere.jsonl'"):
            load_problems("nowhere.jsonl")

    def test_missing_column_names_those_present_and_the_way_out(self, tmp_path):
        path = write_jsonl(tmp_path / "x.jsonl", [{"puzzle": "1?", "answer": "1"}])
        message = r"x.jsonl has no column for the problem; it has puzzle.*columns="
        with pytest.raises(MissingColumnError, match=message):
            load_problems(path)
        assert load_problems(path, columns={"problem": "puzzle"})[0]["solution"] == "1"

    def test_empty_answer_names_the_line(self, tmp_path):
        rows = [{"problem": "1?", "answer": "1"}, {"problem": "2?", "answer": None}]
        path = write_jsonl(tmp_path / "x.jsonl", rows)
        message = r"line 2 of x.jsonl: the answer \(column 'answer'\) is empty.*drop_invalid"
        with pytest.raises(DataError, match=message):
            load_problems(path)
        assert load_problems(path, drop_invalid=True)["solution"][:] == ["1"]

    def test_a_file_has_no_split(self, sums):
        with pytest.raises(ConfigError, match="a file has neither splits nor configurations"):
            load_problems(sums, split="test")

    @pytest.mark.parametrize("source", ["math-500", COUNTDOWN])
    def test_unknown_prompt_style(self, source):
        with pytest.raises(ConfigError, match="prompt_style must be 'task' or 'compact', got 'short'"):
            load_problems(source, prompt_style="short")

    def test_compact_needs_a_generator(self, sums):
        with pytest.raises(ConfigError, match="prompt_style='compact' needs a reasoning_gym: source"):
            load_problems(sums, prompt_style="compact")

    @pytest.mark.parametrize("argument", ["split", "name"])
    def test_arguments_that_mean_nothing_to_a_generator(self, argument):
        with pytest.raises(ConfigError, match=f"{argument}= has no meaning for a generated source"):
            load_problems(COUNTDOWN, **{argument: "test"})


def test_importing_data_loads_nothing_heavy():
    code = (
        "import sys, trl_rlsp.problems.data, trl_rlsp.evaluation._dataset, trl_rlsp.problems.demonstrations\n"
        "heavy = {'torch', 'sympy', 'datasets', 'reasoning_gym', 'pyarrow', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
