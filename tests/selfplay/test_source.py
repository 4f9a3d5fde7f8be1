"""What a run wrote down about its data."""

from __future__ import annotations

import json

import pytest

from trl_rlsp.errors import ConfigError, DataError
from trl_rlsp.selfplay._run import held_out_sources, problem_source
from trl_rlsp.stages import ProblemArguments, settings_of, write_record


def remember(folder, command, *arguments):
    write_record(folder, command, settings_of([str(argument) for argument in arguments]))


@pytest.fixture
def stage(tmp_path):
    """An RL stage, with SFT and evaluations beside it."""
    (tmp_path / "grpo.yaml").write_text(
        "model_name_or_path: m\nlearning_rate: 1.0e-3\ndataset: train.jsonl\nunique_problems: true\nenv: {A: 1}\n"
        "dataset_columns: {problem: q}\ndataset_limit: 9\n"
    )
    (tmp_path / "sft.yaml").write_text("dataset: reasoning_gym:countdown\ndemonstrations: search\nmax_steps: 3\n")
    (tmp_path / "eval.yaml").write_text("dataset: test.jsonl\nnum_samples: 4\n")
    run = tmp_path / "run"
    seed = ("--seed", "3")
    remember(run / "rlsp", "grpo", "--config", tmp_path / "grpo.yaml", *seed, "--dataset_limit", "5", "--beta", "-1")
    remember(run / "sft", "sft", "--config", tmp_path / "sft.yaml", "--search_per_problem", "4", *seed)
    for name in ("eval_SFT", "eval_RLSP"):
        remember(run / name, "eval", "--config", tmp_path / "eval.yaml", *seed)
    return run / "rlsp"


class TestProblems:
    def test_the_file_and_its_overrides(self, stage):
        wanted = ProblemArguments(
            dataset="train.jsonl", unique_problems=True, dataset_columns={"problem": "q"}, dataset_limit=5
        )
        assert problem_source(stage) == wanted

    def test_what_is_given_wins(self, stage):
        assert problem_source(stage, ["--prompt_style", "compact"]).prompt_style == "compact"
        other = problem_source(stage, ["--dataset", "other.jsonl"])  # nothing of the old one is left
        assert other == ProblemArguments(dataset="other.jsonl")

    def test_a_file_of_its_own(self, stage, tmp_path):
        (tmp_path / "mine.yaml").write_text("dataset: mine.jsonl\n")
        assert problem_source(stage, config=str(tmp_path / "mine.yaml")) == ProblemArguments(dataset="mine.jsonl")

    def test_a_run_that_says_nothing(self, tmp_path):
        assert problem_source(tmp_path) is None
        assert problem_source(tmp_path, ["--dataset", "a.jsonl"]) == ProblemArguments(dataset="a.jsonl")

    def test_an_evaluation(self, tmp_path):
        settings = {"dataset": "a.jsonl", "dataset_columns": {"problem": "q"}, "seed": 1, "exclude": None}
        (tmp_path / "metrics.json").write_text(json.dumps({"settings": settings}))
        assert problem_source(tmp_path) == ProblemArguments(dataset="a.jsonl", dataset_columns={"problem": "q"})

    def test_neither_the_recipe_nor_the_current_folder_matters_later(self, stage, tmp_path, monkeypatch):
        (tmp_path / "train.jsonl").write_text("")
        monkeypatch.chdir(tmp_path)
        remember(stage, "grpo", "--config", "grpo.yaml", "--exclude", "run/held_out.jsonl")
        (tmp_path / "grpo.yaml").unlink()
        (tmp_path / "run").rename(tmp_path / "moved")
        monkeypatch.chdir("/")
        found = problem_source(tmp_path / "moved" / "rlsp")
        assert (found.dataset, found.exclude) == (
            str(tmp_path / "train.jsonl"),
            str(tmp_path / "moved" / "held_out.jsonl"),
        )

    @pytest.mark.parametrize("content", ["{", "[]", '{"settings": 3}'])
    def test_broken_settings(self, tmp_path, content):
        (tmp_path / "settings.json").write_text(content)
        with pytest.raises(DataError, match=r"settings\.json cannot be read as .*; give the data set with --dataset"):
            problem_source(tmp_path)

    def test_an_unknown_field(self, tmp_path):
        with pytest.raises(ConfigError, match="--datasets"):
            problem_source(tmp_path, ["--datasets", "x"])


class TestHeldOut:
    @pytest.fixture
    def sources(self, stage):
        (stage / "completions").mkdir(parents=True)
        return lambda source=None, names=(): held_out_sources(stage, source, names)

    def test_evaluations_once_each(self, sources):
        assert sources() == [ProblemArguments(dataset="test.jsonl")]

    def test_an_evaluation_of_its_own_has_none_beside_it(self, stage):
        assert held_out_sources(stage, None, []) == []

    def test_a_preset_is_what_it_stood_for(self, sources, stage):
        remember(stage.parent / "eval_SFT", "eval", "--preset", "math-500")
        settings = {"dataset": "math-500", "preset": "math-500"}
        (stage.parent / "eval_SFT" / "metrics.json").write_text(json.dumps({"settings": settings}))
        assert {source.dataset for source in sources()} == {"math-500", "test.jsonl"}

    def test_names(self, sources):
        generated = ProblemArguments(dataset="reasoning_gym:countdown?seed=1", prompt_style="compact")
        found = sources(generated, ["owner/set@test", "reasoning_gym:countdown", "reasoning_gym:chess", "test.jsonl"])
        assert found[1:] == [
            ProblemArguments(dataset="owner/set", dataset_split="test"),
            ProblemArguments(dataset="reasoning_gym:countdown", prompt_style="compact"),
            ProblemArguments(dataset="reasoning_gym:chess"),
        ]

    def test_what_training_left_out(self, sources):
        trained = ProblemArguments(dataset="a.jsonl", exclude="b.jsonl", exclude_split="c")
        assert sources(trained)[1:] == [ProblemArguments(dataset="b.jsonl", dataset_split="c")]

    def test_an_empty_name(self, sources):
        with pytest.raises(ConfigError, match="--exclude needs SOURCE or SOURCE@SPLIT, got '@test'"):
            sources(names=["@test"])
