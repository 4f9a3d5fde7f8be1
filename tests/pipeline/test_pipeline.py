"""`rlsp run`: stages in order, resumed after a kill, skipped when complete, refused when changed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trl_rlsp.cli import main
from trl_rlsp.errors import ConfigError, SourceError
from trl_rlsp.pipeline.pipeline import (
    Stage,
    StageError,
    check_settings,
    execute,
    parse_run,
    plan,
    refuse_changed,
    remember,
)

COUNTDOWN = "reasoning_gym:countdown?min_numbers=3&max_numbers=3&min_value=1&max_value=12&min_target=10&max_target=99"
TRAINING = """
output_dir: unused
dtype: float32
unique_problems: true
prompt_style: compact
bf16: false
use_cpu: true
gradient_checkpointing: false
logging_steps: 1
save_steps: 10
save_total_limit: 2
report_to: none
"""
SFT = f"""
env: {{OMP_NUM_THREADS: 1}}
model_name_or_path: base
dataset: "{COUNTDOWN}&seed=1&size=40"
demonstrations: search
demonstration_template: "{{reasoning}} \\\\boxed{{ {{answer}} }}"
search_longest: 3
assistant_only_loss: true
max_length: 128
max_steps: 150
per_device_train_batch_size: 4
learning_rate: 1.0e-3
{TRAINING}
"""
GRPO = f"""
model_name_or_path: runs/somewhere/sft
dataset: "{COUNTDOWN}&seed=1&size=40"
num_generations: 4
per_device_train_batch_size: 8
max_completion_length: 8
max_steps: 2
length_c: 60
{TRAINING}
"""
EVAL = f"""
dtype: float32
dataset: "{COUNTDOWN}&seed=1000000&size=10"
prompt_style: compact
temperature: 1.0
max_new_tokens: 8
"""
STAGES = ["eval_start", "sft", "eval_SFT", "rlsp", "eval_RLSP"]


def write_recipe(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder


@pytest.fixture
def small(tmp_path):
    return write_recipe(tmp_path / "small", sft="model_name_or_path: m\n", grpo="a: 1\n", eval="b: 1\n")


class TestParseRun:
    def test_defaults(self, small):
        recipe, output, overrides = parse_run([str(small)])
        assert (recipe, output) == (small, Path("runs/small-seed0"))
        assert overrides == {stage: ["--seed", "0"] for stage in ("sft", "grpo", "eval")}

    def test_overrides_go_to_their_stage(self, small):
        given = [
            "--seed",
            "3",
            "--grpo.alpha",
            "0.7",
            "--output_dir",
            "o",
            "--eval.num_samples",
            "4",
            "--grpo.beta",
            "-1",
        ]
        _, output, overrides = parse_run([str(small), *given])
        assert output == Path("o")
        assert overrides == {
            "sft": ["--seed", "3"],
            "grpo": ["--seed", "3", "--alpha", "0.7", "--beta", "-1"],
            "eval": ["--seed", "3", "--num_samples", "4"],
        }

    @pytest.mark.parametrize("missing", ["grpo", "eval"])
    def test_no_recipe(self, small, missing):
        (small / f"{missing}.yaml").unlink()
        with pytest.raises(SourceError, match=rf"small' is no recipe folder: it has no {missing}\.yaml"):
            parse_run([str(small)])

    @pytest.mark.parametrize("wrong", ["--alpha", "--run.alpha", "word", "--grpo.alpha"])
    def test_an_override_it_cannot_read(self, small, wrong):
        with pytest.raises(ConfigError, match=f"cannot read '{wrong}': an override is --STAGE.FIELD VALUE"):
            parse_run([str(small), wrong])


class TestPlan:
    OVERRIDES = {"sft": ["--seed", "0"], "grpo": ["--seed", "0", "--alpha", "0.7"], "eval": ["--seed", "0"]}

    def test_with_demonstrations(self, small, tmp_path):
        stages = plan(small, tmp_path / "run", self.OVERRIDES)
        run = tmp_path / "run"
        assert [(s.name, s.command, s.folder, s.model) for s in stages] == [
            ("eval start", "eval", run / "eval_start", "m"),
            ("sft", "sft", run / "sft", "m"),
            ("eval SFT", "eval", run / "eval_SFT", str(run / "sft")),
            ("rlsp", "grpo", run / "rlsp", str(run / "sft")),
            ("eval RLSP", "eval", run / "eval_RLSP", str(run / "rlsp")),
        ]

    def test_without(self, small, tmp_path):
        (small / "sft.yaml").unlink()
        (small / "grpo.yaml").write_text("model_name_or_path: start\n")
        stages = plan(small, tmp_path / "run", self.OVERRIDES)
        assert [(s.name, s.model) for s in stages] == [
            ("eval start", "start"),
            ("rlsp", "start"),
            ("eval RLSP", str(tmp_path / "run" / "rlsp")),
        ]

    def test_a_model_beside_the_recipe(self, small, tmp_path):
        (small / "m").mkdir()
        assert plan(small, tmp_path, self.OVERRIDES)[0].model == str(small / "m")

    def test_no_model(self, small, tmp_path):
        (small / "sft.yaml").write_text("dataset: x\n")
        with pytest.raises(ConfigError, match=r"sft\.yaml names no model: set model_name_or_path"):
            plan(small, tmp_path, self.OVERRIDES)

    def test_arguments(self, small, tmp_path):
        stages = plan(small, tmp_path, self.OVERRIDES)
        rl = ["--model_name_or_path", str(tmp_path / "sft"), "--output_dir", str(tmp_path / "rlsp"), "--seed", "0"]
        assert stages[3].arguments() == [
            *("grpo", "--config", str(small / "grpo.yaml"), *rl, "--alpha", "0.7"),
            *("--resume_from_checkpoint", "auto"),
        ]
        assert "--resume_from_checkpoint" not in stages[0].arguments()


class TestRefuseChanged:
    def stage(self, tmp_path, **changes):
        config = tmp_path / "grpo.yaml"
        config.write_text(changes.pop("text", "a: 1\n"))
        values = {"name": "rlsp", "command": "grpo", "config": config, "folder": tmp_path / "rlsp", "model": "m"}
        return Stage(**{**values, "overrides": ("--seed", "0"), "marker": "stage.json", **changes})

    def test_the_same_settings_go_on(self, tmp_path):
        refuse_changed(self.stage(tmp_path))
        remember(self.stage(tmp_path))
        refuse_changed(self.stage(tmp_path))

    @pytest.mark.parametrize(
        "changes", [{"text": "a: 2\n"}, {"model": "n"}, {"overrides": ("--seed", "1")}, {"command": "sft"}]
    )
    def test_other_settings_do_not(self, tmp_path, changes):
        remember(self.stage(tmp_path))
        with pytest.raises(ConfigError, match=r"rlsp was started with other settings; give another --output_dir"):
            refuse_changed(self.stage(tmp_path, **changes))
        refuse_changed(self.stage(tmp_path))  # and what is there is still the old work


class TestCheckSettings:
    def test_a_stage_keeps_its_environment_to_itself(self, tmp_path, monkeypatch):
        monkeypatch.delenv("RLSP_TEST_ONLY", raising=False)
        config = tmp_path / "eval.yaml"
        config.write_text("env:\n  RLSP_TEST_ONLY: 1\ndataset: some.jsonl\n")
        check_settings(Stage("eval start", "eval", config, tmp_path / "eval", "m", (), "metrics.json"))
        assert "RLSP_TEST_ONLY" not in os.environ


class TestExecute:
    def test_a_stage_that_fails(self, tmp_path, capfd):
        config = tmp_path / "eval.yaml"
        config.write_text("dataset: none.jsonl\n")
        stage = Stage("eval start", "eval", config, tmp_path / "eval_start", "m", (), "metrics.json")
        with pytest.raises(StageError, match="stage `eval start` ended with status 2; mend what it says above"):
            execute(stage)
        assert "there is none at 'none.jsonl'" in capfd.readouterr().err


@pytest.fixture(scope="module")
def killed_run(tmp_path_factory, model_folder):
    """(recipe, run folder, what is in it) of `rlsp run`, killed with all its processes in the middle of SFT."""
    pytest.importorskip("reasoning_gym")
    place = tmp_path_factory.mktemp("pipeline")
    recipe = write_recipe(place / "recipe", sft=SFT, grpo=GRPO, eval=EVAL)
    shutil.copytree(model_folder, recipe / "base")
    with open(place / "log", "w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "trl_rlsp", "run", str(recipe), "--output_dir", str(place / "run")],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        deadline = time.monotonic() + 300
        while not list((place / "run" / "sft").glob("checkpoint-*/trainer_state.json")):
            assert process.poll() is None, (place / "log").read_text()
            assert time.monotonic() < deadline, (place / "log").read_text()
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return recipe, place / "run", sorted(str(path.relative_to(place / "run")) for path in (place / "run").rglob("*"))


@pytest.fixture(scope="module")
def resumed_run(killed_run, run_rlsp):
    """(recipe, run folder, output) of the same command, given again after the kill."""
    recipe, run, _ = killed_run
    broken = run / "sft" / "checkpoint-149"  # as if the kill had come while it was being written
    broken.mkdir()
    (broken / "model.safetensors").write_bytes(b"half")
    done = run_rlsp("run", recipe, "--output_dir", run, cwd=run.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    return recipe, run, done.stdout


def read_json(path):
    return json.loads(path.read_text(encoding="utf-8"))


class TestRun:
    def test_killed_in_the_middle_of_a_stage(self, killed_run):
        files = killed_run[2]
        assert "eval_start/metrics.json" in files
        assert any(name.startswith("sft/checkpoint-") for name in files)
        assert "sft/stage.json" not in files
        assert "rlsp" not in files

    def test_the_same_command_goes_on_from_the_checkpoint(self, resumed_run):
        _, run, _ = resumed_run
        done = read_json(run / "sft" / "stage.json")
        assert (done["stage"], done["steps"]) == ("RLSP SFT", 150)
        assert 10 <= int(done["resumed_from"].removeprefix("checkpoint-")) < 149
        history = read_json(run / "sft" / "trainer_state.json")["log_history"]
        assert [entry["step"] for entry in history if "loss" in entry] == list(range(1, 151))

    def test_what_was_complete_is_skipped(self, resumed_run):
        _, run, shown = resumed_run
        (skipped,) = [line for line in shown.splitlines() if "skipped" in line]
        assert "1/5 eval start: complete, skipped" in skipped
        made = (run / "eval_start" / "metrics.json").stat().st_mtime
        assert made < (run / "sft" / "stage.json").stat().st_mtime

    def test_the_stages_after_it(self, resumed_run):
        _, run, shown = resumed_run
        done = read_json(run / "rlsp" / "stage.json")
        assert (done["stage"], done["steps"], done["resumed_from"]) == ("RLSP", 2, None)
        for name in ("start", "SFT", "RLSP"):
            assert f"│ {name} " in shown  # the table
            assert len((run / f"eval_{name}" / "samples.jsonl").read_text(encoding="utf-8").splitlines()) == 10
        trained = read_json(run / "eval_RLSP" / "metrics.json")["settings"]
        assert (trained["model_name_or_path"], trained["seed"]) == (str(run / "rlsp"), 0)

    def test_the_report(self, resumed_run):
        _, run, _ = resumed_run
        report = (run / "report.md").read_text(encoding="utf-8")
        assert report.startswith("# recipe\n\n| model | accuracy (pass@1) |")
        assert [line.split(" | ")[0] for line in report.splitlines()[4:7]] == ["| start", "| SFT", "| RLSP"]
        assert "10 problems x 1 completions" in report
        curve = [line for line in report.split("## RL, as trained")[1].splitlines() if line.startswith("|")]
        assert [line.split(" | ")[0] for line in curve[2:]] == ["| 1", "| 2"]
        assert "<title>" in (run / "report" / "index.html").read_text(encoding="utf-8")

    def test_a_complete_run_does_nothing_but_show_its_table(self, resumed_run, capfd, monkeypatch):
        recipe, run, _ = resumed_run
        monkeypatch.setenv("COLUMNS", "200")
        kept = [path for path in run.glob("*/*") if path.name != "settings.json" and path.parent.name != "report"]
        before = {path: path.stat().st_mtime_ns for path in kept}
        assert main(["run", str(recipe), "--output_dir", str(run)]) == 0
        shown = capfd.readouterr().out
        assert shown.count("complete, skipped") == 5
        assert "accuracy (pass@1)" in shown
        assert {path: path.stat().st_mtime_ns for path in before} == before
        assert sorted(path.name for path in run.iterdir()) == sorted([*STAGES, "report", "report.md"])

    @pytest.mark.parametrize(
        ("arguments", "folder"),
        [(["--seed", "1"], "eval_start"), (["--grpo.alpha", "0.7"], "rlsp"), (["--sft.max_steps", "151"], "sft")],
    )
    def test_changed_settings_are_refused(self, resumed_run, capfd, arguments, folder):
        recipe, run, _ = resumed_run
        assert main(["run", str(recipe), "--output_dir", str(run), *arguments]) == 2
        assert f"{run / folder} was started with other settings" in capfd.readouterr().err
