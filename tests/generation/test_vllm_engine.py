"""The vLLM engine without vLLM: its absence, its settings, and what it asks of a stand-in."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType, SimpleNamespace

import pytest
from peft import LoraConfig

from trl_rlsp.errors import ConfigError, MissingDependencyError
from trl_rlsp.generation import Prefixed, Request, Sample, Sampling, all_requests
from trl_rlsp.generation.vllm import VLLMEngine, adapter_options, sampling_options

PROMPTS = ["1 2 : 3", [{"role": "user", "content": "8 1 9 : 72"}]]


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vLLM is installed")
def test_not_installed(model_folder):
    with pytest.raises(MissingDependencyError, match=r"needs vLLM: pip install 'trl-rlsp\[vllm\]'"):
        VLLMEngine(str(model_folder), prompts=PROMPTS, new_tokens=9)


class TestAdapterOptions:
    def test_a_whole_model(self, model_folder):
        assert adapter_options(str(model_folder)) == {}

    @pytest.mark.parametrize(("rank", "served"), [(2, 8), (16, 16), (33, 64)])
    def test_an_adapter_at_the_next_rank_that_vllm_serves(self, model_folder, tmp_path, rank, served):
        LoraConfig(base_model_name_or_path=str(model_folder), r=rank).save_pretrained(tmp_path)
        expected = {"model": str(model_folder), "enable_lora": True, "max_lora_rank": served}
        assert adapter_options(str(tmp_path)) == expected

    def test_an_adapter_that_vllm_would_scale_wrongly(self, tmp_path):
        LoraConfig(base_model_name_or_path="base", alpha_pattern={"q_proj": 32}).save_pretrained(tmp_path)
        with pytest.raises(ConfigError, match=r"one rank and one alpha for all layers.*rlsp merge"):
            adapter_options(str(tmp_path))


def test_sampling_options():
    sampling = Sampling(n=4, temperature=0.7, top_p=0.9)
    first, second = (sampling_options(sampling, Request(0, sample), 100) for sample in (0, 1))
    assert first.pop("seed") != second.pop("seed")
    assert first == second
    assert (first["n"], first["temperature"], first["top_p"], first["max_tokens"]) == (1, 0.7, 0.9, 100)


class Stand:
    """In the place of `vllm.LLM`: answers every prompt with the tokens of `9 </s>` and notes what it is asked."""

    made, calls = [], []

    def __init__(self, **options):
        type(self).made.append(options)

    def generate(self, prompts, params, lora_request=None):
        type(self).calls.append((prompts, params, lora_request))
        outputs = [SimpleNamespace(text="9", token_ids=(29, 2), finish_reason="stop") for _ in prompts[:-1]]
        outputs += [SimpleNamespace(text="9 9", token_ids=(29, 29), finish_reason="length")]
        return [SimpleNamespace(outputs=[output]) for output in outputs]


@pytest.fixture
def stand(monkeypatch):
    vllm, lora, request = (ModuleType(name) for name in ("vllm", "vllm.lora", "vllm.lora.request"))
    vllm.LLM = Stand
    vllm.SamplingParams = vllm.TokensPrompt = dict
    request.LoRARequest = lambda *arguments: arguments
    for module in (vllm, lora, request):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    Stand.made, Stand.calls = [], []
    return Stand


class TestEngine:
    def engine(self, model_folder, **options):
        return VLLMEngine(str(model_folder), prompts=PROMPTS, **{"new_tokens": 20, **options})

    def test_is_sized_for_what_it_will_be_asked(self, stand, model_folder):
        self.engine(model_folder, tensor_parallel_size=2, gpu_memory_utilization=0.8)
        (made,) = stand.made
        # <user> 8 1 9 : 72 <assistant> is the longest prompt
        assert made["max_model_len"] == 7 + 20
        assert (made["tensor_parallel_size"], made["gpu_memory_utilization"]) == (2, 0.8)
        assert made["generation_config"] == "vllm"

    def test_no_more_than_the_model_has_positions_for(self, stand, model_folder):
        self.engine(model_folder, new_tokens=100_000)
        assert stand.made[0]["max_model_len"] == 512

    def test_one_call_for_all_requests(self, stand, model_folder):
        requests = all_requests(2, 100)
        engine = self.engine(model_folder)
        batches = list(engine.sample(PROMPTS, requests, Sampling(batch_size=4, max_new_tokens=20)))
        assert [len(batch) for batch in batches] == [len(prompts) for prompts, *_ in stand.calls] == [200]
        assert [sample.request for sample in batches[0]] == requests
        assert batches[0][0] == Sample(0, "9", 2, False, 0)
        assert batches[0][-1] == Sample(1, "9 9", 2, True, 99)
        assert {params["max_tokens"] for params in stand.calls[0][1]} == {20}

    def test_goes_on_with_a_beginning(self, stand, model_folder, tokenizer):
        prompts = {5: Prefixed("1 2 : 3", ("1 + 2", "|"), 4, 3), 7: Prefixed("1 2 : 3", ("1",), 1, 6)}
        requests = [Request(5, 2), Request(7, 1)]
        ((first, second),) = self.engine(model_folder).sample(prompts, requests, Sampling())
        asked, params, _ = stand.calls[0]
        assert tokenizer.convert_ids_to_tokens(asked[0]["prompt_token_ids"]) == ["1", "2", ":", "3", *"1+2|"]
        assert [param["max_tokens"] for param in params] == [3, 6]
        assert first == Sample(5, f"1 + 2 | {tokenizer.decode([29])}", 4 + 2, False, 2)
        assert (second.tokens, second.truncated) == (1 + 2, True)
