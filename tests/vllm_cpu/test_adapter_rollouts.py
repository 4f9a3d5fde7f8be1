"""vLLM draws from the adapter as it is after each update, though nothing but the adapter is sent."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import BitsAndBytesConfig

from trl_rlsp import RLSPGRPOConfig, RLSPGRPOTrainer

pytestmark = pytest.mark.slow
STEPS = 4


def train(folder, output, packed=None, **settings):
    """The trainer after some updates of a rank so high that each moves the completions."""
    args = RLSPGRPOConfig(
        str(output), use_vllm=True, vllm_max_model_length=128, bf16=bool(packed), use_cpu=True, max_steps=STEPS,
        per_device_train_batch_size=8, num_generations=4, max_completion_length=24, learning_rate=1e-2,
        model_init_kwargs={"dtype": "bfloat16" if packed else "float32", "quantization_config": packed},
        gradient_checkpointing=False, logging_steps=1, save_strategy="no",
        report_to="none", log_completions=False, **settings,
    )  # fmt: skip
    trainer = RLSPGRPOTrainer(
        folder,
        lambda completions, **_: [float(len(text) % 7) for text in completions],
        args,
        Dataset.from_dict({"prompt": ["8 1 9 : 72", "1 2 3 : 6"] * 8}),
        peft_config=LoraConfig(r=8, target_modules="all-linear", task_type="CAUSAL_LM"),
    )
    base = {name: value.clone() for name, value in trainer.model.named_parameters() if "lora" not in name}
    trainer.train()
    assert all(torch.equal(value, base[name]) for name, value in trainer.model.named_parameters() if name in base)
    return trainer


def check(trainer, within=1e-5):
    """At each generation the log-probabilities of vLLM are the trainer's, and no longer the base's."""
    logged = [entry for entry in trainer.state.log_history if "reward" in entry]
    assert len(logged) == STEPS
    assert max(entry["sampling/sampling_logp_difference/max"] for entry in logged) < within
    assert trainer.vllm_generation._number == STEPS
    ids = trainer.processing_class(["8 1 9 : 72"], return_tensors="pt")["input_ids"]
    with torch.no_grad():
        adapted = trainer.model(ids).logits.log_softmax(-1)
        with trainer.model.disable_adapter():
            assert (trainer.model(ids).logits.log_softmax(-1) - adapted).abs().max() > max(1e-2, 5 * within)


@pytest.mark.parametrize("sleeps", [False], ids=["awake"])
def test_colocated(model_folder, tmp_path, eager, sleeps):
    check(train(model_folder, tmp_path, vllm_mode="colocate", vllm_enable_sleep_mode=sleeps))


@pytest.mark.skipif(not importlib.util.find_spec("vllm_bnb_plugin"), reason="vLLM has 4-bit weights by a plugin")
def test_colocated_on_a_four_bit_base(model_folder, tmp_path, eager):
    """vLLM packs the checkpoint as the trainer does; the plugin takes bfloat16 alone, hence the width of the bound."""
    nested = {"bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True}
    packed = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_compute_dtype=torch.bfloat16, **nested)
    trainer = train(model_folder, tmp_path, packed, vllm_mode="colocate")
    assert trainer.model.is_loaded_in_4bit
    check(trainer, within=0.05)


@pytest.fixture
def server(model_folder, tmp_path):
    """A server as docs/vllm.md says, and its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", model_folder, "--port", str(port)]
    command += ["--enable-lora", "--max-lora-rank", "8", "--dtype", "float32", "--enforce-eager"]
    command += ["--max-model-len", "128", "--logprobs-mode", "processed_logprobs"]
    own = {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1", "VLLM_SERVER_DEV_MODE": "1"}
    with open(tmp_path / "server.log", "w") as log:
        process = subprocess.Popen(command, env={**os.environ, **own}, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + 300
        while not answers(port):
            assert process.poll() is None, (tmp_path / "server.log").read_text()[-3000:]
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(1)
        yield port
    finally:
        os.killpg(process.pid, signal.SIGKILL)


def answers(port):
    try:
        return urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2).status == 200
    except OSError:
        return False


def test_from_a_server(model_folder, tmp_path, server):
    address = f"http://127.0.0.1:{server}"
    check(train(model_folder, tmp_path, vllm_mode="server", vllm_server_base_url=address))
