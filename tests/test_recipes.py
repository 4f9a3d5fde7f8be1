"""Every recipe parses against the installed dataclasses, by the function that the commands use."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from trl_rlsp.commands import Eval
from trl_rlsp.errors import ConfigError
from trl_rlsp.stages import apply_environment, parse_stage, read_yaml

ROOT = Path(__file__).parent.parent
RECIPES = sorted(path for stage in ("sft", "grpo", "eval") for path in (ROOT / "recipes").glob(f"*/{stage}*.yaml"))


def dataclasses(command):
    """What the command of that name parses into."""
    from trl import ModelConfig

    from trl_rlsp import RLSPGRPOConfig, RLSPSFTConfig
    from trl_rlsp.stages import arguments

    return {
        "sft": (arguments.DemonstrationArguments, RLSPSFTConfig, ModelConfig),
        "grpo": (arguments.ProblemArguments, arguments.RewardArguments, RLSPGRPOConfig, ModelConfig),
        "eval": (arguments.EvaluationArguments,),
    }[command]


@pytest.fixture
def environment(monkeypatch):
    """Whatever a recipe sets is taken back."""
    import os

    before = dict(os.environ)
    yield
    for name in set(os.environ) - set(before):
        monkeypatch.delenv(name)


def test_there_are_recipes():
    assert ROOT / "recipes" / "quickstart" / "grpo.yaml" in RECIPES


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: f"{path.parent.name}/{path.stem}")
class TestRecipe:
    @pytest.mark.usefixtures("environment")
    def test_parses(self, path):
        """GPU recipes too: bf16 is asked for on the command line here, because a CPU refuses it."""
        arguments = ["--config", str(path)]
        command = path.stem.partition("_")[0]  # grpo_without_vllm.yaml is a second file for `rlsp grpo`
        if command != "eval" and not read_yaml(path).get("use_cpu"):
            arguments += ["--bf16", "False", "--use_cpu", "True"]
        apply_environment(arguments)
        parsed = parse_stage(dataclasses(command), arguments, f"rlsp {command}")
        assert parsed[0].required() if command != "eval" else Eval.parse(arguments).required()
        given = read_yaml(path)
        for name in ("learning_rate", "max_steps", "alpha", "dataset", "temperature"):
            values = [getattr(part, name) for part in parsed if hasattr(part, name)]
            if name in given:
                assert values == [type(values[0])(given[name])], name

    def test_starts_with_its_command_and_an_override(self, path):
        head = []
        for line in path.read_text(encoding="utf-8").splitlines():
            if not line.startswith("#"):
                break
            head.append(line.removeprefix("#").strip())
        place = path.relative_to(ROOT).as_posix()
        command = path.stem.partition("_")[0]
        commands = [line for line in head if f"rlsp {command} --config {place}" in line]
        assert len(commands) == 2, "the launch command, and one example of an override"
        assert any("override" in line for line in head)

    def test_no_field_twice(self, path):
        class Strict(yaml.SafeLoader):
            pass

        def mapping(loader, node):
            names = [loader.construct_object(key) for key, _ in node.value]
            assert len(names) == len(set(names)), sorted(name for name in names if names.count(name) > 1)
            return loader.construct_mapping(node)

        Strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
        yaml.load(path.read_text(encoding="utf-8"), Loader=Strict)

    def test_no_path_of_one_machine(self, path):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"(?<![\w./])/(?!/)\w", text)  # no absolute path at all


@pytest.mark.parametrize("folder", sorted({path.parent for path in RECIPES}), ids=lambda path: path.name)
class TestFolder:
    def test_can_be_run(self, folder):
        from trl_rlsp.pipeline import parse_run, plan

        steps = {step.title: step.command for step in plan(parse_run([str(folder)]))}
        assert (steps["rlsp"], steps["eval RLSP"]) == ("grpo", "eval")

    def test_training_leaves_the_evaluation_out(self, folder):
        """Where the problems are generated, the evaluation's source is what training excludes."""
        held_out = read_yaml(folder / "eval.yaml").get("dataset")
        for name in ("sft", "grpo"):
            path = folder / f"{name}.yaml"
            if path.is_file() and str(read_yaml(path)["dataset"]).startswith("reasoning_gym:"):
                assert read_yaml(path)["exclude"] == held_out


@pytest.mark.parametrize("command", ["sft", "grpo", "eval"])
def test_a_field_that_has_gone_is_noticed(tmp_path, command):
    """The test above can fail: a recipe that has rotted does not parse."""
    (tmp_path / "stage.yaml").write_text("vllm_gpu_memory: 0.3\n")
    with pytest.raises(ConfigError, match="unknown field 'vllm_gpu_memory'"):
        parse_stage(
            dataclasses(command),
            ["--config", str(tmp_path / "stage.yaml"), *(["--bf16", "False", "--use_cpu"] * (command != "eval"))],
            f"rlsp {command}",
        )
