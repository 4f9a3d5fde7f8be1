"""When an adapter alone is enough for vLLM, and a base that stays as it is where it is merged instead.

What vLLM then draws: tests/vllm_cpu.
"""

from __future__ import annotations

import copy
from types import SimpleNamespace

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig, PromptTuningConfig, get_peft_model
from torch import distributed
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from transformers import AutoModelForCausalLM, BitsAndBytesConfig
from trl.distributed import DistributedBackend
from trl.generation.vllm_generation import VLLMGeneration
from trl.trainer import grpo_trainer

from trl_rlsp import RLSPGRPOConfig, RLSPGRPOTrainer
from trl_rlsp.errors import ConfigError
from trl_rlsp.generation import why_merged
from trl_rlsp.trainers import _vllm_adapter
from trl_rlsp.trainers._vllm_adapter import MergedGeneration, base_kept


@pytest.fixture
def adapted(model_folder):
    def build(config=None, dtype="float32", **settings):
        base = AutoModelForCausalLM.from_pretrained(model_folder, dtype=dtype)
        return get_peft_model(base, config or LoraConfig(**{"r": 2, "target_modules": ["q_proj"], **settings}))

    return build


PROMPTS = PromptTuningConfig(num_virtual_tokens=2, task_type="CAUSAL_LM")


def test_lora_is_sent_alone():
    assert why_merged(LoraConfig()) is None
    assert why_merged(LoraConfig(use_rslora=True)) is None


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (LoraConfig(use_dora=True), "DoRA"),
        (LoraConfig(modules_to_save=["lm_head"]), "modules_to_save"),
        (LoraConfig(bias="all"), "biases"),
        (LoraConfig(lora_bias=True), "biases"),
        (LoraConfig(trainable_token_indices=[1]), "trained tokens"),
        (LoraConfig(rank_pattern={"q_proj": 32}), "one rank and one alpha"),
        (LoraConfig(alpha_pattern={"q_proj": 32}), "one rank and one alpha"),
        (LoraConfig(r=513), "rank 513 is above vLLM's 512"),
        (PROMPTS, "not PROMPT_TUNING"),
    ],
    ids=["dora", "modules_to_save", "bias", "lora_bias", "tokens", "rank_pattern", "alpha_pattern", "rank", "prompts"],
)
def test_what_has_to_be_merged(config, reason):
    assert reason in why_merged(config)
    assert "FSDP" in why_merged(LoraConfig(), sharded=True)


def test_the_trainers_of_trl_get_the_one_that_fits(adapted, model_folder, monkeypatch, caplog):
    built = []
    for name in ("VLLMGeneration", "AdapterGeneration", "MergedGeneration"):
        monkeypatch.setattr(_vllm_adapter, name, lambda *args, name=name, **kwargs: built.append(name))
    accelerator = SimpleNamespace(distributed_type="NO")
    original = grpo_trainer.VLLMGeneration
    dora, whole = adapted(use_dora=True), AutoModelForCausalLM.from_pretrained(model_folder)
    for alone, models in ((True, [adapted(), dora, whole]), (False, [adapted(), whole])):
        with base_kept(alone):
            for model in models:
                grpo_trainer.VLLMGeneration(model=model, accelerator=accelerator, mode="colocate")
    assert built == ["AdapterGeneration", "MergedGeneration", "VLLMGeneration", "MergedGeneration", "VLLMGeneration"]
    assert grpo_trainer.VLLMGeneration is original
    assert "the base stays as it is: vLLM does not take DoRA" in caplog.text
    assert "the base stays as it is: vllm_adapter is false" in caplog.text


class TestWhatCannotBeMerged:
    def refused(self, model, tmp_path, peft_config, **settings):
        args = RLSPGRPOConfig(str(tmp_path), use_vllm=True, use_cpu=True, bf16=False, report_to="none", **settings)
        rows = Dataset.from_dict({"prompt": ["8 1 9 : 72"] * 8})
        with pytest.raises(ConfigError) as refused:
            RLSPGRPOTrainer(str(model), lambda **_: 0.0, args, rows, peft_config=peft_config)
        return str(refused.value)

    def test_a_quantized_base(self, model_folder, tmp_path):
        packed = {"model_init_kwargs": {"quantization_config": BitsAndBytesConfig(load_in_4bit=True)}}
        lora = LoraConfig(r=2, target_modules=["q_proj"])
        message = self.refused(model_folder, tmp_path, lora, vllm_adapter=False, **packed)
        assert "(vllm_adapter is false), which a quantized base excludes: set use_vllm: false" in message

    def test_prompts(self, model_folder, tmp_path):
        assert "which prompt learning excludes" in self.refused(model_folder, tmp_path, PROMPTS)

    @pytest.mark.parametrize(
        ("settings", "kind", "message"),
        [
            ({"use_dora": True}, "FSDP", "which DoRA under FSDP excludes"),  # TRL would send the base
            ({"trainable_token_indices": [1]}, "NO", "which training of tokens excludes"),
        ],
    )
    def test_what_trl_would_send_wrong(self, adapted, settings, kind, message):
        with base_kept(), pytest.raises(ConfigError, match=message):
            grpo_trainer.VLLMGeneration(adapted(**settings), SimpleNamespace(distributed_type=kind))


