"""`rlsp init`: what it writes is what `rlsp doctor` and `rlsp run` accept, and no problem is in both parts."""

from __future__ import annotations

import csv

import pytest
import yaml

from trl_rlsp.cli import main
from trl_rlsp.problems import load_problems, problem_key
from trl_rlsp.stages import read_yaml

ANSWERS = {"model": "base", "data": "problems.csv", "hardware": "cpu", "reward": "length"}


@pytest.fixture
def place(tmp_path, monkeypatch, model_folder):
    """An empty folder with a model and 60 problems."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "base").symlink_to(model_folder)
    with open("problems.csv", "w", newline="") as file:
        csv.writer(file).writerows([["question", "answer"], *([f"{a} + 3", a + 3] for a in range(60))])
    return tmp_path


def init(**changed):
    given = {**ANSWERS, **changed}
    return main(["init", *(text for name, value in given.items() if value for text in (f"--{name}", value))])


def test_a_file_is_split(place, capsys):
    assert init() == 0
    assert "rlsp run recipes/mine" in capsys.readouterr().out
    written = read_yaml(place / "recipes/mine/grpo.yaml")
    held_out = load_problems(written["exclude"])
    train = load_problems(written["dataset"], exclude=held_out, unique=True)
    assert (len(train), len(held_out)) == (54, 6)  # a tenth
    assert not {problem_key(row) for row in train} & {problem_key(row) for row in held_out}
    assert read_yaml(place / "recipes/mine/eval.yaml")["dataset"] == written["exclude"]


@pytest.mark.parametrize("reward", ["outcome", "length", "behaviours", "diversity"])
def test_the_doctor_accepts_it(place, reward, capsys):
    assert init(reward=reward) == 0
    assert main(["doctor", "--config", "recipes/mine/grpo.yaml", "--max_completion_length", "32"]) == 0, (
        capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("data", "train", "held_out"),
    [
        ("reasoning_gym:gcd", "reasoning_gym:gcd?seed=1&size=5000", "reasoning_gym:gcd?seed=1000000&size=500"),
        ("reasoning_gym:gcd?a=2", "reasoning_gym:gcd?a=2&seed=1&size=5000", None),
        ("math", "math", "math-500"),
        ("gsm8k", "gsm8k", "gsm8k"),
    ],
)
@pytest.mark.parametrize("hardware", ["24gb", "80gb", "8x80gb"])
def test_known_sources(place, data, train, held_out, hardware):
    assert init(data=data, hardware=hardware) == 0
    written, evaluation = (read_yaml(place / f"recipes/mine/{stage}.yaml") for stage in ("grpo", "eval"))
    assert written["dataset"] == train
    assert held_out in (None, evaluation["dataset"])
    assert evaluation.get("dataset_split") == ("test" if data == "gsm8k" else None)
    assert (place / "recipes/mine/recipe.yaml").is_file()
    ranks = yaml.safe_load((place / "recipes/mine/recipe.yaml").read_text())["processes"]
    completions = written["per_device_train_batch_size"] * written["gradient_accumulation_steps"] * ranks
    assert completions in (64, 128, 256)


def test_what_is_missing_is_asked_for(place, monkeypatch):
    asked = []
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda question: asked.append(question) or "outcome")
    assert init(reward=None) == 0
    assert asked == ["reward (besides right answers: outcome (nothing), length, behaviours, diversity): "]
    assert read_yaml(place / "recipes/mine/grpo.yaml")["exploration"] == "none"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"hardware": "tpu"}, "--hardware is one of cpu, 24gb, 80gb, 8x80gb, got 'tpu'"),
        ({"reward": "novelty"}, "--reward is one of outcome, length"),
        ({"data": "somebody/rows"}, "--held_out names the problems of the evaluation"),
        ({"model": None}, "--model is required without a terminal"),
    ],
)
def test_what_cannot_work(place, monkeypatch, capsys, changed, message):
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    assert init(**changed) == 2
    assert message in capsys.readouterr().err
    assert not (place / "recipes").exists()


def test_nothing_is_overwritten(place, capsys):
    assert init() == 0
    assert init() == 2
    assert "recipes/mine exists; name another folder with --output" in capsys.readouterr().err
