"""Weights, adapter, gradients, optimizer and cache against what torch, peft and bitsandbytes allocate: within 2 %."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import BitsAndBytesConfig, DynamicCache

from trl_rlsp.errors import ConfigError
from trl_rlsp.planning import Architecture, Settings, largest_batch
from trl_rlsp.planning import _memory as memory
from trl_rlsp.stages import load_config

WITHIN = 0.02


def size(tensors):
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())


def tensors_of(state):
    """Every tensor of a bitsandbytes quantization state, the nested one included."""
    if state is None:
        return []
    values = [state.absmax, state.code, state.offset]
    return [value for value in values if torch.is_tensor(value)] + tensors_of(state.state2)


class TestKnownModels:
    @pytest.mark.parametrize(
        ("name", "parameters"),
        [
            # the numbers of the model cards' safetensors
            ("meta-llama/Llama-3.1-8B-Instruct", 8_030_261_248),
            ("Qwen/Qwen2.5-0.5B-Instruct", 494_032_768),
            ("Qwen/Qwen2.5-1.5B", 1_543_714_304),
            ("Qwen/Qwen2.5-7B-Instruct", 7_615_616_512),
            ("Qwen/Qwen2.5-32B-Instruct", 32_763_876_352),
        ],
    )
    def test_parameters(self, name, parameters):
        assert Architecture.of(load_config(name)).total == parameters

    def test_cache_of_a_token(self):
        # 32 layers x 8 heads x 128 numbers, keys and values
        assert Architecture.of(load_config("Llama-3.1-8B")).kv_numbers_per_token == 2 * 32 * 8 * 128

    def test_four_bit_of_32_billion(self):
        # 64 x (5120 x (2 x 5120 + 2 x 1024) + 3 x 5120 x 27648) = 31,205,621,760 weights in half a byte and 4/64;
        # the other 1,558,254,592 in two bytes: 20.67 GB
        found = memory.weight_bytes(Architecture.of(load_config("Qwen2.5-32B")), Settings(bits=4, rank=8))
        assert found == pytest.approx(31_205_621_760 * (0.5 + 4 / 64) + 1_558_254_592 * 2, rel=1e-4)


class TestWeights:
    @pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
    def test_in_a_type(self, tiny, dtype):
        kind, config = tiny
        model = kind(config).to(getattr(torch, dtype))
        planned = memory.weight_bytes(Architecture.of(config), Settings(dtype=dtype))
        assert planned == pytest.approx(size(model.parameters()), rel=WITHIN)

    @pytest.mark.parametrize("nested", [False, True])
    def test_in_four_bits(self, tiny, tmp_path, nested):
        kind, config = tiny
        kind(config).save_pretrained(tmp_path)
        quantized = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=nested,
            bnb_4bit_compute_dtype=torch.bfloat16,
        )
        model = kind.from_pretrained(tmp_path, quantization_config=quantized, dtype=torch.bfloat16)
        states = [getattr(p, "quant_state", None) for p in model.parameters()]
        assert sum(state is not None for state in states) == 3 * 7
        real = size([*model.parameters(), *(t for state in states for t in tensors_of(state))])
        settings = Settings(dtype="bfloat16", bits=4, nested=nested, rank=4)
        assert memory.weight_bytes(Architecture.of(config), settings) == pytest.approx(real, rel=WITHIN)


class TestTrained:
    @pytest.mark.parametrize("targets", ["all-linear", ("q_proj", "v_proj"), None])
    def test_adapter_gradients_and_moments(self, tiny, targets):
        kind, config = tiny
        given = list(targets) if isinstance(targets, tuple) else targets
        model = get_peft_model(kind(config), LoraConfig(r=6, target_modules=given, task_type="CAUSAL_LM"))
        trained = [p for p in model.parameters() if p.requires_grad]
        architecture, settings = Architecture.of(config), Settings(rank=6, targets=targets, dtype="float32")
        assert memory.adapter_bytes(architecture, settings) == pytest.approx(size(trained), rel=WITHIN)
        optimizer = torch.optim.AdamW(trained)
        model(
            input_ids=torch.zeros((1, 4), dtype=torch.long), labels=torch.zeros((1, 4), dtype=torch.long)
        ).loss.backward()
        optimizer.step()
        assert memory.trained_bytes(architecture, settings) == pytest.approx(size(p.grad for p in trained), rel=WITHIN)
        moments = size(value for state in optimizer.state.values() for value in state.values())
        assert memory.optimizer_bytes(architecture, settings) == pytest.approx(moments, rel=WITHIN)

    @pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
    def test_all_weights(self, tiny, dtype):
        kind, config = tiny
        model = kind(config).to(getattr(torch, dtype))
        optimizer = torch.optim.AdamW(model.parameters())
        model(
            input_ids=torch.zeros((1, 4), dtype=torch.long), labels=torch.zeros((1, 4), dtype=torch.long)
        ).loss.backward()
        optimizer.step()
        moments = size(value for state in optimizer.state.values() for value in state.values())
        planned = memory.optimizer_bytes(Architecture.of(config), Settings(dtype=dtype))
        assert planned == pytest.approx(moments, rel=WITHIN)

    def test_eight_bit_moments(self, tiny):
        # LoRA of rank 8 on q_proj, 64 x 64: A and B of 512 weights each in 3 blocks, all below 4,096: float32
        architecture = Architecture.of(tiny[1])
        small = Settings(rank=8, targets=("q_proj",), optimizer="paged_adamw_8bit")
        assert memory.optimizer_bytes(architecture, small) == 2 * 4 * 512 * 2 * 3
        # rank 64: 4,096 weights each: a byte each and a float32 for each 256
        large = Settings(rank=64, targets=("q_proj",), optimizer="adamw_bnb_8bit")
        assert memory.optimizer_bytes(architecture, large) == 2 * (4096 + 4 * 16) * 2 * 3

    def test_other_optimizers(self, tiny):
        architecture = Architecture.of(tiny[1])
        assert memory.optimizer_bytes(architecture, Settings(optimizer="sgd")) == 0
        with pytest.raises(ConfigError, match="got optim='adafactor'"):
            memory.optimizer_bytes(architecture, Settings(optimizer="adafactor"))

    def test_reference(self, tiny):
        architecture = Architecture.of(tiny[1])
        assert memory.reference_bytes(architecture, Settings()) == 0
        whole, adapter = Settings(reference=True), Settings(reference=True, rank=4)
        assert memory.reference_bytes(architecture, whole) == architecture.total * 2
        assert memory.reference_bytes(architecture, adapter) == memory.adapter_bytes(architecture, adapter)


class TestLayers:
    def test_layers_that_are_not_there(self, tiny):
        with pytest.raises(ConfigError, match="it has none of them"):
            Architecture.of(tiny[1]).adapted(("c_attn",))

    def test_the_output_layer_is_not_quantized(self, tiny):
        architecture = Architecture.of(tiny[1])
        assert len(architecture.linears) == 3 * 7 + 1
        assert len(architecture.quantized) == len(architecture.adapted("all-linear")) == 3 * 7


class TestCache:
    def test_largest_batch(self):
        """61.03 GiB of weights leave 64.97 of nine tenths of 140: 30 times (8,704 x 262,144 + 8 x 152,064) bytes."""
        architecture = Architecture.of(load_config("Qwen2.5-32B"))
        settings = Settings(rollouts=240, prompt=512, completion=8192)
        assert [largest_batch(architecture, settings, memory) for memory in (140, 70, 67, 1000)] == [30, 0, 0, 240]
        assert largest_batch(architecture, replace(settings, rollouts=8), 140) == 8

    @pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
    def test_keys_and_values(self, tiny, dtype):
        kind, config = tiny
        model = kind(config).to(getattr(torch, dtype))
        cache = DynamicCache(config=config)
        ids = torch.zeros((5, 20), dtype=torch.long)
        with torch.no_grad():
            model(input_ids=ids, past_key_values=cache, use_cache=True)
        real = size(tensor for layer in cache.layers for tensor in (layer.keys, layer.values))
        settings = Settings(dtype=dtype, rollouts=5, prompt=8, completion=12)
        assert memory.kv_bytes(Architecture.of(config), settings) == pytest.approx(real, rel=WITHIN)
