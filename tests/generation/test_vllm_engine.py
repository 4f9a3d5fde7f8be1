"""What of the vLLM engine can be checked without vLLM: its absence, its settings, its results."""

from __future__ import annotations

import importlib.util
from types import SimpleNamespace

import pytest

from trl_rlsp.errors import MissingDependencyError
from trl_rlsp.generation import Request, Sample, Sampling
from trl_rlsp.generation.vllm import VLLMEngine, adapter_options, sampling_options, to_sample


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vLLM is installed")
def test_not_installed(model_folder):
    with pytest.raises(MissingDependencyError, match=r"needs vLLM: pip install 'trl-rlsp\[vllm\]'"):
        VLLMEngine(str(model_folder))


class TestAdapterOptions:
    def test_a_whole_model(self, model_folder):
        assert adapter_options(str(model_folder)) == {}

    def test_an_adapter(self, model_folder, tmp_path):
        from peft import LoraConfig, get_peft_model
        from transformers import AutoModelForCausalLM

        base = AutoModelForCausalLM.from_pretrained(model_folder)
        get_peft_model(base, LoraConfig(r=2, target_modules=["q_proj"])).save_pretrained(tmp_path)
        expected = {"model": str(model_folder), "enable_lora": True, "max_lora_rank": 8}
        assert adapter_options(str(tmp_path)) == expected  # 8 is the smallest rank that vLLM serves


def test_sampling_options():
    sampling = Sampling(n=4, temperature=0.7, top_p=0.9, max_new_tokens=100)
    first, second = (sampling_options(sampling, Request(0, sample)) for sample in (0, 1))
    assert first.pop("seed") != second.pop("seed")
    assert first == second
    assert (first["n"], first["temperature"], first["top_p"], first["max_tokens"]) == (1, 0.7, 0.9, 100)


@pytest.mark.parametrize(("finish_reason", "truncated"), [("stop", False), ("length", True)])
def test_to_sample(finish_reason, truncated):
    output = SimpleNamespace(text="so 2", token_ids=(5, 6, 7), finish_reason=finish_reason)
    assert to_sample(Request(3, 1), output) == Sample(3, "so 2", 3, truncated, 1)
