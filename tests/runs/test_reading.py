"""Runs as they lie on disk."""

from __future__ import annotations

import json

import pytest

from trl_rlsp.errors import DataError, SourceError
from trl_rlsp.evaluation import Estimate
from trl_rlsp.runs import question, read_completions, read_run

HISTORY = [{"step": 1, "reward": 0.5}, {"step": 2, "reward": 0.6}]
BATCH = [("1 + 1 ?", "\\boxed{2}", 1.0, "match"), ("2 + 2 ?", "no idea", 0.0, "no_answer")]


class TestRunFolder:
    def test_stages_in_order_of_training(self, tmp_path, write_evaluation, write_training):
        for name in ("RLSP", "start", "SFT"):
            write_evaluation(tmp_path / f"eval_{name}", [("0", "text", 1.0)])
        write_training(tmp_path / "rlsp", {1: BATCH}, HISTORY)
        run = read_run(tmp_path, "mine")
        assert run.name == "mine"
        assert [evaluated.name for evaluated in run.evaluations] == ["start", "SFT", "RLSP"]
        assert [entry["reward"] for entry in run.history] == [0.5, 0.6]
        assert len(run.completions) == 2
        assert run.missing == []

    def test_other_evaluations_come_last_with_numbers_by_value(self, tmp_path, write_evaluation):
        for name in ("round_10", "round_2", "SFT"):
            write_evaluation(tmp_path / f"eval_{name}", [("0", "text", 1.0)])
        assert [evaluated.name for evaluated in read_run(tmp_path).evaluations] == ["SFT", "round_2", "round_10"]

    def test_an_evaluation(self, tmp_path, write_evaluation):
        rows = [(3, "a", 1.0), (3, "b", 0.0), (4, "c", None)]
        write_evaluation(tmp_path / "eval_SFT", rows, tokens={"mean": 7.0, "low": 6.0, "high": 8.0}, problems=2)
        (evaluated,) = read_run(tmp_path).evaluations
        assert evaluated.metrics == {"tokens": Estimate(7.0, 6.0, 8.0)}
        assert [(c.problem, c.sample, c.score) for c in evaluated.completions] == [
            ("3", 0, 1.0),
            ("3", 1, 0.0),
            ("4", 0, None),
        ]

    def test_what_the_evaluation_itself_writes(self, tmp_path):
        from dataclasses import replace

        from trl_rlsp.evaluation import ScoredSample, save_evaluation, summarize

        samples = [ScoredSample(i, "text", 5 + i, True, float(i), "match") for i in range(2)]
        figures = replace(summarize(samples), pass_at={4: Estimate(0.5, 0.4, 0.6)}, problems_hash="abc")
        save_evaluation(figures, samples, tmp_path / "eval_RLSP", {"dataset": "hub/set"})
        (evaluated,) = read_run(tmp_path).evaluations
        assert {"pass_at_1", "tokens", "finished"} <= evaluated.metrics.keys()
        assert evaluated.metrics["tokens"].mean == 5.5
        assert [(c.problem, c.score, c.tokens, c.finished) for c in evaluated.completions] == [
            ("0", 0.0, 5, True),
            ("1", 1.0, 6, True),
        ]
        assert evaluated.metrics["pass@4"] == Estimate(0.5, 0.4, 0.6)
        assert evaluated.problems_hash == "abc"

    def test_samples_with_prompts_and_numbered_levels(self, tmp_path, write_evaluation):
        write_evaluation(
            tmp_path / "eval_SFT", [{"problem": 0, "text": "t", "score": 1.0, "level": 3, "prompt": "why ?"}]
        )
        (completion,) = read_run(tmp_path).evaluations[0].completions
        assert (completion.level, completion.question, completion.tokens) == ("3", "why ?", None)

    def test_what_is_missing_is_said(self, tmp_path, write_evaluation):
        write_evaluation(tmp_path / "eval_SFT", [("0", "text", 1.0)])
        assert [text.partition(",")[0] for text in read_run(tmp_path).missing] == [
            "trainer_state.json of RL",
            "logged completions (train with log_completions: true)",
        ]


