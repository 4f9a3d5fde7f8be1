"""Activations against what autograd holds on the real model: within 20 %, mostly exact."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from peft import LoraConfig, get_peft_model

from trl_rlsp.planning import Architecture, Settings
from trl_rlsp.planning._memory import activation_bytes, logit_bytes
from trl_rlsp.stages import load_config

WITHIN = 0.2


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("rank", [None, 4])
@pytest.mark.parametrize(
    ("dtype", "autocast"), [("float32", None), ("float32", "bfloat16"), ("bfloat16", "bfloat16"), ("bfloat16", None)]
)
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_peak(tiny, held, checkpointing, rank, dtype, autocast, attention):
    kind, config = tiny
    model = kind._from_config(config, attn_implementation=attention).to(getattr(torch, dtype))
    if rank:
        adapter = LoraConfig(r=rank, target_modules="all-linear", lora_dropout=0.05, task_type="CAUSAL_LM")
        model = get_peft_model(model, adapter)
    backbone = (model.get_base_model() if rank else model).model
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": True})
        model.enable_input_require_grads()
    model.train()
    half = getattr(torch, autocast) if autocast else None
    real = held(model, backbone, batch=3, length=48, half=half)
    settings = Settings(
        checkpointing=checkpointing,
        dtype=dtype,
        autocast=autocast,
        rank=rank,
        targets="all-linear",
        attention=attention,
        micro_batch=3,
        prompt=16,
        completion=32,
    )
    assert activation_bytes(Architecture.of(config), settings) == pytest.approx(real, rel=WITHIN)


def test_what_checkpointing_saves_grows_with_the_batch(tiny):
    """Two of three blocks, less the hidden states at three boundaries: nothing that is kept once."""

    def saved(micro_batch):
        settings = Settings(rank=4, targets="all-linear", micro_batch=micro_batch, prompt=16, completion=16)
        return activation_bytes(architecture, replace(settings, checkpointing=False)) - activation_bytes(
            architecture, settings
        )

    architecture = Architecture.of(tiny[1])
    assert saved(2) == 2 * saved(1) > 0


def test_logits_of_a_tile():
    # 4,096 positions x 32,768 of the vocabulary in bfloat16; hidden states of 4,096 x 5,120 in 2 + 4 bytes
    architecture = Architecture.of(load_config("Qwen2.5-32B"))
    found = logit_bytes(architecture, Settings(rank=8, micro_batch=1, completion=4096))
    assert found == 4096 * 32768 * 2 + 4096 * 5120 * 6
