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

import psutil
import pytest

from trl_rlsp.cli import main
from trl_rlsp.commands._train import check_settings
from trl_rlsp.errors import ConfigError, SourceError
from trl_rlsp.pipeline import Launcher, StageError, Step, execute, parse_run, plan, refuse_changed
from trl_rlsp.stages import claimed, read_record

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


def run_of(recipe, *given):
    return parse_run([str(recipe), *map(str, given)])


class TestParseRun:
    def test_defaults(self, small):
        run = run_of(small)
        assert (run.recipe, run.output, run.start[0], run.seed) == (small, Path("runs/small-seed0"), "m", 0)
        assert {name: run.overrides[name] for name in ("sft", "grpo", "eval")} == {
            name: ["--seed", "0"] for name in ("sft", "grpo", "eval")
        }

    def test_overrides_go_to_their_stage(self, small):
        given = ["--seed", 3, "--grpo.alpha", "0.7", "--output_dir", "o", "--eval.num_samples=4", "--grpo.beta", "-1"]
        run = run_of(small, *given, "--sft.lora_target_modules", "q_proj", "v_proj")
        assert run.output == Path("o")
        assert run.overrides == {
            "sft": ["--seed", "3", "--lora_target_modules", "q_proj", "v_proj"],
            "grpo": ["--seed", "3", "--alpha", "0.7", "--beta", "-1"],
            "eval": ["--seed", "3", "--num_samples", "4"],
            "own": ["--seed", "3"],
            "rounds": [],
        }

    @pytest.mark.parametrize("missing", ["grpo", "eval"])
    def test_no_recipe(self, small, missing):
        (small / f"{missing}.yaml").unlink()
        with pytest.raises(SourceError, match=rf"small' is not a recipe folder: it has no {missing}\.yaml"):
            run_of(small)

    @pytest.mark.parametrize("wrong", ["--run.alpha", "--grpo."])
    def test_an_override_it_cannot_read(self, small, wrong):
        with pytest.raises(ConfigError, match=f"cannot read '{wrong}': an override is --STAGE.FIELD VALUE"):
            run_of(small, wrong, "1")

    @pytest.mark.parametrize("number", ["0", "-1", "two"])
    def test_no_number_of_rounds(self, small, number):
        with pytest.raises(ConfigError, match="--rounds"):
            run_of(small, "--rounds", number)

    @pytest.mark.parametrize("stage", ["sft", "grpo", "eval"])
    @pytest.mark.parametrize(
        ("name", "option"),
        [
            ("model_name_or_path", "--model"),
            ("model-name-or-path", "--model"),
            ("output_dir", "--output_dir"),
            ("seed", "--seed"),
        ],
    )
    def test_what_would_compare_different_things_is_refused(self, small, stage, name, option):
        """Else "before" would be of one model and "after" of another, in silence."""
        with pytest.raises(ConfigError, match=f"set it for the whole run with {option}$"):
            run_of(small, f"--{stage}.{name}", "x")


