"""The lines of docs/first_day.md, run where there is neither a GPU nor a network.

Each section begins in an empty folder, as after `pip install`. Every word of the page stays; added are models of two
layers in place of those that a recipe names, problems and solutions of GSM-Symbolic from reasoning_gym in the columns
of the data sets, small sizes, on which hardware it is, and a verdict that random text can get.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from markdown_blocks import blocks_in
from shell_lines import PASSED, commands_in

from trl_rlsp.cli import main
from trl_rlsp.stages import read_yaml

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "first_day.md"
SECTIONS = re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
LINES = [[words for block in blocks_in(PAGE, text) for words in commands_in(block.text)] for text in SECTIONS]
FIRST_MODEL = {  # recipe -> the model that it names
    "qwen2.5-1.5b-math": "Qwen/Qwen2.5-1.5B-Instruct",
    "llama-3.1-8b-math": "meta-llama/Llama-3.1-8B-Instruct",
    "qwen2.5-32b-aime": "Qwen/Qwen2.5-32B-Instruct",
}

TRAINING = {"use_cpu": "true", "bf16": "false", "max_steps": "2", "gradient_accumulation_steps": "1"}
SMALL = {
    "sft": {**TRAINING, "max_length": "1024", "per_device_train_batch_size": "4", "dataset": "traces.jsonl"},
    "grpo": {
        **TRAINING,
        **{"use_vllm": "false", "steps_per_generation": "1", "per_device_train_batch_size": "16"},
        **{"max_completion_length": "24", "learning_rate": "0.1", "verifier_workers": "1"},
        **{"dataset": "problems.jsonl", "exclude": "held_out.jsonl", "verifier": "verdicts.even"},
    },
    "eval": {"engine": "transformers", "max_new_tokens": "24", "num_samples": "1", "dataset": "held_out.jsonl"},
}


def pairs(values, stage=""):
    return [word for name, value in values.items() for word in (f"--{stage}{name}", value)]


def added(words, judge):
    """What the line is given in addition here."""
    command, *rest = words
    recipe = next((name for name in FIRST_MODEL if any(name in word for word in rest)), None)
    if command == "run" and recipe is None:
        return ["--eval.dataset_limit", "16"]
    if command == "run":
        with_sft = (ROOT / "recipes" / recipe / "sft.yaml").is_file()
        stages = ("sft", "grpo", "eval") if with_sft else ("grpo", "eval")
        more = [word for stage in stages for word in pairs(SMALL[stage], f"{stage}.")]
        own = ["--grpo.judge_base_url", judge] if recipe == "llama-3.1-8b-math" else []
        return [*more, *own, "--model", f"models/{recipe}"]
    if command == "doctor":
        data = {name: SMALL["grpo"][name] for name in ("dataset", "exclude", "max_completion_length")}
        return ["--model_name_or_path", f"models/{recipe}", *pairs(data), "--elsewhere"]
    return ["--dataset", "problems.jsonl"] if command == "check" else []


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty folder but for models and data."""
    import reasoning_gym

    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(ROOT / "tests" / "recipes")
    from stand_ins import save_tiny

    for recipe, name in FIRST_MODEL.items():
        save_tiny(name, tmp_path / "models" / recipe)
    drawn = list(reasoning_gym.create_dataset("gsm_symbolic", seed=2024, size=90))
    rows = [{"problem": row["question"], "answer": row["answer"]} for row in drawn]
    solved = [f"{row['metadata']['answer_cot']}\n\n\\[ \\boxed{{{row['answer']}}} \\]" for row in drawn]
    traces = [{"problem": row["problem"], "qwq": text} for row, text in zip(rows, solved, strict=True)]
    verdict = "def even(completions, **kwargs):\n    return [len(text[0]['content']) % 2 for text in completions]\n"
    Path("verdicts.py").write_text(verdict)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    for name, content in (("problems", rows[:80]), ("held_out", rows[80:]), ("traces", traces[:80])):
        Path(f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in content))
    return tmp_path


def test_the_models_are_those_that_the_recipes_name():
    for recipe, name in FIRST_MODEL.items():
        files = [ROOT / "recipes" / recipe / f"{stage}.yaml" for stage in ("sft", "grpo")]
        assert read_yaml(next(file for file in files if file.is_file()))["model_name_or_path"] == name


@pytest.mark.slow
@pytest.mark.parametrize("lines", [lines for lines in LINES if lines], ids=["start", "24gb", "80gb", "node"])
def test_every_line_runs(lines, place, judge_url, capsys):
    ran = []
    for words in lines:
        if words[0] == "rlsp":
            assert main([*words[1:], *added(words[1:], judge_url)]) == 0, (words, capsys.readouterr())
            ran.append(words[1])
        else:
            assert words[0] in {*PASSED, "pip"}, words
    complete = [path.parents[1] for path in Path("runs").glob("*/rlsp/stage.json")]
    assert len(complete) == ran.count("run") > 0
    assert all((folder / "report.md").is_file() for folder in complete)
    if "merge" in ran:
        assert json.loads(Path("runs/qwen2.5-32b-aime-seed0/merged/merge.json").read_text())["layers"] == 14
