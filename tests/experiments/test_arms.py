from __future__ import annotations

import os

import pytest
import yaml

from countdown.arms import build, build_rewards
from countdown.grid import Arm, load_grid
from trl_rlsp import LengthExploration, RLSPRewards
from trl_rlsp.errors import ConfigError

GRIDS = (
    "countdown/grid.yaml",
    "countdown/longer.yaml",
    "countdown/plain_trl.yaml",
    "countdown/frontier.yaml",
    "countdown/few_percent.yaml",
    "countdown/fifth.yaml",
    "countdown/gpu.yaml",
    "equations/grid.yaml",
    "equations/frontier.yaml",
    "jugs/grid.yaml",
)
WANTED = {
    "sft",
    "verifier_only",
    "paper_length_group",
    "paper_length_batch",
    "bounded",
    "bounded_adaptive",
    "diversity_adaptive",
    "alpha_schedule",
}


@pytest.mark.parametrize("name", GRIDS)
class TestCommittedGrid:
    def test_every_arm_can_be_built(self, experiments, name):
        grid = load_grid(experiments / name)
        for arm in grid.arms.values():
            rewards = build_rewards(arm)
            assert isinstance(rewards, RLSPRewards)
            assert arm.name != "verifier_only" or not rewards.exploration

    def test_trainer_arguments_exist(self, experiments, name, tmp_path):
        from trl_rlsp import RLSPGRPOConfig

        grid = load_grid(experiments / name)
        for arm in grid.arms.values():
            given = {**grid.training, **(arm.training or {}), "use_cpu": True}
            config = RLSPGRPOConfig(output_dir=str(tmp_path), **given)
            assert config.num_generations == 8
            # a generation is not split within a step: then its lengths are logged once
            assert config.steps_per_generation % config.gradient_accumulation_steps == 0

    def test_completions_are_as_long_in_training_as_in_evaluation(self, experiments, name):
        grid = load_grid(experiments / name)
        assert grid.training["max_completion_length"] == grid.sampling["max_new_tokens"]
        assert grid.training["temperature"] == grid.sampling["temperature"]

    def test_the_stages_of_the_starting_model_can_be_parsed(self, experiments, name, tmp_path, monkeypatch):
        from trl import ModelConfig

        from trl_rlsp import RLSPSFTConfig
        from trl_rlsp.stages import DemonstrationArguments, parse_stage

        monkeypatch.setattr("os.environ", dict(os.environ))  # a recipe's env goes no further
        grid = load_grid(experiments / name)
        recipes = grid.start["sft"] if isinstance(grid.start["sft"], list) else [grid.start["sft"]]
        assert len(recipes) == (1 if "fifth" in name else 2)  # it learns to search, then to give up
        for recipe in recipes:
            given = {"config": grid.path.parent / recipe, "model_name_or_path": "x", "output_dir": tmp_path}
            given |= {"dataset": "x.jsonl", "bf16": False, "use_cpu": True}
            flags = [text for flag, value in given.items() for text in (f"--{flag}", str(value))]
            stage = parse_stage((DemonstrationArguments, RLSPSFTConfig, ModelConfig), flags, "rlsp sft")
            limits = [part.max_length for part in stage if hasattr(part, "max_length")]
            assert limits[0] > grid.training["max_completion_length"]

    def test_no_path_of_one_machine(self, experiments, name):
        values = yaml.safe_load((experiments / name).read_text(encoding="utf-8"))
        assert ": /" not in yaml.safe_dump(values)


def test_the_arms_of_the_main_grid(experiments):
    grid = load_grid(experiments / "countdown" / "grid.yaml")
    assert set(grid.arms) == WANTED | {"relative_adaptive", "calculation"}
    assert grid.arms["paper_length_group"].trainer == "GRPOTrainer"
    assert len(grid.seeds) >= 5
    assert grid.problems["test"] >= 1000


def test_objects_inside_lists():
    (found,) = build([{"type": "LengthExploration", "C": 7}])
    assert isinstance(found, LengthExploration)
    assert found.C == 7


def test_a_class_that_does_not_exist():
    with pytest.raises(ConfigError, match=r"no class 'LengthExplorations' in trl_rlsp or countdown.peers"):
        build({"type": "LengthExplorations"})


def test_an_argument_that_does_not_exist():
    arm = Arm("x", rewards={"exploration": [{"type": "LengthExploration", "c": 7}]})
    with pytest.raises(ConfigError, match=r"LengthExploration does not take {'c': 7}"):
        build_rewards(arm)