class TestPlan:
    def test_with_demonstrations(self, small, tmp_path):
        run = tmp_path / "run"
        steps = plan(run_of(small, "--output_dir", run))
        assert [(s.title, s.command, s.folder, s.model) for s in steps] == [
            ("eval start", "eval", run / "eval_start", "m"),
            ("sft", "sft", run / "sft", "m"),
            ("eval SFT", "eval", run / "eval_SFT", str(run / "sft")),
            ("rlsp", "grpo", run / "rlsp", str(run / "sft")),
            ("eval RLSP", "eval", run / "eval_RLSP", str(run / "rlsp")),
        ]
        assert [[before.title for before in s.after] for s in steps] == [[], [], ["sft"], ["sft"], ["rlsp"]]

    def test_without(self, small, tmp_path):
        (small / "sft.yaml").unlink()
        (small / "grpo.yaml").write_text("model_name_or_path: start\n")
        steps = plan(run_of(small, "--output_dir", tmp_path / "run"))
        assert [(s.title, s.model) for s in steps] == [
            ("eval start", "start"),
            ("rlsp", "start"),
            ("eval RLSP", str(tmp_path / "run" / "rlsp")),
        ]

    def test_what_rl_found_is_learned_last(self, small, tmp_path):
        write_recipe(small, own="demonstrations: file\n")
        run = run_of(small, "--output_dir", tmp_path, "--own.learning_rate", "0.001")
        harvest, own, judged = plan(run)[5:]
        assert harvest.words() == [
            *("harvest", str(tmp_path / "rlsp"), "--output", str(tmp_path / "harvest" / "demonstrations.jsonl")),
            *("--seed", "0"),
        ]
        assert (own.command, own.model, own.config) == ("sft", str(tmp_path / "rlsp"), small / "own.yaml")
        assert own.settings["dataset"] == str(tmp_path / "harvest" / "demonstrations.jsonl")
        assert own.settings["learning_rate"] == 0.001
        assert (judged.model, judged.folder) == (str(tmp_path / "own"), tmp_path / "eval_own")
        assert [[before.title for before in s.after] for s in (harvest, own, judged)] == [
            ["rlsp"],
            ["harvest", "rlsp"],
            ["own"],
        ]

    def test_one_start_model_for_all(self, small):
        steps = plan(run_of(small, "--model", "other"))
        assert [s.model for s in steps[:2]] == ["other", "other"]

    def test_a_model_beside_the_recipe(self, small):
        (small / "m").mkdir()
        assert plan(run_of(small))[0].model == str(small / "m")

    def test_no_model(self, small):
        (small / "sft.yaml").write_text("dataset: x\n")
        with pytest.raises(
            ConfigError, match=r"sft\.yaml names no model: set model_name_or_path there, or give --model"
        ):
            run_of(small)

    def test_words(self, small, tmp_path):
        steps = plan(run_of(small, "--output_dir", tmp_path, "--grpo.alpha", "0.7"))
        rl = ["--model_name_or_path", str(tmp_path / "sft"), "--output_dir", str(tmp_path / "rlsp"), "--seed", "0"]
        assert steps[3].words() == [
            *("grpo", "--config", str(small / "grpo.yaml"), *rl, "--alpha", "0.7"),
            *("--resume_from_checkpoint", "auto"),
        ]
        assert "--resume_from_checkpoint" not in steps[0].words()


class TestRefuseChanged:
    """Every step of a run was begun; then something of the recipe or the command changes."""

    @pytest.fixture
    def begun(self, small, tmp_path):
        output = tmp_path / "run"
        for step in plan(run_of(small, "--output_dir", output)):
            step.remember()
        return lambda *given: plan(run_of(small, "--output_dir", output, *given))

    def test_the_same_settings_go_on(self, begun):
        refuse_changed(begun())

    def test_a_comment_and_the_order_of_the_lines_change_nothing(self, begun, small):
        (small / "sft.yaml").write_text("# corrected\nseed: 0\nmodel_name_or_path:   m # the same\n")
        refuse_changed(begun())

    def test_an_override_is_as_good_as_the_file(self, begun, small):
        (small / "grpo.yaml").write_text("b: 1\n")
        refuse_changed(begun("--grpo.a", "1", "--grpo.b", "1")[:3])
        with pytest.raises(ConfigError, match=r"rlsp was made with other settings \(b: None -> 1\)"):
            refuse_changed(begun("--grpo.a", "1"))

    def test_what_comes_after_is_stale_too(self, begun, small):
        with pytest.raises(
            ConfigError, match=r"sft was made with other settings \(max_steps: None -> 9\): .* stale .*: [^ ]*/sft, "
        ) as raised:
            refuse_changed(begun("--sft.max_steps", "9"))
        folders = str(raised.value).rpartition(": ")[2].split(", ")
        assert [Path(folder).name for folder in folders] == ["sft", "eval_SFT", "rlsp", "eval_RLSP"]

    def test_training_again_from_the_middle_does_not_keep_what_was_made_of_the_old_model(self, begun, tmp_path):
        shutil.rmtree(tmp_path / "run" / "sft")
        with pytest.raises(ConfigError, match=r"eval_SFT was made with other settings \(an earlier step\)"):
            refuse_changed(begun("--sft.max_steps", "9"))

    def test_another_start_or_seed(self, begun):
        with pytest.raises(ConfigError, match=r"eval_start was .* \(model_name_or_path: 'm' -> 'n'\)"):
            refuse_changed(begun("--model", "n"))
        with pytest.raises(ConfigError, match=r"eval_start was .* \(seed: 0 -> 1\)"):
            refuse_changed(begun("--seed", "1"))

    def test_a_run_that_was_moved_goes_on(self, begun, small, tmp_path):
        (tmp_path / "run").rename(tmp_path / "moved")
        steps = plan(run_of(small, "--output_dir", tmp_path / "moved"))
        refuse_changed(steps)
        assert read_record(tmp_path / "moved" / "rlsp")["settings"]["model_name_or_path"] == str(
            tmp_path / "moved" / "sft"
        )


