"""The stages one by one: `rlsp sft`, `grpo`, `eval`, `check`, and TRL's own `trl grpo` with the rewards."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from trl_rlsp.cli import main
from trl_rlsp.commands._train import progress_line
from trl_rlsp.stages import last_complete_checkpoint

CPU = """
dtype: float32
bf16: false
use_cpu: true
gradient_checkpointing: false
logging_steps: 1
report_to: none
"""


def write_yaml(folder, text):
    path = folder / "stage.yaml"
    path.write_text(text + CPU)
    return str(path)


@pytest.fixture
def problems(tmp_path, taught):
    path = tmp_path / "problems.jsonl"
    rows = [{"problem": problem, "answer": problem.rpartition(" ")[2]} for problem in taught]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def read_json(path):
    return json.loads(Path(path).read_text(encoding="utf-8"))


class TestSFT:
    @pytest.fixture
    def stage(self, tmp_path, model_folder):
        rows = [{"problem": "8 1 9 : 72", "reasoning": "8 * 9 = 72 yes", "answer": "72"}] * 4
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return write_yaml(
            tmp_path,
            f"""
model_name_or_path: {model_folder}
dataset: {tmp_path / "rows.jsonl"}
output_dir: {tmp_path / "out"}
demonstration_template: "{{reasoning}} \\\\boxed{{ {{answer}} }}"
system_prompt: none
assistant_only_loss: true
max_length: 64
max_steps: 4
save_steps: 2
per_device_train_batch_size: 2
learning_rate: 1.0e-2
""",
        )

    def test_trains_and_saves_what_can_be_loaded(self, stage, tmp_path):
        from trl_rlsp.generation import load_model

        assert main(["sft", "--config", stage]) == 0
        done = read_json(tmp_path / "out" / "stage.json")
        assert (done["stage"], done["steps"], done["resumed_from"]) == ("RLSP SFT", 4, None)
        history = read_json(tmp_path / "out" / "trainer_state.json")["log_history"]
        assert history[3]["loss"] < history[0]["loss"]
        model, tokenizer = load_model(str(tmp_path / "out"), dtype="float32")
        assert tokenizer.chat_template
        assert model.config.num_hidden_layers == 2

    def test_resumes_from_the_last_checkpoint(self, stage, tmp_path):
        assert main(["sft", "--config", stage, "--resume_from_checkpoint", "auto"]) == 0
        assert read_json(tmp_path / "out" / "stage.json")["resumed_from"] is None
        more = ["--max_steps", "6", "--resume_from_checkpoint", "auto"]
        assert main(["sft", "--config", stage, *more]) == 0
        done = read_json(tmp_path / "out" / "stage.json")
        assert (done["steps"], done["resumed_from"]) == (6, "checkpoint-4")

    def test_overrides_win_over_the_file(self, stage, tmp_path):
        assert main(["sft", "--config", stage, "--max_steps", "1", "--output_dir", str(tmp_path / "other")]) == 0
        assert read_json(tmp_path / "other" / "stage.json")["steps"] == 1
        assert not (tmp_path / "out").exists()

    def test_traces_that_would_be_cut_are_refused(self, stage, capsys):
        assert main(["sft", "--config", stage, "--max_length", "10"]) == 2
        # <user> 8 1 9 : 72 <assistant> 8 * 9 = 72 yes \boxed{ 72 } <eos>
        assert "4 of 4 traces of `train` (100.0%) are longer than max_length=10" in capsys.readouterr().err

    def test_an_adapter(self, stage, tmp_path):
        lora = ["--use_peft", "--lora_r", "2", "--lora_target_modules", "q_proj", "v_proj", "--max_steps", "1"]
        assert main(["sft", "--config", stage, *lora]) == 0
        assert (tmp_path / "out" / "adapter_config.json").is_file()


class TestGRPO:
    @pytest.fixture
    def stage(self, tmp_path, taught_folder, problems):
        return write_yaml(
            tmp_path,
            f"""
