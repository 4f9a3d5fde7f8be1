"""`rlsp run --rounds 2`: every stage for real, in this process, on the taught model."""

from __future__ import annotations

import json
import shutil

import pytest

from trl_rlsp import pipeline
from trl_rlsp.cli import main
from trl_rlsp.pipeline import parse_run, plan
from trl_rlsp.stages import read_record

CPU = """
dtype: float32
bf16: false
use_cpu: true
gradient_checkpointing: false
logging_steps: 1
save_strategy: "no"
report_to: none
learning_rate: 1.0e-9
"""
SFT = """
model_name_or_path: base
dataset: {place}/shown.jsonl
system_prompt: none
demonstration_template: "{{reasoning}} \\\\boxed{{ {{answer}} }}"
assistant_only_loss: true
max_length: 64
max_steps: 1
per_device_train_batch_size: 2
"""
GRPO = """
dataset: {place}/train.jsonl
system_prompt: none
num_generations: 8
per_device_train_batch_size: 16
max_completion_length: 16
max_steps: 2
"""
EVAL = """
dtype: float32
dataset: {place}/test.jsonl
system_prompt: none
temperature: 1.0
max_new_tokens: 16
"""
PROBLEMS = {"8 1 9 : 72": "72", "1 2 : 3": "3"}


def write_rows(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def read_rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory, taught_folder):
    place = tmp_path_factory.mktemp("rounds")
    folder = place / "recipe"
    folder.mkdir()
    shutil.copytree(taught_folder, folder / "base")
    write_rows(place / "shown.jsonl", [{"problem": "1 2 : 3", "reasoning": "2 - 1 = 1 no", "answer": "1"}])
    write_rows(place / "train.jsonl", [{"problem": p, "answer": a} for p, a in PROBLEMS.items()])
    write_rows(place / "test.jsonl", [{"problem": "2 3 : 5", "answer": "5"}])
    for name, text in {"sft": SFT + CPU, "grpo": GRPO + CPU, "eval": EVAL}.items():
        (folder / f"{name}.yaml").write_text(text.format(place=place))
    (folder / "rounds.yaml").write_text("solve_rate_low: 0.0\nsolve_rate_high: 1.0\nper_problem: 1\n")
    return folder


@pytest.fixture(scope="module")
def run(recipe):
    """(run folder, the stages that ran) of two rounds."""
    executed = []

    def in_this_process(step, launcher):
        executed.append(step.title)
        assert main(step.words()) == 0

    output = recipe.parent / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "execute", in_this_process)
        assert main(["run", str(recipe), "--output_dir", str(output), "--rounds", "2"]) == 0
    return output, executed


class TestTwoRounds:
    def test_stages(self, run):
        names = ["sft", "eval SFT", "rlsp", "eval RLSP"]
        first, second = ([f"{name} {number}" for name in names] for number in (1, 2))
        assert run[1] == ["eval start 1", *first, "harvest 2", *second]

    def test_the_second_round_learns_from_the_first(self, run, taught):
        output, _ = run
        mixture = read_rows(output / "round-2" / "harvest" / "mixture.jsonl")
        harvested = [row for row in mixture if "provenance" in row]
        assert {row["prompt"][0]["content"]: row["reasoning"] for row in harvested} == {
            problem: taught[problem][0] for problem in PROBLEMS
        }
        (original,) = [row for row in mixture if "provenance" not in row]
        assert original["reasoning"] == "2 - 1 = 1 no \\boxed{ 1 }"
        problems = read_rows(output / "round-2" / "harvest" / "problems.jsonl")
        assert {row["problem"][0]["content"]: row["answer"] for row in problems} == PROBLEMS
        settings = read_record(output / "round-2" / "rlsp")["settings"]
        assert settings["dataset"] == str(output / "round-2" / "harvest" / "problems.jsonl")

    def test_each_round_is_in_the_table(self, run):
        report = (run[0] / "report.md").read_text()
        names = [line.split(" | ")[0] for line in report.splitlines() if line.startswith("| ")]
        assert names[1:6] == ["| start 1", "| SFT 1", "| RLSP 1", "| SFT 2", "| RLSP 2"]

    def test_a_complete_run_is_skipped(self, run, recipe, capsys):
        assert main(["run", str(recipe), "--output_dir", str(run[0]), "--rounds", "2"]) == 0
        assert capsys.readouterr().out.count("complete, skipped") == 10

    def test_only_the_stage_that_is_missing_is_made_again(self, run, recipe, monkeypatch):
        output, _ = run
        folder = output / "round-2" / "eval_RLSP"
        shutil.rmtree(folder)
        done = []

        def in_this_process(step, launcher):
            done.append(step.title)
            assert main(step.words()) == 0

        monkeypatch.setattr(pipeline, "execute", in_this_process)
        assert main(["run", str(recipe), "--output_dir", str(output), "--rounds", "2"]) == 0
        assert done == ["eval RLSP 2"]
        assert (folder / "metrics.json").is_file()

    def test_changed_settings_are_refused(self, run, recipe, capsys):
        given = ["run", str(recipe), "--output_dir", str(run[0]), "--rounds", "2", "--rounds.per_problem", "2"]
        assert main(given) == 2
        assert f"{run[0] / 'round-2' / 'harvest'} was made with other settings" in capsys.readouterr().err

    def test_one_round_is_the_ordinary_run(self, recipe):
        steps = plan(parse_run([str(recipe), "--output_dir", "one"]))
        assert [step.title for step in steps] == ["eval start", "sft", "eval SFT", "rlsp", "eval RLSP"]