class TestCheckSettings:
    def test_a_stage_keeps_its_environment_to_itself(self, tmp_path, monkeypatch):
        monkeypatch.delenv("RLSP_TEST_ONLY", raising=False)
        config = tmp_path / "eval.yaml"
        config.write_text("env:\n  RLSP_TEST_ONLY: 1\ndataset: some.jsonl\n")
        check_settings(Step("eval start", "eval", config, tmp_path / "eval", "m"))
        assert "RLSP_TEST_ONLY" not in os.environ


class TestExecute:
    def test_a_stage_that_fails(self, tmp_path, capfd):
        config = tmp_path / "eval.yaml"
        config.write_text("dataset: none.jsonl\n")
        step = Step("eval start", "eval", config, tmp_path / "eval_start", "m")
        with pytest.raises(StageError, match="stage `eval start` ended with status 2; fix the error above"):
            execute(step, Launcher())
        assert "there is none at 'none.jsonl'" in capfd.readouterr().err


def begun_run(place, model_folder):
    """(process, recipe, run folder) of `rlsp run` in the middle of SFT."""
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
    return process, recipe, place / "run"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_stage_and_says_how_to_go_on(tmp_path, model_folder, number):
    pytest.importorskip("reasoning_gym")
    process, recipe, run = begun_run(tmp_path, model_folder)
    family = psutil.Process(process.pid).children(recursive=True)
    assert family
    process.send_signal(number)
    assert process.wait(60) == 128 + number
    _, left = psutil.wait_procs(family, timeout=10)
    assert left == []
    shown = (tmp_path / "log").read_text()
    assert "Traceback" not in shown
    wanted = f"stopped by {number.name}; continue with the same command: rlsp run {recipe} --output_dir {run}"
    assert wanted in shown.splitlines()[-1]


@pytest.fixture(scope="module")
def killed_run(tmp_path_factory, model_folder):
    """(recipe, run folder, what is in it) of `rlsp run`, killed in the middle of SFT, which ends with it."""
    pytest.importorskip("reasoning_gym")
    process, recipe, run = begun_run(tmp_path_factory.mktemp("pipeline"), model_folder)
    family = psutil.Process(process.pid).children(recursive=True)
    with pytest.raises(ConfigError, match=f"process {process.pid} works in {run}"), claimed(run):
        pass
    process.kill()
    process.wait()
    _, left = psutil.wait_procs(family, timeout=30)
    assert left == []
    return recipe, run, sorted(str(path.relative_to(run)) for path in run.rglob("*"))


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
        assert "sft: 1 process, 4 sequences per step" in shown
        assert "rlsp: 1 process, 8 sequences per step, 8 completions per generation" in shown
        assert f"model: {run / 'sft'}; next, RL from it: rlsp grpo" in shown
        assert "kernels-community" not in shown
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
        assert "<title>" in (run / "report" / "index.html").read_text(encoding="utf-8")

    def test_the_model_card(self, resumed_run):
        recipe, run, _ = resumed_run
        card = (run / "rlsp" / "README.md").read_text(encoding="utf-8")
        assert card.startswith("---\n")  # TRL's
        assert card.count("## Evaluation") == 1
        own = card.partition("## Evaluation")[2]
        assert "| RLSP | " in own
        assert (recipe / "grpo.yaml").read_text(encoding="utf-8") in own

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
        assert sorted(path.name for path in run.iterdir()) == sorted([".lock", *STAGES, "report", "report.md"])

    @pytest.mark.parametrize(
        ("arguments", "folder"),
        [(["--seed", "1"], "eval_start"), (["--grpo.alpha", "0.7"], "rlsp"), (["--sft.max_steps", "151"], "sft")],
    )
    def test_changed_settings_are_refused(self, resumed_run, capfd, arguments, folder):
        recipe, run, _ = resumed_run
        assert main(["run", str(recipe), "--output_dir", str(run), *arguments]) == 2
        assert f"{run / folder} was made with other settings" in capfd.readouterr().err


