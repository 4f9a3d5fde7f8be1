"""When an adapter alone is enough for vLLM. What vLLM then draws: tests/vllm_cpu."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from peft import LoraConfig, PromptTuningConfig, get_peft_model
from transformers import AutoModelForCausalLM
from trl.trainer import grpo_trainer

from trl_rlsp.trainers import _vllm_adapter
from trl_rlsp.trainers._vllm_adapter import adapter_alone, why_merged


@pytest.fixture
def adapted(model_folder):
    def build(config=None, **settings):
        base = AutoModelForCausalLM.from_pretrained(model_folder)
        return get_peft_model(base, config or LoraConfig(**{"r": 2, "target_modules": ["q_proj"], **settings}))

    return build


def test_lora_is_sent_alone(adapted):
    assert why_merged(adapted()) is None
    assert why_merged(adapted(use_rslora=True)) is None


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"use_dora": True}, "DoRA"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"bias": "all"}, "biases"),
        ({"r": 513}, "rank 513 is above vLLM's 512"),
        ({"config": PromptTuningConfig(num_virtual_tokens=2, task_type="CAUSAL_LM")}, "not PROMPT_TUNING"),
    ],
    ids=str,
)
def test_what_has_to_be_merged(adapted, settings, reason):
    assert reason in why_merged(adapted(**settings))


def test_sharded_adapters_and_whole_models_are_merged(adapted, model_folder):
    assert "FSDP" in why_merged(adapted(), sharded=True)
    assert why_merged(AutoModelForCausalLM.from_pretrained(model_folder)) == "no adapter is trained"


def test_the_trainers_of_trl_get_the_one_that_fits(adapted, monkeypatch, caplog):
    built = []
    for name in ("VLLMGeneration", "AdapterGeneration"):
        monkeypatch.setattr(_vllm_adapter, name, lambda *args, name=name, **kwargs: built.append(name))
    accelerator = SimpleNamespace(distributed_type="NO")
    original = grpo_trainer.VLLMGeneration
    with adapter_alone():
        grpo_trainer.VLLMGeneration(model=adapted(), accelerator=accelerator, mode="colocate")
        grpo_trainer.VLLMGeneration(model=adapted(use_dora=True), accelerator=accelerator, mode="colocate")
    assert built == ["AdapterGeneration", "VLLMGeneration"]
    assert grpo_trainer.VLLMGeneration is original
    assert "vLLM gets merged weights, as TRL sends them: vLLM does not take DoRA" in caplog.text
