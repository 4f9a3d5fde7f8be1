"""The stages of several rounds."""

from __future__ import annotations

import pytest

from trl_rlsp.cli import read_yaml
from trl_rlsp.errors import ConfigError
from trl_rlsp.pipeline.rounds import RoundSettings, plan_rounds, round_settings, take_rounds
from trl_rlsp.selfplay.sources import NEUTRAL_TEMPLATE

OVERRIDES = {
    "sft": ["--seed", "3", "--search_per_problem", "2", "--demonstrations", "search"],
    "grpo": ["--seed", "3", "--dataset", "other.jsonl", "--beta", "-1"],
    "eval": ["--seed", "3", "--dataset", "test.jsonl"],
}


@pytest.fixture
def recipe(tmp_path):
    folder = tmp_path / "recipe"
    folder.mkdir()
    (folder / "sft.yaml").write_text(
        "env: {A: 1}\nmodel_name_or_path: m\ndataset: d\nunique_problems: true\ndemonstrations: search\n"
        'demonstration_template: "{reasoning} \\\\boxed{ {answer} }"\ndemonstration_style: messages\nmax_steps: 3\n'
    )
    (folder / "grpo.yaml").write_text(
        "dataset: d\nexclude: e\nprompt_style: compact\nlearning_rate: 3e-4\nalpha: 0.8\n"
    )
    (folder / "eval.yaml").write_text("dataset: e\n")
    return folder


class TestTake:
    def test_without(self):
        assert take_rounds(["recipe", "--seed", "1"]) == (1, [], ["recipe", "--seed", "1"])

    def test_with_an_equals_sign(self):
        assert take_rounds(["--rounds=3", "--rounds.start=last"]) == (3, ["--start", "last"], [])

    @pytest.mark.parametrize("number", ["0", "-1", "two", ""])
    def test_no_number(self, number):
        with pytest.raises(ConfigError, match=f"--rounds wants a number of at least 1, got '{number}'"):
            take_rounds(["recipe", "--rounds", number])


class TestSettings:
    def test_defaults(self, recipe):
        assert round_settings(recipe, []) == RoundSettings()

    def test_the_recipes_and_overrides(self, recipe):
        (recipe / "rounds.yaml").write_text("start: last\nper_problem: 4\n")
        found = round_settings(recipe, ["--per_problem", "1"])
        assert (found.start, found.per_problem) == ("last", 1)

    def test_what_cannot_work(self, recipe):
        with pytest.raises(ConfigError, match="start is 'base' or 'last', got 'zero'"):
            round_settings(recipe, ["--start", "zero"])
        (recipe / "rounds.yaml").write_text("starts: last\n")
        with pytest.raises(ConfigError, match="--starts"):
            round_settings(recipe, [])

    def test_the_harvest_takes_them(self):
        from trl_rlsp.commands.harvest import parse_harvest

        settings = RoundSettings(per_problem=3, prefer="shortest", novelty=0.5)
        given, rest = parse_harvest(["run", *settings.arguments()])
        assert (given.per_problem, given.prefer, given.novelty) == (3, "shortest", 0.5)
        assert (given.solve_rate_high, rest) == (0.9, [])


class TestPlan:
    def stages(self, recipe, rounds=2, **settings):
        return plan_rounds(recipe, recipe.parent / "run", OVERRIDES, rounds, RoundSettings(**settings))

    def test_stages(self, recipe):
        run = recipe.parent / "run"
        first, second = run / "round-1", run / "round-2"
        assert [(s.title, s.command, s.folder, s.model) for s in self.stages(recipe)] == [
            ("eval start 1", "eval", first / "eval_start", "m"),
            ("sft 1", "sft", first / "sft", "m"),
            ("eval SFT 1", "eval", first / "eval_SFT", str(first / "sft")),
            ("rlsp 1", "grpo", first / "rlsp", str(first / "sft")),
            ("eval RLSP 1", "eval", first / "eval_RLSP", str(first / "rlsp")),
            ("harvest 2", "harvest", second / "harvest", str(first / "rlsp")),
            ("sft 2", "sft", second / "sft", "m"),
            ("eval SFT 2", "eval", second / "eval_SFT", str(second / "sft")),
            ("rlsp 2", "grpo", second / "rlsp", str(second / "sft")),
            ("eval RLSP 2", "eval", second / "eval_RLSP", str(second / "rlsp")),
        ]

    def test_the_first_round_is_the_recipe_as_it_is(self, recipe):
        for stage in self.stages(recipe)[:5]:
            assert stage.config.parent == recipe
            assert stage.overrides == tuple(OVERRIDES[stage.command])

    def test_from_the_last_model(self, recipe):
        assert self.stages(recipe, start="last")[6].model == str(recipe.parent / "run" / "round-1" / "rlsp")

    def test_three_rounds(self, recipe):
        stages = self.stages(recipe, rounds=3)
        assert [s.model for s in stages if s.command == "harvest"][1] == str(recipe.parent / "run/round-2/rlsp")
        assert len(stages) == 15

    def test_later_rounds_have_their_own_data_and_the_recipes_settings(self, recipe):
        stages = self.stages(recipe)
        harvest = recipe.parent / "run" / "round-2" / "harvest"
        assert read_yaml(stages[6].config) == {
            "env": {"A": 1},
            "model_name_or_path": "m",
            "demonstration_style": "messages",
            "max_steps": 3,
            "demonstrations": "file",
            "dataset": str(harvest / "mixture.jsonl"),
            "demonstration_template": NEUTRAL_TEMPLATE,
            "system_prompt": "none",
        }
        assert read_yaml(stages[8].config) == {
            "learning_rate": "3e-4",
            "alpha": 0.8,
            "dataset": str(harvest / "problems.jsonl"),
            "system_prompt": "none",
        }
        assert stages[7].config == recipe / "eval.yaml"

    def test_an_override_of_the_data_is_for_the_first_round(self, recipe):
        stages = self.stages(recipe)
        assert stages[6].overrides == ("--seed", "3", "--search_per_problem", "2")
        assert stages[8].overrides == ("--seed", "3", "--beta", "-1")
        assert stages[7].overrides == tuple(OVERRIDES["eval"])  # every round is evaluated on the same problems

    def test_the_harvest(self, recipe):
        stage = self.stages(recipe, per_problem=5)[5]
        given = stage.arguments()
        run = recipe.parent / "run"
        output = str(run / "round-2" / "harvest" / "demonstrations.jsonl")
        assert given[:4] == ["harvest", str(run / "round-1" / "rlsp"), "--output", output]
        assert given[given.index("--per_problem") + 1] == "5"
        assert given[-4:] == ["--round", "2", "--seed", "3"]

    def test_planning_twice_changes_nothing(self, recipe):
        assert [s.fingerprint() for s in self.stages(recipe)] == [s.fingerprint() for s in self.stages(recipe)]

    def test_a_recipe_without_sft(self, recipe):
        (recipe / "sft.yaml").unlink()
        with pytest.raises(ConfigError, match=r"has no sft\.yaml: rounds need it to train on what they harvest"):
            self.stages(recipe)