@pytest.mark.slow
def test_two_processes_from_the_same_command(tmp_path, model_folder, run_rlsp):
    pytest.importorskip("reasoning_gym")
    recipe = write_recipe(tmp_path / "recipe", grpo=GRPO, eval=EVAL)
    launch = Path(__file__).parents[2] / "recipes" / "accelerate" / "cpu.yaml"
    given = ["--model", model_folder, "--launch", launch, "--output_dir", tmp_path / "run"]
    done = run_rlsp("run", recipe, *given, cwd=tmp_path)
    assert done.returncode == 2
    assert "give a field of the batch" in done.stderr
    done = run_rlsp("run", recipe, *given, "--grpo.per_device_train_batch_size", "8", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (
        "rlsp: 2 processes, 16 sequences per step, 16 completions per generation; the recipe's 1 process" in done.stdout
    )
    assert read_json(tmp_path / "run" / "rlsp" / "stage.json")["steps"] == 2


@pytest.mark.slow
def test_what_rl_found_is_learned(tmp_path, taught, taught_folder, run_rlsp):
    """A model that gives three completions of a problem equally often, one of them right: RL at next to no rate leaves
    it so, and from what RL drew it learns the right one."""
    for name, problem, answer in (("train", "1 2 : 3", "3"), ("test", "8 1 9 : 72", "72")):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({"problem": problem, "solution": answer}) + "\n")
    training = TRAINING.replace("prompt_style: compact\n", "").replace("unique_problems: true\n", "")
    training += "system_prompt: none\n"
    rl = f"num_generations: 16\nper_device_train_batch_size: 16\nmax_completion_length: 24\nmax_steps: 2\n{training}"
    own = 'demonstration_template: "{reasoning} \\\\boxed{ {answer} }"\nassistant_only_loss: true\n'
    write_recipe(
        tmp_path / "recipe",
        grpo=f"model_name_or_path: {taught_folder}\ndataset: {tmp_path}/train.jsonl\nlearning_rate: 1.0e-9\n{rl}",
        own=f"demonstrations: file\nnum_train_epochs: 20\nlearning_rate: 1.0e-3\n{own}{training}",
        eval=f"dtype: float32\ndataset: {tmp_path}/test.jsonl\nsystem_prompt: none\nmax_new_tokens: 24\n",
    )
    done = run_rlsp("run", tmp_path / "recipe", "--output_dir", tmp_path / "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (kept,) = (tmp_path / "run" / "harvest" / "demonstrations.jsonl").read_text().splitlines()  # equal ones count once
    assert json.loads(kept)["answer"] == "3"
    drawn = run_rlsp(
        *("eval", "--config", tmp_path / "recipe" / "eval.yaml", "--model_name_or_path", tmp_path / "run" / "own"),
        *("--dataset", tmp_path / "train.jsonl", "--num_samples", "32", "--output_dir", tmp_path / "after"),
        cwd=tmp_path,
    )
    assert drawn.returncode == 0, drawn.stderr
    assert json.loads((tmp_path / "after" / "metrics.json").read_text())["pass_at_1"]["mean"] > 0.9