model_name_or_path: {taught_folder}
dataset: {problems}
output_dir: {tmp_path / "out"}
system_prompt: none
length_c: 6
num_generations: 8
per_device_train_batch_size: 16
max_completion_length: 12
temperature: 1.0
max_steps: 2
""",
        )

    def test_trains(self, stage, tmp_path):
        assert main(["grpo", "--config", stage]) == 0
        done = read_json(tmp_path / "out" / "stage.json")
        assert (done["stage"], done["steps"]) == ("RLSP", 2)
        first = read_json(tmp_path / "out" / "trainer_state.json")["log_history"][0]
        assert 0 < first["rewards/outcome_verifier/mean"] < 1
        assert 0 < first["rewards/length_exploration/mean"] < 0.25
        assert first["reward"] == pytest.approx(
            first["rewards/outcome_verifier/mean"] + first["rewards/length_exploration/mean"], abs=1e-5
        )
        assert len(list((tmp_path / "out" / "completions").glob("*.parquet"))) == 2

    def test_on_the_outcome_alone(self, stage, tmp_path):
        assert main(["grpo", "--config", stage, "--exploration", "none", "--max_steps", "1"]) == 0
        first = read_json(tmp_path / "out" / "trainer_state.json")["log_history"][0]
        assert "rewards/length_exploration/mean" not in first
        assert first["reward"] == first["rewards/outcome_verifier/mean"]

    def test_nothing_scorable_is_no_error(self, stage, tmp_path, monkeypatch):
        """TRL then logs None as the accuracy."""
        from trl_rlsp.rewards import OutcomeVerifier
        from trl_rlsp.verification import Verdict

        monkeypatch.setattr(
            OutcomeVerifier, "_verify", lambda self, kind, rows: [Verdict(None, "scorer_error")] * len(rows)
        )
        assert main(["grpo", "--config", stage, "--max_steps", "1"]) == 0
        first = read_json(tmp_path / "out" / "trainer_state.json")["log_history"][0]
        assert first["rewards/outcome_verifier/mean"] is None

    @pytest.mark.slow
    def test_two_processes_under_accelerate(self, stage, tmp_path):
        launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
        arguments = ["-m", "trl_rlsp", "grpo", "--config", stage, "--per_device_train_batch_size", "8"]
        done = subprocess.run(
            [*launch, "--mixed_precision", "no", *arguments], capture_output=True, text=True, timeout=600, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]
        first = read_json(tmp_path / "out" / "trainer_state.json")["log_history"][0]
        assert 0 < first["rewards/outcome_verifier/mean"] < 1
        # 8 completions on each of two ranks: of a prompt with 7 tokens, and of one with 6
        assert first["num_tokens"] == 8 * 7 + 8 * 6 + 16 * first["completions/mean_length"]


class TestTRLsOwnCommand:
    def test_trl_grpo(self, tmp_path, taught_folder, taught):
        """`trl grpo --reward_funcs trl_rlsp.rlsp_rewards`, with a local JSON Lines data set."""
        rows = [{"prompt": [{"role": "user", "content": p}], "solution": p.rpartition(" ")[2]} for p in taught]
        (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        config = write_yaml(
            tmp_path,
            f"""
model_name_or_path: {taught_folder}
datasets:
  - path: json
    data_files: {tmp_path / "train.jsonl"}
