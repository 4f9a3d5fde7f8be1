"""What only a CUDA GPU can show: 4-bit layers, a training step, and that rollouts stay exact there."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU"),
    pytest.mark.skipif(importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed"),
]
ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "benchmarks"))


def test_four_bit_weights_give_what_their_unpacked_values_give():
    """One layer, forward and backward, within bfloat16."""
    from bitsandbytes.functional import dequantize_4bit
    from bitsandbytes.nn import Linear4bit

    torch.manual_seed(0)
    layer = Linear4bit(256, 128, bias=False, compute_dtype=torch.bfloat16, quant_type="nf4").to("cuda")
    plain = dequantize_4bit(layer.weight.data, layer.weight.quant_state).to(torch.bfloat16)
    x = torch.randn(8, 256, device="cuda", dtype=torch.bfloat16, requires_grad=True)
    y = x.detach().clone().requires_grad_()
    layer(x).sum().backward()
    (y @ plain.T).sum().backward()
    assert torch.allclose(layer(x), y @ plain.T, atol=0.1, rtol=0.02)
    assert torch.allclose(x.grad, y.grad, atol=0.1, rtol=0.02)


@pytest.fixture
def trained(tmp_path):
    """Two steps of GRPO on a 4-bit Qwen2 of two layers with random weights."""
    from argparse import Namespace

    import qlora_memory
    from transformers import Qwen2Config

    shape = {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = Qwen2Config(vocab_size=1024, num_key_value_heads=2, architectures=["Qwen2ForCausalLM"], **shape)
    config.save_pretrained(tmp_path)
    given = Namespace(model=str(tmp_path), steps=2, completion=32, group=4, micro_batch=2, rank=4)
    return qlora_memory.measure(given, "cuda"), qlora_memory.planned(given)


def test_a_four_bit_model_trains_and_its_peaks_are_seen(trained):
    peaks, plan = trained
    assert peaks.rollout > plan.weights
    assert peaks.training > plan.weights


def test_greedy_rollouts_are_those_of_transformers():
    from trl_rlsp.generation import Request, Sampling, TransformersEngine, load_model

    model, tokenizer = load_model(str(ROOT / "recipes" / "quickstart" / "base"), dtype="float32", device_map="cuda")
    prompts = ["<user> 8 1 9 : 72 <assistant>", "<user> 1 2 : 3 <assistant>"]
    engine = TransformersEngine(model, tokenizer)
    requests = [Request(0, 0), Request(1, 0)]
    drawn = engine.sample(prompts, requests, Sampling(n=1, temperature=0.0, max_new_tokens=24))
    inputs = tokenizer(prompts, return_tensors="pt", padding=True, add_special_tokens=False).to("cuda")
    with torch.no_grad():
        plain = model.generate(**inputs, max_new_tokens=24, do_sample=False, pad_token_id=tokenizer.pad_token_id)
    expected = tokenizer.batch_decode(plain[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    assert [sample.text for batch in drawn for sample in batch] == expected
