"""The stages of several rounds."""

from __future__ import annotations

import pytest

from trl_rlsp.errors import ConfigError
from trl_rlsp.pipeline import RoundSettings, parse_run, plan_rounds, round_settings
from trl_rlsp.selfplay import NEUTRAL_TEMPLATE
from trl_rlsp.stages import read_yaml

OVERRIDES = [
    *("--seed", "3", "--sft.search_per_problem", "2", "--sft.demonstrations", "search"),
    *("--grpo.dataset", "other.jsonl", "--grpo.beta", "-1", "--eval.dataset", "test.jsonl"),
]


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
        with pytest.raises(ConfigError, match="did you mean 'start'"):
            round_settings(recipe, [])

    def test_the_harvest_takes_them(self):
        from trl_rlsp.commands import Harvest

        settings = RoundSettings(per_problem=3, prefer="shortest", novelty=0.5)
        given = Harvest.parse(["run", *settings.arguments()])
        assert (given.per_problem, given.prefer, given.novelty) == (3, "shortest", 0.5)
        assert (given.solve_rate_high, given.of_data) == (0.9, [])


class TestPlan:
    def stages(self, recipe, rounds=2, **settings):
        given = [f"--rounds.{name}={value}" for name, value in settings.items()]
        output = ["--output_dir", str(recipe.parent / "run"), "--rounds", str(rounds)]
        return plan_rounds(parse_run([str(recipe), *output, *OVERRIDES, *given]))

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
        assert self.stages(recipe)[1].arguments == (
            "--seed",
            "3",
            "--search_per_problem",
            "2",
            "--demonstrations",
            "search",
        )

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
        assert stages[6].arguments == ("--seed", "3", "--search_per_problem", "2")
        assert stages[8].arguments == ("--seed", "3", "--beta", "-1")
        assert stages[7].arguments == (
            "--seed",
            "3",
            "--dataset",
            "test.jsonl",
        )  # every round is evaluated on the same problems

    def test_the_harvest(self, recipe):
        stage = self.stages(recipe, per_problem=5)[5]
        given = stage.words()
        run = recipe.parent / "run"
        output = str(run / "round-2" / "harvest" / "demonstrations.jsonl")
        assert given[:4] == ["harvest", str(run / "round-1" / "rlsp"), "--output", output]
        assert given[given.index("--per_problem") + 1] == "5"
        assert given[-4:] == ["--round", "2", "--seed", "3"]

    def test_a_change_in_the_first_round_makes_the_second_stale(self, recipe):
        before = [s.fingerprint for s in self.stages(recipe)]
        (recipe / "grpo.yaml").write_text("dataset: d\nlearning_rate: 1e-4\n")
        after = [s.fingerprint for s in self.stages(recipe)]
        same = [title.title for title, one, two in zip(self.stages(recipe), before, after, strict=True) if one == two]
        assert same == ["eval start 1", "sft 1", "eval SFT 1"]

    def test_planning_twice_changes_nothing(self, recipe):
        assert [s.fingerprint for s in self.stages(recipe)] == [s.fingerprint for s in self.stages(recipe)]

    def test_a_recipe_without_sft(self, recipe):
        (recipe / "sft.yaml").unlink()
        (recipe / "grpo.yaml").write_text("model_name_or_path: m\n")
        with pytest.raises(ConfigError, match=r"has no sft\.yaml: rounds need it to train on what they harvest"):
            self.stages(recipe)
