"""Tiny models of the recipes' classes, and a meter of what autograd holds."""

from __future__ import annotations

import contextlib
import copy

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

SIZES = {
    "hidden_size": 64,
    "intermediate_size": 192,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 160,
    "max_position_embeddings": 256,
}
MODELS = {
    "llama": (LlamaForCausalLM, LlamaConfig(**SIZES, tie_word_embeddings=False)),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config(**SIZES, tie_word_embeddings=True)),
}


@pytest.fixture(params=sorted(MODELS))
def tiny(request):
    """Class and configuration of a model with 3 blocks, grouped attention heads and a gated MLP."""
    kind, config = MODELS[request.param]
    return kind, copy.deepcopy(config)


class Meter:
    """Counts the bytes that autograd holds for the backward pass, each storage once, and their peak."""

    def __init__(self, weights):
        self.weights = {tensor.untyped_storage().data_ptr() for tensor in weights}
        self.held, self.peak, self.uses = 0, 0, {}

    def pack(self, tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() in self.weights:
            return tensor
        return Saved(self, tensor, (storage.data_ptr(), storage.nbytes()))

    def take(self, key):
        self.uses[key] = self.uses.get(key, 0) + 1
        if self.uses[key] == 1:
            self.held += key[1]
            self.peak = max(self.peak, self.held)

    def leave(self, key):
        self.uses[key] -= 1
        if not self.uses[key]:
            self.held -= key[1]

    def unpack(self, saved):
        return saved.tensor if isinstance(saved, Saved) else saved

    def watching(self):
        """Count what is saved inside of this context."""
        return torch.autograd.graph.saved_tensors_hooks(self.pack, self.unpack)


class Saved:
    """A saved tensor, counted as long as autograd keeps it."""

    def __init__(self, meter, tensor, key):
        self.meter, self.tensor, self.key = meter, tensor, key
        meter.take(key)

    def __del__(self):
        self.meter.leave(self.key)


@pytest.fixture
def held():
    """Peak bytes that autograd holds during a forward and backward pass of a model without its output layer."""

    def measure(model, backbone, batch, length, half=None):
        ids = torch.zeros((batch, length), dtype=torch.long)
        mask = torch.ones((batch, 1, length, length), dtype=torch.bool)
        meter = Meter([*model.parameters(), *model.buffers()])
        casting = torch.autocast("cpu", half) if half else contextlib.nullcontext()
        with meter.watching():
            with casting:
                out = backbone(input_ids=ids, attention_mask=mask, use_cache=False)
            out.last_hidden_state.sum().backward()
        return meter.peak

    return measure
