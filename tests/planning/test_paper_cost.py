"""The costs of benchmarks/paper_cost.py against arithmetic by hand."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from trl_rlsp.planning import Architecture, Settings
from trl_rlsp.stages import load_config

SPEC = importlib.util.spec_from_file_location("paper_cost", Path(__file__).parents[2] / "benchmarks" / "paper_cost.py")
paper_cost = sys.modules["paper_cost"] = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(paper_cost)
H100, Card, Schedule, cost = paper_cost.H100, paper_cost.Card, paper_cost.Schedule, paper_cost.cost
flops_per_token, forward_flops = paper_cost.flops_per_token, paper_cost.forward_flops

SCHEDULE = Schedule(generations=2, completions=8, tokens=100, prompt=50)


@pytest.fixture(scope="module")
def llama():
    return Architecture.of(load_config("Llama-3.1-8B"))


def test_a_forward_pass(llama):
    # 8,030,261,248 weights less 128,256 x 4,096 of the embedding and 65 norms of 4,096
    products = 8_030_261_248 - 128_256 * 4096 - 65 * 4096
    # 32 layers, width 4,096, 1,000 tokens before it
    assert forward_flops(llama, 1000) == 2 * products + 4 * 32 * 4096 * 1000


def test_passes(llama):
    forward = forward_flops(llama, 75)
    full, lora = Settings(checkpointing=False), Settings(rank=8, checkpointing=False)
    assert flops_per_token(llama, full, SCHEDULE) == 3 * forward
    assert flops_per_token(llama, lora, SCHEDULE) == 2 * forward
    checkpointed = replace(lora, checkpointing=True, reference=True)
    assert flops_per_token(llama, checkpointed, SCHEDULE) == 4 * forward


def test_time(llama):
    # a card that reads 1 GB and computes 1 PFLOP in a second, both fully: sampling is bound by reading
    card = Card("slow", flops=1e15, bandwidth=1e9, memory=80, reached_flops=1, reached_bandwidth=1)
    settings = Settings(checkpointing=False)
    found = cost(llama, settings, SCHEDULE, card, gpus=4)
    # each position reads 2 bytes a weight, and for 2 sequences of 50 + 50 tokens 131,072 bytes a token
    assert found.sampling == pytest.approx(100 * (2 * 8_030_261_248 + 2 * 100 * 131_072) / 1e9)
    # 8 x 150 positions on 4 GPUs
    assert found.learning == pytest.approx(8 * 150 * 3 * forward_flops(llama, 75) / 4e15)
    assert found.tokens == 2 * 8 * 100
    assert found.gpu_hours == pytest.approx(2 * (found.sampling + found.learning) * 4 / 3600)


def test_many_sequences_are_bound_by_arithmetic(llama):
    card = replace(H100, bandwidth=1e18)
    few, many = (
        cost(llama, Settings(), replace(SCHEDULE, completions=count), card, 1).sampling for count in (100, 200)
    )
    assert many == pytest.approx(2 * few)


def test_four_bits_are_unpacked_for_each_position(llama):
    card = Card("slow", flops=1e15, bandwidth=1e9, memory=80, reached_flops=1, reached_bandwidth=1)
    alone = replace(SCHEDULE, completions=1)
    four = cost(llama, Settings(bits=4, rank=8, targets=("q_proj",)), alone, card, 1).sampling
    # 32 x (4096 x (2 x 4096 + 2 x 1024) + 3 x 4096 x 14336) = 6,979,321,856 weights: 9/16 of a byte, written and read
    # again in two; the other 1,050,939,392 in two; LoRA 32 x 2 x 8 x 4096 x 4; keys and values of 100 tokens
    weights = 6_979_321_856 * (9 / 16 + 4) + 1_050_939_392 * 2 + 32 * 2 * 8 * 4096 * 4
    assert four == pytest.approx(100 * (weights + 100 * 131_072) / 1e9, rel=1e-4)