KINDS = {
    "lora": {},
    "dora": {"use_dora": True},
    "modules_to_save": {"modules_to_save": ["lm_head"]},
    "head and embedding": {"target_modules": ["q_proj", "lm_head", "embed_tokens"]},
    "biases": {"bias": "lora_only"},
}


class Receiver:
    """A vLLM, colocated or a server, that keeps the tensors of each synchronization, as they were handed over."""

    def __init__(self, kind, model, mode):
        self.kept = []
        model_runner = SimpleNamespace(model=SimpleNamespace(load_weights=lambda pairs: self.kept.extend(pairs)))
        executor = SimpleNamespace(driver_worker=SimpleNamespace(model_runner=model_runner))
        generation = kind.__new__(kind)
        generation.model, generation.mode, generation.enable_sleep_mode = model, mode, False
        generation.accelerator = SimpleNamespace(device=torch.device("cpu"), is_main_process=True)
        generation._weight_metadata = None
        no_zero = SimpleNamespace(is_zero3=False)
        generation._dist = SimpleNamespace(
            is_fsdp=False, gather_params=lambda params: DistributedBackend.gather_params(no_zero, params)
        )
        generation.llm = SimpleNamespace(
            llm_engine=SimpleNamespace(model_executor=executor), reset_prefix_cache=lambda: None
        )
        generation.vllm_client = SimpleNamespace(
            update_named_params=lambda metadata, pairs: self.kept.extend(pairs), reset_prefix_cache=lambda: None
        )
        self.generation = generation

    def synchronize(self):
        self.kept.clear()
        self.generation.sync_weights()
        return {name: tensor.clone() for name, tensor in self.kept}


def moved(model):
    """Trained weights as after an update, of a size that bfloat16 rounds."""
    for weight in (each for each in model.parameters() if each.requires_grad):
        weight.data += torch.randn(weight.shape).to(weight.dtype) * 0.03
    return model


def frozen(model):
    return {name: weight.detach().clone() for name, weight in model.named_parameters() if not weight.requires_grad}


@pytest.mark.parametrize("mode", ["colocate", "server"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_base_is_the_same_bit_for_bit_after_each_synchronization(adapted, kind, mode):
    """What is sent is what TRL sends from the same weights."""
    torch.manual_seed(0)
    model = moved(adapted(dtype="bfloat16", **{"r": 4, "target_modules": "all-linear", **KINDS[kind]}))
    before, receiver = frozen(model), Receiver(MergedGeneration, model, mode)
    for _ in range(4):
        wanted = Receiver(VLLMGeneration, copy.deepcopy(model), "colocate").generation
        expected = {name: tensor.clone() for name, tensor in wanted._iter_named_params()}
        sent = receiver.synchronize()
        assert list(sent) == list(expected)
        assert all(torch.equal(sent[name], expected[name]) for name in expected)
        assert all(torch.equal(value, before[name]) for name, value in frozen(model).items())
        assert not any(getattr(layer, "merged", False) for layer in model.modules())
        moved(model)


def test_the_shards_of_fsdp_are_restored(adapted):
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    try:
        model = moved(adapted(dtype="bfloat16", target_modules="all-linear")).bfloat16()
        before = frozen(model)
        fully_shard(model, mesh=init_device_mesh("cpu", (1,)))
        generation = Receiver(MergedGeneration, model, "colocate").generation
        generation._dist.is_fsdp, generation._dist.fsdp_version = True, 2
        sent = {name: tensor.clone() for name, tensor in generation._iter_named_params()}
        place = "model.layers.0.self_attn.q_proj"
        assert not torch.equal(sent[f"{place}.weight"], before[f"base_model.model.{place}.base_layer.weight"])
        assert all(torch.equal(value.full_tensor(), before[name]) for name, value in frozen(model).items())
    finally:
        distributed.destroy_process_group()