output_dir: {tmp_path / "out"}
num_generations: 8
per_device_train_batch_size: 16
max_completion_length: 12
max_steps: 2
save_strategy: "no"
""",
        )
        command = [
            sys.executable,
            "-c",
            "from trl.cli import main; raise SystemExit(main())",
            "grpo",
            "--config",
            config,
        ]
        done = subprocess.run(
            [*command, "--reward_funcs", "trl_rlsp.rlsp_rewards"],
            cwd=tmp_path,
            env={**os.environ, "HF_DATASETS_CACHE": str(tmp_path / "cache")},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        logged = [
            eval(line)  # TRL prints its logs as Python dictionaries of texts
            for line in done.stdout.splitlines()
            if line.startswith("{") and "reward" in line
        ]
        assert len(logged) == 2
        for entry in logged:
            parts = [float(entry[f"rewards/{name}/mean"]) for name in ("outcome_verifier", "length_exploration")]
            assert 0 < parts[0] < 1
            assert 0 < parts[1] < 0.25
            assert float(entry["reward"]) == pytest.approx(sum(parts), rel=1e-3)


class TestEval:
    def test_figures(self, tmp_path, taught_folder, problems, capsys, monkeypatch):
        monkeypatch.setenv("COLUMNS", "200")
        arguments = ["--model_name_or_path", str(taught_folder), "--dataset", str(problems), "--dtype", "float32"]
        sampling = ["--num_samples", "32", "--temperature", "1", "--max_new_tokens", "12", "--system_prompt", "none"]
        assert main(["eval", *arguments, *sampling, "--output_dir", str(tmp_path / "eval")]) == 0
        figures = read_json(tmp_path / "eval" / "metrics.json")
        # one of three completions known by heart is right; 64 samples: standard error 0.06
        assert 0.1 < figures["pass_at_1"]["mean"] < 0.6
        assert (figures["problems"], figures["samples"], figures["not_scorable"]) == (2, 32, 0)
        assert figures["settings"]["temperature"] == 1
        lines = (tmp_path / "eval" / "samples.jsonl").read_text(encoding="utf-8").splitlines()
        samples = [json.loads(line) for line in lines]
        assert len(samples) == 64
        right = [s for s in samples if s["text"].endswith(("\\boxed{ 72 }", "\\boxed{ 3 }"))]
        assert figures["pass_at_1"]["mean"] == pytest.approx(len(right) / 64)
        shown = capsys.readouterr().out
        assert f"{100 * len(right) / 64:.1f} % [" in shown
        assert "2 problems x 32 completions" in shown


class TestCheck:
    def test_every_answer_verifies(self, problems, capsys):
        assert main(["check", "--dataset", str(problems)]) == 0
        assert "ok: 2 of 2 answers verify" in " ".join(capsys.readouterr().out.split())

    def test_one_does_not(self, problems, capsys):
        with open(problems, "a") as file:
            file.write('{"problem": "How?", "answer": "\\\\frac{1}{"}\n')
        assert main(["check", "--dataset", str(problems)]) == 1
        assert "not ok: 2 of 3 answers verify" in " ".join(capsys.readouterr().out.split())

    def test_a_generator_through_a_file(self, tmp_path, capsys):
        pytest.importorskip("reasoning_gym")
        (tmp_path / "eval.yaml").write_text("dataset: 'reasoning_gym:countdown?size=3'\nprompt_style: compact\n")
        assert main(["check", "--config", str(tmp_path / "eval.yaml")]) == 0
        assert "ok: 3 of 3" in capsys.readouterr().out


class TestLastCompleteCheckpoint:
    def make(self, folder, step, state="{}"):
        (folder / f"checkpoint-{step}").mkdir()
        if state is not None:
            (folder / f"checkpoint-{step}" / "trainer_state.json").write_text(state)

    def test_the_newest_by_number(self, tmp_path):
        for step in (5, 10, 9):
            self.make(tmp_path, step)
        assert last_complete_checkpoint(tmp_path) == str(tmp_path / "checkpoint-10")

    @pytest.mark.parametrize("state", [None, "", '{"global_step": 1'])
    def test_not_one_that_was_cut_off(self, tmp_path, state):
        self.make(tmp_path, 5)
        self.make(tmp_path, 10, state)
        assert last_complete_checkpoint(tmp_path) == str(tmp_path / "checkpoint-5")

    def test_none(self, tmp_path):
        self.make(tmp_path, 5, None)
        self.make(tmp_path, "best")
        assert last_complete_checkpoint(tmp_path) is None
        assert last_complete_checkpoint(tmp_path / "nowhere") is None


@pytest.mark.parametrize(
    ("logs", "line"),
    [
        ({"loss": "0.5", "completions/mean_length": 61.34}, "step 3: loss 0.5, tokens 61.3"),
        ({"rewards/outcome_verifier/mean": None, "loss": 0.25}, "step 3: loss 0.25"),  # nothing was scorable
        (
            {"rewards/judge_exploration/mean": 0.25, "loss": 0.5, "completions/mean_length": 9.0},
            "step 3: loss 0.5, judge 0.25, tokens 9",
        ),
        ({"eval_loss": 1.0}, ""),
        ({}, ""),
    ],
)
def test_progress_line(logs, line):
    assert progress_line(3, logs) == line