class TestTrainerFolder:
    def test_plain_trl(self, tmp_path, write_training):
        write_training(tmp_path / "out", {2: BATCH[:1], 10: BATCH[1:]}, HISTORY)
        run = read_run(tmp_path / "out")
        assert run.name == "out"
        assert [(c.step, c.problem, c.text, c.score, c.reason, c.finished) for c in run.completions] == [
            (2, "1 + 1 ?", "\\boxed{2}", 1.0, "match", True),
            (10, "2 + 2 ?", "no idea", 0.0, "no_answer", False),
        ]
        assert run.completions[0].rewards == {"outcome_verifier": 1.0}

    def test_history_of_the_newest_checkpoint(self, tmp_path, write_training):
        write_training(tmp_path, {1: BATCH})
        for step in (9, 10):
            (tmp_path / f"checkpoint-{step}").mkdir()
            history = [{"step": step, "reward": 0.1}]
            (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text(json.dumps({"log_history": history}))
        assert [entry["step"] for entry in read_run(tmp_path).history] == [10]

    def test_a_batch_trained_on_twice_is_kept_once(self, tmp_path, write_training):
        unscored = [*BATCH, ("3 ?", "x", None, "scorer_error")]
        write_training(tmp_path, {1: unscored, 2: unscored, 3: BATCH})
        assert [c.step for c in read_run(tmp_path).completions] == [1, 1, 1, 3, 3]

    def test_not_scorable_is_none(self, tmp_path, write_training):
        write_training(tmp_path, {1: [("3 ?", "x", None, "scorer_error")]})
        (completion,) = read_run(tmp_path).completions
        assert completion.score is None
        assert completion.rewards == {"outcome_verifier": None}

    def test_a_reward_of_another_name(self, tmp_path, write_training):
        write_training(tmp_path, {1: BATCH}, columns={"accuracy_reward": [0.0, 1.0], "style": [0.3, 0.4]})
        assert [c.rewards["style"] for c in read_run(tmp_path).completions] == [0.3, 0.4]
        assert [c.score for c in read_run(tmp_path).completions] == [1.0, 0.0]  # outcome_verifier before accuracy

    def test_a_program_is_finished_where_its_verdict_says_so(self, tmp_path, write_training):
        program = "Add them.\n```python\nprint(3)\n```"
        columns = {"parsed_gold": ["2", None], "parsed_answer": ["3", None]}
        batch = [("1 + 2 ?", program, 1.0, "match"), ("1 + 2 ?", "no", 0.0, "no_answer")]
        write_training(tmp_path, {1: batch}, columns=columns)
        first, second = read_run(tmp_path).completions
        assert (first.finished, second.finished) == (True, False)
        assert (first.gold, first.answer, second.gold) == ("2", "3", None)


class TestErrors:
    def test_no_folder(self, tmp_path):
        with pytest.raises(SourceError, match="there is no run folder"):
            read_run(tmp_path / "none")

    def test_no_run(self, tmp_path):
        with pytest.raises(SourceError, match=r"holds no run: neither evaluations .* nor completions/\*\.parquet"):
            read_run(tmp_path)

    def test_a_broken_history(self, tmp_path):
        (tmp_path / "trainer_state.json").write_text("{")
        with pytest.raises(DataError, match=r"trainer_state\.json cannot be read"):
            read_run(tmp_path)
        (tmp_path / "trainer_state.json").write_text("{}")
        with pytest.raises(DataError, match="is no trainer state: it has no list `log_history`"):
            read_run(tmp_path)

    def test_a_broken_evaluation(self, tmp_path, write_evaluation):
        folder = write_evaluation(tmp_path / "eval_SFT", [{"text": "without problem"}])
        with pytest.raises(DataError, match=r"eval_SFT is no evaluation that can be read: run `rlsp eval` again"):
            read_run(tmp_path)
        (folder / "samples.jsonl").write_text("{\n{}\n")
        with pytest.raises(DataError, match=r"line 1 of .* is not JSON"):
            read_run(tmp_path)

    def test_another_parquet(self, tmp_path):
        import pandas as pd

        (tmp_path / "completions").mkdir()
        pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "completions" / "x.parquet")
        with pytest.raises(DataError, match=r"needs a column `completion` or `text`, has"):
            read_run(tmp_path)


class TestTexts:
    def test_reasoning_kept_beside_the_answer(self, tmp_path):
        turns = [{"role": "assistant", "reasoning_content": "hm", "content": "7"}, {"role": "tool", "content": "no"}]
        path = tmp_path / "a.jsonl"
        path.write_text(json.dumps({"prompt": "p", "completion": turns}))
        assert read_completions([path])[0].text == "hm\n7"

    def test_the_last_user_turn(self):
        turns = [{"role": "system", "content": "s"}, {"role": "user", "content": "a"}, {"role": "user", "content": "b"}]
        assert question(turns) == "b"
        assert question("plain") == "plain"
        assert question([{"role": "system", "content": "s"}]) == "s"
