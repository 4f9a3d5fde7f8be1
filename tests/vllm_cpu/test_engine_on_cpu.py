"""The evaluation's vLLM engine gives what transformers gives."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from trl_rlsp.generation import Request, Sampling, TransformersEngine, load_model
from trl_rlsp.generation.vllm import VLLMEngine

pytestmark = pytest.mark.slow
PROMPTS = [[{"role": "user", "content": text}] for text in ("8 1 9 : 72", "1 2 3 : 6", "5 5 : 10")]


@pytest.fixture
def adapter_folder(model_folder, tmp_path):
    """An adapter of rank 4 that is not 0."""
    torch.manual_seed(1)
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(model_folder, dtype="float32"),
        LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM"),
    )
    model.save_pretrained(tmp_path)
    load_model(model_folder)[1].save_pretrained(tmp_path)
    return str(tmp_path)


def texts(batches):
    return {sample.request.prompt: sample.text for batch in batches for sample in batch}


@pytest.mark.parametrize("kind", ["model", "adapter"])
def test_greedy_completions_are_those_of_transformers(model_folder, adapter_folder, eager, kind):
    folder = {"model": model_folder, "adapter": adapter_folder}[kind]
    sampling = Sampling(n=1, temperature=0.0, max_new_tokens=16)
    requests = [Request(prompt, 0) for prompt in range(len(PROMPTS))]
    engine = VLLMEngine(folder, prompts=PROMPTS, new_tokens=16, dtype="float32")
    found = texts(engine.sample(PROMPTS, requests, sampling))
    local = TransformersEngine(*load_model(folder, dtype="float32"))
    assert found == texts(local.sample(PROMPTS, requests, sampling))
