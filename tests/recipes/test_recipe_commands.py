"""The recipes for real models: every command that they and the ablations show parses, and their sizes fit together."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml
from stand_ins import save_tiny, stand_in

from trl_rlsp.cli import main
from trl_rlsp.commands import Eval, Filter
from trl_rlsp.doctor import examine, read_stage
from trl_rlsp.stages import parse_grpo, parse_sft, read_yaml

ROOT = Path(__file__).parent.parent.parent
FOLDERS = sorted({path.parent for path in (ROOT / "recipes").glob("*/grpo.yaml")} - {ROOT / "recipes" / "quickstart"})
STAGES = sorted(path for folder in FOLDERS for path in folder.glob("*.yaml") if path.stem != "recipe")
TRAINING = [path for path in STAGES if path.stem != "eval"]
FOLDER_32B = ROOT / "recipes" / "qwen2.5-32b-aime"
TABLE = (ROOT / "recipes" / "README.md").read_text(encoding="utf-8")
HOURS = re.findall(r"^\| `(\S+\.yaml)` \| `(.*)` \| (.*) \|$", TABLE, re.MULTILINE)  # file, options of a plan, hours
CPU = ["--bf16", "False", "--use_cpu", "True"]
COMMAND = re.compile(r"^(?:(?:accelerate launch .*|sbatch \S+ ?)-m trl_)?rlsp (sft|grpo|eval|filter) (.*)$")


def name_of(path):
    return f"{path.parent.name}/{path.stem}"


def commands_in(lines):
    """(command, arguments) of each command line of this package among lines of text."""
    found = [COMMAND.match(line.lstrip("# ").strip()) for line in lines]
    return [(match[1], shlex.split(match[2])) for match in found if match]


def parse(command, arguments):
    """Arguments as the command itself parses them."""
    if command in ("sft", "grpo"):
        return {"sft": parse_sft, "grpo": parse_grpo}[command]([*arguments, *CPU])
    return {"eval": Eval, "filter": Filter}[command].parse(arguments)


class TestCommands:
    @pytest.mark.parametrize("path", STAGES, ids=name_of)
    def test_those_of_each_header_parse(self, path):
        found = commands_in(path.read_text(encoding="utf-8").splitlines())
        assert [command for command, _ in found].count(path.stem.partition("_")[0]) >= 2
        for command, arguments in found:
            parse(command, arguments)

    @pytest.mark.parametrize("name", ["context_length", "model_size"])
    def test_those_of_each_ablation_parse(self, name):
        environment = {**os.environ, "RLSP": "echo rlsp", "LAUNCH": "echo rlsp"}
        script = ["bash", f"recipes/ablations/{name}.sh"]
        shown = subprocess.run(script, env=environment, capture_output=True, text=True, check=True, timeout=30).stdout
        found = commands_in(shown.splitlines())
        assert len(found) == {"context_length": 6, "model_size": 12}[name]
        for command, arguments in found:
            parse(command, arguments)

    def test_one_with_a_wrong_field_is_noticed(self):
        ((command, arguments),) = commands_in(["# rlsp grpo --config recipes/qwen2.5-7b-math/grpo.yaml --explore none"])
        with pytest.raises(ValueError, match="--explore"):
            parse(command, arguments)

    @pytest.mark.parametrize("path", STAGES, ids=name_of)
    def test_what_each_header_says(self, path):
        text = path.read_text(encoding="utf-8")
        head = " ".join(line.lstrip("# ") for line in text[: text.index("\n\n")].splitlines())
        for said in ("Hardware: ", "estimated, not measured", "One override, ", "Departs from the paper"):
            assert said in head, said


class TestSettings:
    @pytest.mark.parametrize("path", [path for path in TRAINING if path.stem != "sft"], ids=name_of)
    def test_batches_hold_whole_groups(self, path):
        """On the number of GPUs that the launch command has, and generations end with an update."""
        given = read_yaml(path)
        processes = 8 if "ddp.yaml" in path.read_text() else 1
        accumulated = given["gradient_accumulation_steps"]
        micro_steps = given.get("steps_per_generation", accumulated)
        assert processes * given["per_device_train_batch_size"] * micro_steps % given["num_generations"] == 0
        assert micro_steps % accumulated == 0
        # a checkpoint within a generation would be resumed with another one
        assert given["save_steps"] % (micro_steps // accumulated) == 0

    @pytest.mark.parametrize("path", TRAINING, ids=name_of)
    def test_precision(self, path):
        """4-bit weights compute in the model's type; no dropout, or the KL is not 0 at the first step."""
        given = read_yaml(path)
        assert (given["dtype"], given["bf16"], given["lora_dropout"]) == ("bfloat16", True, 0.0)
        if given.get("load_in_4bit"):
            assert given["use_bnb_nested_quant"]
            assert given.get("vllm_adapter", True)  # merged weights cannot be sent to a 4-bit base

    @pytest.mark.parametrize(
        ("name", "settings", "memory"),
        [
            ("grpo", [], [8, 80]),
            ("grpo", ["--gradient_accumulation_steps", "64", "--steps_per_generation", "64"], [1, 80]),
            ("grpo_without_vllm", [], [8, 80]),
            ("grpo_without_vllm", ["--gradient_accumulation_steps", "64", "--steps_per_generation", "64"], [1, 141]),
        ],
    )
    def test_32b_fits_where_its_header_says(self, name, settings, memory, capsys):
        gpus, card = map(str, memory)
        file = str(FOLDER_32B / f"{name}.yaml")
        assert main(["plan", "--config", file, *settings, "--gpus", gpus, "--memory", card, "--json"]) == 0
        (ddp,) = (row for row in json.loads(capsys.readouterr().out)["layouts"] if row["strategy"] == "ddp")
        assert ddp["fits"]

    @pytest.mark.parametrize("name", ["grpo", "grpo_without_vllm"])
    def test_the_doctor_finds_32b_sound(self, name, monkeypatch):
        """On a machine of its kind, with data and tokenizer that stand in."""
        monkeypatch.setattr("trl_rlsp.problems.data.read_hub", stand_in)
        model = save_tiny("Qwen/Qwen2.5-32B-Instruct", Path("model"))
        arguments = ["--config", str(FOLDER_32B / f"{name}.yaml"), "--model_name_or_path", str(model)]
        small = ["--steps_per_generation", "1", "--gradient_accumulation_steps", "1", "--max_completion_length", "16"]
        found = examine(read_stage("grpo", [*arguments, *small], processes=8, elsewhere=True))
        assert {finding.severity for finding in found} <= {"not checked"}, found

    @pytest.mark.parametrize("path", TRAINING, ids=name_of)
    def test_memory_of_the_header_is_that_of_the_plan(self, path, capsys):
        """The larger of training and rollout; with vLLM also its share of 80 GiB beside what the trainer has then."""
        given, text = read_yaml(path), " ".join(path.read_text().replace("#", "").split())
        first = path.with_name("sft.yaml") if path.with_name("sft.yaml").exists() else path
        processes = 8 if "ddp.yaml" in text else 1
        fixed = ["--model_name_or_path", read_yaml(first)["model_name_or_path"], "--json", "--gpus", str(processes)]
        assert main(["plan", "--config", str(path), *fixed]) == 0
        planned = next(row for row in json.loads(capsys.readouterr().out)["layouts"] if row["strategy"] == "ddp")
        training, rollout = planned["training"] / 2**30, planned["rollout"] / 2**30
        beside = rollout if given.get("vllm_enable_sleep_mode") else max(training, rollout)
        shared = beside + 80 * given["vllm_gpu_memory_utilization"] if given.get("use_vllm") else 0
        needed = training if shared or path.stem == "sft" else max(training, rollout)
        said = re.search(r"([\d.]+) GiB(?: a GPU)?(?:, (\d+) with the share of vLLM,)? and \d+ hours?: estimated", text)
        assert float(said[1]) == pytest.approx(needed, rel=0.05)
        assert float(said[2] or 0) == pytest.approx(shared, rel=0.05)

    @pytest.mark.parametrize(
        ("name", "words", "said"), HOURS, ids=lambda value: value if value.endswith("yaml") else ""
    )
    def test_hours_are_those_of_the_plan(self, name, words, said, capsys, monkeypatch):
        """In the table and, rounded, in the header of the file."""
        monkeypatch.setenv("COLUMNS", "400")
        path = ROOT / "recipes" / name
        assert main(["plan", "--config", str(path), *words.split()]) == 0
        assert f" steps in {said} hours (" in capsys.readouterr().out
        header = " ".join(path.read_text().replace("#", "").split())
        assert re.search(r"and (\d+) hours?: estimated", header)[1] == f"{float(said.split()[0]):.0f}"

    def test_every_stage_has_hours(self):
        assert sorted(ROOT / "recipes" / name for name, _, _ in HOURS) == TRAINING

    def test_the_file_without_vllm_is_the_same_but_for_that(self):
        with_vllm, without = (read_yaml(FOLDER_32B / f"{name}.yaml") for name in ("grpo", "grpo_without_vllm"))
        # vLLM allocates its share at once
        assert without.pop("env") == {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"}
        assert "env" not in with_vllm
        assert {name for name in with_vllm if "vllm" in name} == with_vllm.keys() - without.keys()
        assert without == {name: value for name, value in with_vllm.items() if "vllm" not in name}

    @pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
    def test_completions_fit_beside_the_longest_prompt(self, folder):
        given = read_yaml(folder / "grpo.yaml")
        if given.get("use_vllm"):
            assert given["vllm_max_model_length"] >= given["max_completion_length"] + 2048

    @pytest.mark.parametrize(
        "path",
        sorted(path for path in (ROOT / "recipes" / "accelerate").glob("*.yaml") if path.stem != "recipe"),
        ids=lambda path: path.stem,
    )
    def test_accelerate_reads_its_files(self, path):
        from accelerate.commands.config.config_args import load_config_from_file

        read = load_config_from_file(str(path))
        given = yaml.safe_load(path.read_text())
        assert read.num_processes == given["num_processes"]
        assert read.distributed_type.value == given["distributed_type"]
        for command, arguments in commands_in(path.read_text().splitlines()):
            parse(command, arguments)

    def test_the_slurm_script_is_one(self):
        subprocess.run(["bash", "-n", "recipes/accelerate/slurm.sh"], check=True, timeout=30)
        found = re.search(r"slurm.sh (grpo .*)", Path("recipes/accelerate/slurm.sh").read_text())[1]
        parse("grpo", shlex.split(found)[1:])
