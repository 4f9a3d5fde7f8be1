"""Reading what a run logged."""

from __future__ import annotations

import hashlib
import json
import math

import pyarrow
import pyarrow.parquet
import pytest

from trl_rlsp.errors import DataError, SourceError
from trl_rlsp.runs import completion_files, read_completions

PROMPT = [{"role": "user", "content": "1 2 : 3"}]


def logged(text, *, prompt=PROMPT, verifier=1.0, **columns):
    completion = [{"role": "assistant", "content": text}]
    return {"prompt": prompt, "completion": completion, "outcome_verifier": verifier, "advantage": 0.1, **columns}


def write_step(run, step, rows):
    folder = run / "completions"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"completions_{step:05d}.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([{"step": step, **row} for row in rows]), path)
    return path


def folder_of(run):
    file = completion_files(run)[0]
    return file.parent.parent if file.suffix == ".parquet" else file.parent


class TestLogFolder:
    def test_a_run_of_a_trainer(self, tmp_path):
        write_step(tmp_path, 1, [logged("a")])
        assert folder_of(tmp_path) == tmp_path

    def test_a_run_of_the_pipeline(self, tmp_path):
        write_step(tmp_path / "rlsp", 1, [logged("a")])
        assert folder_of(tmp_path) == tmp_path / "rlsp"

    def test_the_newest_round(self, tmp_path):
        for number in (1, 2, 10):
            write_step(tmp_path / f"round-{number}" / "rlsp", 1, [logged("a")])
        (tmp_path / "round-x").mkdir()
        (tmp_path / "round-11").mkdir()  # not trained yet
        assert folder_of(tmp_path) == tmp_path / "round-10" / "rlsp"

    def test_an_evaluation(self, tmp_path):
        (tmp_path / "samples.jsonl").write_text("{}")
        assert folder_of(tmp_path) == tmp_path

    def test_nothing(self, tmp_path):
        with pytest.raises(SourceError, match="holds no completions: neither completions/"):
            folder_of(tmp_path)
        with pytest.raises(SourceError, match="there is no file or folder"):
            folder_of(tmp_path / "none")


class TestTraining:
    def test_what_is_read(self, tmp_path):
        rows = [logged("a", verdict="match", length_exploration=0.2), logged("b", verifier=math.nan, verdict=None)]
        path = write_step(tmp_path, 2, rows)
        first, second = read_completions([tmp_path])
        assert (first.text, first.prompt, first.score, first.step, first.sample) == ("a", PROMPT, 1.0, 2, 0)
        assert first.rewards["length_exploration"] == 0.2
        assert first.file == "completions_00002.parquet"
        assert first.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert (second.score, second.sample) == (None, 1)  # nan is no score

    def test_steps_in_order_and_a_batch_logged_again_once(self, tmp_path):
        write_step(tmp_path, 10, [logged("c")])
        write_step(tmp_path, 1, [logged("a", verifier=math.nan), logged("b")])
        write_step(tmp_path, 2, [logged("a", verifier=math.nan), logged("b")])
        assert [(r.text, r.step) for r in read_completions([tmp_path])] == [("a", 1), ("b", 1), ("c", 10)]

    def test_messages_survive_without_the_empty_fields_of_parquet(self, tmp_path):
        system = [{"role": "system", "content": "Think.", "name": "x"}, *PROMPT]
        write_step(tmp_path, 1, [logged("a", prompt=system)])
        (found,) = read_completions([tmp_path])
        assert found.prompt == [{"role": "system", "content": "Think.", "name": "x"}, *PROMPT]

    def test_text_prompts_and_a_foreign_reward(self, tmp_path):
        row = {"prompt": "1 + 1", "completion": "2", "accuracy_reward": 1.0, "advantage": 0.0}
        write_step(tmp_path, 1, [row])
        (found,) = read_completions([tmp_path])
        assert (found.prompt, found.text, found.score, found.messages) == ("1 + 1", "2", 1.0, 1)

    def test_turns_are_counted(self, tmp_path):
        turns = [{"role": role, "content": role} for role in ("assistant", "tool", "assistant")]
        write_step(tmp_path, 1, [{**logged("a"), "completion": turns}])
        assert read_completions([tmp_path])[0].messages == 3

    def test_an_empty_file_of_trl(self, tmp_path):
        path = write_step(tmp_path, 0, [logged("a")])
        pyarrow.parquet.write_table(pyarrow.parquet.read_table(path).slice(0, 0), path)
        write_step(tmp_path, 1, [logged("b")])
        assert [found.text for found in read_completions([tmp_path])] == ["b"]

    def test_a_broken_file(self, tmp_path):
        write_step(tmp_path, 1, [logged("a")]).write_bytes(b"half")
        with pytest.raises(DataError, match=r"completions_00001\.parquet holds no completions that can be read"):
            read_completions([tmp_path])

    def test_another_table(self, tmp_path):
        write_step(tmp_path, 1, [{"x": 1}])
        with pytest.raises(DataError, match=r"row 1 of .* needs a column `completion` or `text`, has \['step', 'x'\]"):
            read_completions([tmp_path])


class TestEvaluation:
    def test_samples(self, tmp_path):
        row = {"problem": 3, "text": "a", "tokens": 1, "finished": False, "score": None, "reason": "no_answer"}
        (tmp_path / "samples.jsonl").write_text(json.dumps(row) + "\n")
        (found,) = read_completions([tmp_path])
        assert (found.problem, found.text, found.finished, found.score, found.prompt) == ("3", "a", False, None, None)
        assert (found.step, found.sample, found.file) == (None, 0, "samples.jsonl")
