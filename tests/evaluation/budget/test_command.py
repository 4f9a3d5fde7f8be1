"""`rlsp budget`: what it refuses before a model is loaded, and one call for real."""

from __future__ import annotations

import json

import pytest

from trl_rlsp.commands import Budget
from trl_rlsp.errors import ConfigError
from trl_rlsp.evaluation import load_scored
from trl_rlsp.generation import TransformersEngine


def given(**fields):
    return Budget(**{"dataset": "problems.jsonl", "model_name_or_path": "m", "budgets": "8", **fields})


class TestRefused:
    @pytest.mark.parametrize(
        ("fields", "match"),
        [
            ({"model_name_or_path": None}, "no model: give --model_name_or_path PATH, or --models NAME=PATH"),
            ({"models": ["sft"]}, r"models are NAME=PATH, each name once, got \['sft'\]"),
            ({"models": ["a=x", "a=y"]}, "each name once"),
            ({"budgets": ""}, "budgets are whole numbers of at least 1, such as 32,64,128, got ''"),
            ({"budgets": "8,0"}, "got '8,0'"),
            ({"budgets": "8,²"}, "got '8,²'"),
            ({"votes": 1}, "votes are 0 or at least 2, at a temperature above 0, got 1 at 0.7"),
            ({"votes": 4, "temperature": 0.0}, "got 4 at 0.0"),
            ({"confidence": 0.4}, "confidence is above 0.5 and below 1, got 0.4"),
            ({"dataset": None}, "no data"),
        ],
    )
    def test_before_a_model_is_loaded(self, fields, match):
        with pytest.raises(ConfigError, match=match):
            given(**fields).check()


def test_read():
    settings = given(models=["a=x=1", "b=y"], budgets="64, 8,8", ends=[])
    assert settings.named_models() == {"a": "x=1", "b": "y"}
    assert settings.sizes() == [8, 64]
    ends = ("\\boxed",)
    points = [(b.at_least, b.at_most, b.ends) for b in settings.points()]
    assert points == [(0, 8, ends), (0, 64, ends), (0, None, ends)]
    forced = given(budgets="8", at_least=True).points()
    assert [(b.at_least, b.at_most) for b in forced] == [(0, 8), (8, 8), (0, None)]
    assert given(model_name_or_path="runs/sft").named_models() == {"sft": "runs/sft"}


@pytest.fixture
def call(tmp_path, taught_folder, monkeypatch):
    """Run the command on the taught model's two problems; returns its folder."""
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    rows = [{"problem": "8 1 9 : 72", "answer": "72"}, {"problem": "1 2 : 3", "answer": "3"}]
    (tmp_path / "problems.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "eval.yaml").write_text(
        "dataset: problems.jsonl\nsystem_prompt: none\ndtype: float32\ntemperature: 1.0\nmax_new_tokens: 20\n"
    )

    def run(*arguments):
        models = [f"{name}={taught_folder}" for name in ("first", "second")]
        command = Budget.parse(["--config", "eval.yaml", "--output_dir", "out", "--models", *models, *arguments])
        command.check()
        command.execute()
        return tmp_path / "out"

    return run


def test_for_real(call):
    folder = call(
        *("--budgets", "1,9", "--at_least", "--continuation", "|", "--settled", "yes", "--answer_tokens", "4"),
        *("--votes", "3", "--num_samples", "2"),
    )
    found = json.loads((folder / "budget.json").read_text())
    points = [(p["model"], p["mode"], p["budget"]) for p in found["points"]]
    modes = [("at most", 1), ("at most", 9), ("forced", 1), ("forced", 9), ("no budget", None)]
    assert points == [(name, *mode) for name in ("first", "second") for mode in modes]
    by_mode = {(p["mode"], p["budget"]): p for p in found["points"]}
    assert by_mode["at most", 1]["forced"] == 1.0  # no completion answers after one token
    # 1 of reasoning, the box, 4 of answer at most
    assert by_mode["at most", 1]["metrics"]["tokens"]["mean"] <= 6
    assert {name: list(results) for name, results in found["votes"].items()} == {
        name: ["unbeatable", "adaptive consistency, 0.95", "3 of the last 4 agree"] for name in ("first", "second")
    }
    folders = ("at_most_1", "at_most_9", "forced_1", "forced_9", "no_budget")
    evaluations = [folder / name / label for name in ("first", "second") for label in folders]
    assert [len(load_scored(evaluation)) for evaluation in evaluations] == [2 * 2] * 10  # problems, samples
    assert "Votes of up to 3 samples per problem" in (folder / "budget.md").read_text()
    assert (folder / "budget.png").read_bytes().startswith(b"\x89PNG")


def test_goes_on_with_what_is_there(call, monkeypatch):
    arguments = ("--budgets", "1,9", "--at_least", "--continuation", "|", "--votes", "2")
    folder = call(*arguments)
    before = (folder / "budget.json").read_text()
    monkeypatch.setattr(TransformersEngine, "sample", lambda *_: pytest.fail("sampled again"))
    assert call(*arguments) == folder
    assert (folder / "budget.json").read_text() == before
    with pytest.raises(ConfigError, match="holds samples drawn with other settings"):
        call("--budgets", "1,9", "--seed", "3")


def test_a_wording_that_cannot_work_is_found_before_sampling(call):
    with pytest.raises(ConfigError, match="continuation must be words of the tokenizer's vocabulary, but 'Wait'"):
        call("--budgets", "8", "--at_least")
