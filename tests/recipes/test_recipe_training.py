"""Every stage of every recipe trains for two steps, and what comes out is evaluated.

Data go through the same reader, the judge is a server on this machine. Replaced is only what a CPU lacks: vLLM, sizes.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from stand_ins import save_tiny, stand_in

from trl_rlsp.cli import main
from trl_rlsp.commands import model_arguments
from trl_rlsp.stages import parse_grpo, read_yaml, tokenizer_of
from trl_rlsp.trainers import RLSPGRPOTrainer

ROOT = Path(__file__).parent.parent.parent
FOLDERS = sorted({path.parent for path in (ROOT / "recipes").glob("*/grpo.yaml")} - {ROOT / "recipes" / "quickstart"})

SMALL = ["--max_steps", "2", "--gradient_accumulation_steps", "1", "--use_cpu", "True", "--logging_steps", "1"]
SMALL_GRPO = ["--use_vllm", "False", "--max_completion_length", "8", "--per_device_train_batch_size", "8"]
SMALL_GRPO += ["--steps_per_generation", "1", "--verifier_workers", "1"]
SMALL_EVAL = ["--engine", "transformers", "--max_new_tokens", "4", "--num_samples", "1", "--verifier_workers", "1"]


def start_of(folder):
    """The hub id of the model that a recipe begins with."""
    first = folder / ("sft.yaml" if (folder / "sft.yaml").exists() else "grpo.yaml")
    return read_yaml(first)["model_name_or_path"]


@pytest.fixture
def hub(monkeypatch):
    """Data sets by their hub ids."""
    monkeypatch.setattr("trl_rlsp.problems.data.read_hub", stand_in)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_trains(folder, place, hub, judge_url):
    """SFT if there is one, RL from what it leaves, and the evaluation of that; 4-bit where the recipe is."""
    model = save_tiny(start_of(folder), place / "model")
    for stage in ("sft", "grpo"):
        path = folder / f"{stage}.yaml"
        if not path.exists():
            continue
        given, out = read_yaml(path), place / stage
        more = ["--model_name_or_path", str(model), "--output_dir", str(out), *(SMALL_GRPO if stage == "grpo" else [])]
        if "judge" in given.get("exploration", ""):
            more += ["--judge_base_url", judge_url]
        assert main([stage, "--config", str(path), *SMALL, *more]) == 0
        done = json.loads((out / "stage.json").read_text())
        assert done["steps"] == 2
        adapter = json.loads((out / "adapter_config.json").read_text())
        assert adapter["base_model_name_or_path"] == str(place / "model")
        assert adapter["r"] == given["lora_r"]
        model = out
    log = json.loads((place / "grpo" / "trainer_state.json").read_text())["log_history"]
    assert log[0]["rewards/outcome_verifier/mean"] == 0  # random weights
    if read_yaml(folder / "grpo.yaml")["beta"]:
        assert log[0]["kl"] == 0
    evaluated = ["--model_name_or_path", str(model), "--output_dir", str(place / "eval"), *SMALL_EVAL]
    assert main(["eval", "--config", str(folder / "eval.yaml"), *evaluated]) == 0
    assert json.loads((place / "eval" / "metrics.json").read_text())["pass_at_1"]["mean"] == 0


@pytest.mark.parametrize("name", ["grpo", "grpo_without_vllm"])
def test_four_bit_where_the_recipe_is(name, place, hub):
    path = ROOT / "recipes" / "qwen2.5-32b-aime" / f"{name}.yaml"
    model = save_tiny(start_of(path.parent), place / "model")
    arguments = ["--config", str(path), "--model_name_or_path", str(model), *SMALL, *SMALL_GRPO]
    data, rewards, training, named = parse_grpo(arguments)
    problems = data.load()
    assert len(problems) == 8  # the one of 2024 is left out
    trainer = RLSPGRPOTrainer(
        reward_funcs=rewards,
        args=training,
        train_dataset=problems,
        processing_class=tokenizer_of(named, padding_side="left"),
        **model_arguments(named, training),
    )
    rewards.close()
    quantised = [module for module in trainer.model.modules() if hasattr(module, "quant_state")]
    assert len(quantised) == 2 * 7
    assert {layer.compute_dtype for layer in quantised} == {torch.bfloat16}
    assert {layer.weight.quant_type for layer in quantised} == {"nf4"}
    assert {p.dtype for p in trainer.model.parameters() if p.requires_grad} == {torch.float32}
