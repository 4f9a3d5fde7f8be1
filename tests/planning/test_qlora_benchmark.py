"""The parts of benchmarks/qlora_memory.py that need no GPU, so that it does not rot between cards."""

from __future__ import annotations

import pytest
import torch

from trl_rlsp.planning import Architecture, Settings, weight_bytes


@pytest.fixture(scope="module")
def benchmark(load_script):
    return load_script("benchmarks/qlora_memory.py")


def test_a_model_straight_in_four_bits(benchmark, tiny):
    config = tiny[1]
    model = benchmark.four_bit_model(config, "cpu")
    out = model(input_ids=torch.arange(8)[None])
    assert out.logits.shape == (1, 8, config.vocab_size)
    assert not hasattr(config, "quantization_config")  # the caller's configuration is left alone
    assert out.logits.isfinite().all()
    parameters = list(model.parameters())
    states = [p.quant_state for p in parameters if hasattr(p, "quant_state")]
    assert len(states) == 3 * 7
    constants = sum(s.absmax.nbytes + s.code.nbytes for s in states)
    planned = weight_bytes(Architecture.of(config), Settings(bits=4, rank=4))
    assert planned == pytest.approx(sum(p.nbytes for p in parameters) + constants, rel=0.02)


def test_the_plan_is_of_the_same_settings(benchmark):
    given = benchmark.parse(["--model", "Qwen/Qwen2.5-0.5B-Instruct", "--completion", "64", "--group", "4"])
    plan = benchmark.planned(given)
    # 24 layers x 2 heads x 64 numbers, keys and values, 4 sequences of 502 + 64 tokens in two bytes, and 4 x 151,936
    # logits in float32 twice
    assert plan.cache == 2 * 24 * 2 * 64 * 4 * 566 * 2 + 2 * 4 * 4 * 151_936


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU to measure on")
def test_without_a_gpu_nothing_is_claimed(benchmark, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["qlora_memory.py"])
    assert benchmark.main() == 1
    assert "no CUDA GPU: nothing was measured" in capsys.readouterr().err
