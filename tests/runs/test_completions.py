"""Completions of a run: a real run of plain TRL, evaluation samples, and files that are something else."""

from __future__ import annotations

import json

import pytest
from datasets import Dataset

from trl_rlsp.cli import main
from trl_rlsp.errors import DataError, SourceError
from trl_rlsp.evaluation import write_problems
from trl_rlsp.runs import Completion, read_completions
from trl_rlsp.runs._behaviours import shown_steps, summarize


def one_if_short(completions, **kwargs):
    return [1.0 if len(c[0]["content"]) < 40 else 0.0 for c in completions]


@pytest.fixture(scope="module")
def plain_run(tmp_path_factory, taught_folder):
    """Two steps of TRL's own trainer with a reward that is not ours."""
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import GRPOConfig, GRPOTrainer

    folder = tmp_path_factory.mktemp("plain")
    prompts = [[{"role": "user", "content": problem}] for problem in ("8 1 9 : 72", "1 2 : 3")]
    args = GRPOConfig(
        output_dir=str(folder), max_steps=2, per_device_train_batch_size=8, num_generations=4, max_completion_length=12,
        bf16=False, use_cpu=True, gradient_checkpointing=False, report_to=[], save_strategy="no", logging_steps=1,
        log_completions=True, num_completions_to_print=0,
    )  # fmt: skip
    GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(taught_folder, dtype="float32"),
        processing_class=AutoTokenizer.from_pretrained(taught_folder, padding_side="left"),
        reward_funcs=one_if_short,
        args=args,
        train_dataset=Dataset.from_list([{"prompt": prompt} for prompt in prompts]),
    ).train()
    return folder


class TestPlainRun:
    def test_reads(self, plain_run):
        completions = read_completions([plain_run])
        assert [c.step for c in completions] == [1] * 8 + [2] * 8
        assert any("8 * 9 = 72" in c.text or "1 + 2 = 3" in c.text for c in completions)
        assert all(c.columns == {} for c in completions)

    def test_command(self, plain_run, tmp_path, capsys, monkeypatch):
        monkeypatch.setenv("COLUMNS", "200")
        assert main(["behaviours", str(plain_run), "--output", str(tmp_path / "b.json")]) == 0
        shown = capsys.readouterr().out
        assert "step 1" in shown
        assert "step 2" in shown
        assert "wrong>right" not in shown  # nothing to score by
        figures = json.loads((tmp_path / "b.json").read_text())
        assert list(figures) == ["step 1", "step 2", "all"]
        assert figures["all"]["completions"] == 16
        assert figures["all"]["changes"] is None


class TestSamples:
    ROWS = (
        {"text": "The answer is 12. Wait, no. Let me check: 13. \\boxed{13}", "tokens": 20, "solution": "13"},
        {"text": "The answer is 13. \\boxed{12}", "tokens": 5, "solution": "13"},
    )

    def test_command_scores_changes(self, tmp_path, capsys, monkeypatch):
        monkeypatch.setenv("COLUMNS", "200")
        (tmp_path / "samples.jsonl").write_text("\n".join(map(json.dumps, self.ROWS)))
        assert main(["behaviours", str(tmp_path), "--output", str(tmp_path / "b.json")]) == 0
        assert "1 / 1" in capsys.readouterr().out
        figures = json.loads((tmp_path / "b.json").read_text())["all"]
        assert figures["changes"] == {"wrong_to_right": 1, "right_to_wrong": 1, "wrong_to_wrong": 0, "not_scorable": 0}
        # 1 verification and 1 correction in 20 and 10 words, marks included: 1000 / 30
        assert figures["per_1000_words"]["verification"] == pytest.approx(100 / 3)
        assert figures["per_completion"]["self_correction"] == 0.5
        assert figures["words"] == 15


@pytest.mark.parametrize("prompt", ["8 1 9 : 72", "8 1 9 : 72 8 + 9 = 17 no |"])
def test_the_prefix_of_a_group_begins_the_text_and_not_the_prompt(tmp_path, prompt):
    """TRL 1.14 logs the prompt as the model saw it, without the last blank; later ones log it as it is in the data."""
    row = {"prompt": prompt, "prefix": "8 + 9 = 17 no | ", "completion": "8 * 9 = 72 yes", "step": 1}
    (tmp_path / "a.jsonl").write_text(json.dumps(row))
    (found,) = read_completions([tmp_path / "a.jsonl"])
    assert found.prompt == found.problem == "8 1 9 : 72"
    assert found.text == "8 + 9 = 17 no | 8 * 9 = 72 yes"


class TestSummary:
    def test_search(self):
        summary = summarize([Completion("9 + 2 = 12 ? 18 no | 9 * 2 = 18 ? 18 no"), Completion("prose")])
        # 9 + 2 is 11; 18 called a miss
        assert summary.search == {
            "attempts": 2, "backtracks": 0, "repeats": 0, "wrong_steps": 1, "wrong_claims": 1, "strays": 0,
        }  # fmt: skip

    @pytest.mark.parametrize(
        ("steps", "shown"), [([], []), ([3], [3]), ([1, 1, 2], [1, 2]), (range(1, 102), [1, 26, 51, 76, 101])]
    )
    def test_quarter_points(self, steps, shown):
        assert shown_steps(list(steps)) == shown


class TestOtherFiles:
    def test_nothing_there(self, tmp_path):
        with pytest.raises(SourceError, match="there is no file or folder"):
            read_completions([tmp_path / "none"])

    def test_a_folder_without(self, tmp_path):
        with pytest.raises(SourceError, match="log_completions: true"):
            read_completions([tmp_path])

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("a.jsonl", "{", "line 1 of .*a.jsonl is not JSON"),
            ("a.jsonl", "3", "line 1 of .*a.jsonl must be a JSON object, got '3'"),
            ("a.jsonl", '{"b": 1}', "row 1 of .*a.jsonl needs a column `completion` or `text`"),
            ("a.parquet", "no", "a.parquet holds no completions that can be read"),
        ],
    )
    def test_something_else(self, tmp_path, name, content, message):
        (tmp_path / name).write_text(content)
        with pytest.raises(DataError, match=message):
            read_completions([tmp_path / name])

    def test_command_says_so(self, tmp_path, capsys):
        assert main(["behaviours", str(tmp_path)]) == 2
        assert "rlsp behaviours: SourceError" in capsys.readouterr().err


def test_samples_of_an_evaluation_get_their_problem(tmp_path):
    problems = Dataset.from_list([{"prompt": "2 + 2", "solution": "4"}, {"prompt": "3 + 3", "solution": "6"}])
    write_problems(tmp_path, problems)
    rows = [{"problem": 1, "text": r"\boxed{6}", "tokens": 3}, {"problem": 9, "text": "?", "tokens": 1}]
    (tmp_path / "samples.jsonl").write_text("\n".join(map(json.dumps, rows)))
    known, unknown = read_completions([tmp_path])
    assert (known.prompt, known.columns) == ("3 + 3", {"solution": "6"})
    assert (unknown.prompt, unknown.columns) == (None, {})
