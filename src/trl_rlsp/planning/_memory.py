"""The parts of a stage's memory, in bytes on one GPU that holds everything.

Weights, adapter, gradients, optimizer, reference and key-value cache are counted tensor by tensor, as torch, peft and
bitsandbytes allocate them. Activations are measured without running anything: the model's own code is run on fake
tensors, which have shapes, types and autograd but no numbers, and every tensor that autograd saves is counted once per
storage. Two runs, of one and of two blocks, give what a block keeps and what is kept once; the rest is multiplication.
`tests/planning` compares all of them with what is really allocated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from trl_rlsp.errors import ConfigError
from trl_rlsp.planning._architecture import Architecture, Linear, meta_model
from trl_rlsp.planning._settings import BYTES, Settings

if TYPE_CHECKING:
    import torch
    from torch import nn

BLOCK, NESTED_BLOCK, OPTIMIZER_BLOCK = 64, 256, 256
"""Weights that share a constant in bitsandbytes: of 4-bit weights, of their constants, of 8-bit optimizer states."""

SMALLEST_8BIT = 4096
"""Tensors with fewer weights keep their optimizer states in float32 (bitsandbytes' `min_8bit_size`)."""

TILE_TOKENS, TILE_VOCABULARY = 4096, 32768
"""Positions and vocabulary of a tile of TRL's fused output layer: its `TOKEN_CHUNK_SIZE` and chunk size."""


def weight_bytes(architecture: Architecture, settings: Settings) -> int:
    """The base model in its precision, the constants of a quantised one included."""
    if settings.bits is None:
        return architecture.total * settings.bytes_per_weight
    linears = architecture.quantised.values()
    kept = architecture.total - sum(linear.weights for linear in linears)  # embeddings, norms, biases, output layer
    if settings.bits == 8:
        return kept * settings.bytes_per_weight + sum(_eight_bit(linear) for linear in linears)
    return kept * settings.bytes_per_weight + sum(_four_bit(linear, settings.nested) for linear in linears)


def _four_bit(linear: Linear, nested: bool) -> int:
    """Two weights a byte, a float32 constant for each 64, the 16 values of the type; nested constants take a byte."""
    blocks = math.ceil(linear.weights / BLOCK)
    packed = math.ceil(linear.weights / 2) + 16 * 4
    if not nested:
        return packed + 4 * blocks
    outer = 4 * math.ceil(blocks / NESTED_BLOCK) + 256 * 4 + 4  # constants, their codebook, an offset
    return packed + blocks + outer


def _eight_bit(linear: Linear) -> int:
    """A byte a weight and a float32 constant for each row."""
    return linear.weights + 4 * linear.outputs


def trained_tensors(architecture: Architecture, settings: Settings) -> list[int]:
    """Sizes of the tensors that are trained, in weights: LoRA's A and B of each layer, or everything."""
    if settings.rank is None:
        return list(architecture.parameters.values())
    adapted = architecture.adapted(settings.targets).values()
    return [settings.rank * size for linear in adapted for size in (linear.inputs, linear.outputs)]


def trained_bytes(architecture: Architecture, settings: Settings) -> int:
    """What is trained: the adapter in float32, or all weights in their type."""
    return sum(trained_tensors(architecture, settings)) * settings.bytes_per_trained


def adapter_bytes(architecture: Architecture, settings: Settings) -> int:
    """The adapter; 0 without one."""
    return 0 if settings.rank is None else trained_bytes(architecture, settings)


def gradient_bytes(architecture: Architecture, settings: Settings) -> int:
    """One gradient for each trained weight, in the weight's type."""
    return trained_bytes(architecture, settings)


def optimizer_bytes(architecture: Architecture, settings: Settings) -> int:
    """The optimizer's state: for AdamW two moments for each weight, in the weight's type.

    Raises:
        ConfigError: an optimizer that is not modelled.
    """
    name, tensors = settings.optimizer, trained_tensors(architecture, settings)
    if name == "sgd":
        return 0
    if "adamw" not in name:
        raise ConfigError(f"a plan knows AdamW (also 8-bit and paged) and sgd, got optim={name!r}")
    if "8bit" in name:
        return sum(_moments_in_8_bit(size) for size in tensors)
    return sum(2 * size * settings.bytes_per_trained + 4 for size in tensors)  # and a step of float32


def _moments_in_8_bit(size: int) -> int:
    if size < SMALLEST_8BIT:
        return 2 * size * 4
    return 2 * (size + 4 * math.ceil(size / OPTIMIZER_BLOCK))


def reference_bytes(architecture: Architecture, settings: Settings) -> int:
    """The frozen reference of the KL: a copy of the weights, or of an adapter that was trained before."""
    if not settings.reference:
        return 0
    return weight_bytes(architecture, settings) if settings.rank is None else adapter_bytes(architecture, settings)


def kv_bytes(architecture: Architecture, settings: Settings) -> int:
    """The key-value cache of all sequences that transformers generates at once, at their full length."""
    numbers = architecture.kv_numbers_per_token * settings.rollouts * settings.length
    return numbers * BYTES[settings.computes_in]


@dataclass(frozen=True)
class Activations:
    """What one forward pass of a micro-batch keeps, in bytes.

    Attributes:
        block: kept by one transformer block.
        once: kept by embedding, final norm and what the blocks share.
        boundary: the hidden states between two blocks.
        layers: blocks.
    """

    block: int
    once: int
    boundary: int
    layers: int

    def held(self, checkpointing: bool) -> int:
        """Most that is held at once.

        Args:
            checkpointing: only the hidden states before each block are kept; its own are computed again, one block at
                a time.

        Example:
            >>> activations = Activations(block=100, once=10, boundary=8, layers=4)
            >>> activations.held(False), activations.held(True)  # 10 + 4 x 100; 10 + 4 x 8 + 100
            (410, 142)
        """
        if not checkpointing:
            return self.once + self.layers * self.block
        return self.once + self.layers * self.boundary + self.block


def activations(architecture: Architecture, settings: Settings) -> Activations:
    """What one forward pass of a micro-batch at the longest sequence keeps.

    Args:
        architecture: shapes of the model.
        settings: batch, types, adapter.
    """
    relevant = replace(settings, optimizer="", rollouts=0, accumulation=1, vllm=None, reference=False)
    one, two = (_kept(architecture, relevant, layers) for layers in (1, 2))
    block = two - one
    hidden = int(architecture.config.get_text_config().hidden_size)
    width = 4 if _residual_in_float32(settings) else BYTES[settings.computes_in]
    boundary = settings.micro_batch * settings.length * hidden * width
    return Activations(block, one - block, boundary, architecture.layers)


def logit_bytes(architecture: Architecture, settings: Settings) -> int:
    """What TRL 1.16's fused output layer holds: a tile of logits, and the scored hidden states with their gradient.

    The logits of whole sequences are never there. The gradient is kept in float32; where the output layer is trained,
    so is its own.
    """
    text = architecture.config.get_text_config()
    positions = settings.micro_batch * settings.completion
    width = BYTES[settings.computes_in]
    tile = min(positions, TILE_TOKENS) * min(text.vocab_size, TILE_VOCABULARY) * width
    trained_head = 4 * text.vocab_size * text.hidden_size if settings.rank is None else 0
    return tile + positions * text.hidden_size * (width + 4) + trained_head


def _residual_in_float32(settings: Settings) -> bool:
    """Under autocast the hidden states between blocks keep the type of the embedding."""
    return settings.dtype == "float32"


@lru_cache(maxsize=64)
def _kept(architecture: Architecture, settings: Settings, layers: int) -> int:
    """Bytes that autograd saves in a forward pass through `layers` blocks, weights left out."""
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode

    backbone = _trainable(architecture, settings, layers)
    with FakeTensorMode(allow_non_fake_inputs=True):
        tensors = _filled(backbone, settings)
        sizes: dict[int, int] = {}
        alive: list[Any] = []  # a storage's address is its identity only as long as it lives
        own = {tensor.untyped_storage()._cdata for tensor in tensors.values()}

        def count(tensor: torch.Tensor) -> torch.Tensor:
            storage = tensor.untyped_storage()
            if storage._cdata not in own:
                sizes[storage._cdata] = storage.nbytes()
                alive.append(tensor)
            return tensor

        shape = (settings.micro_batch, settings.length)
        given = {
            "input_ids": torch.zeros(shape, dtype=torch.long),
            "attention_mask": torch.ones((shape[0], 1, shape[1], shape[1]), dtype=torch.bool),
            "use_cache": False,
        }
        half = getattr(torch, settings.autocast) if settings.autocast else torch.bfloat16
        with (
            torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor),
            torch.autocast("cpu", half, enabled=settings.autocast is not None),
        ):
            kept = torch.func.functional_call(backbone, tensors, (), given)
        alive.append(kept)
    return sum(sizes.values())


def _trainable(architecture: Architecture, settings: Settings, layers: int) -> nn.Module:
    """The blocks without output layer, with the adapter and its frozen base, on the meta device."""
    model = meta_model(architecture.config, layers, settings.attention)
    if settings.rank is not None:
        from peft import LoraConfig, get_peft_model

        targets: Any = sorted({name.split(".")[-1] for name in architecture.adapted(settings.targets)})
        adapter = LoraConfig(
            r=settings.rank, target_modules=targets, lora_dropout=settings.dropout, task_type="CAUSAL_LM"
        )
        get_peft_model(model, adapter)  # adapts the layers in place
    model.train()
    return model.base_model


def _filled(backbone: nn.Module, settings: Settings) -> dict[str, torch.Tensor]:
    """Fake tensors for the parameters and buffers of a module on the meta device."""
    import torch

    def like(name: str, tensor: torch.Tensor) -> torch.Tensor:
        dtype = getattr(torch, _dtype_of(name, tensor, settings)) if tensor.is_floating_point() else tensor.dtype
        return torch.empty(tensor.shape, dtype=dtype, requires_grad=tensor.requires_grad)

    parameters = {name: like(name, tensor) for name, tensor in backbone.named_parameters()}
    buffers = {name: torch.empty(tensor.shape, dtype=tensor.dtype) for name, tensor in backbone.named_buffers()}
    return parameters | buffers


def _dtype_of(name: str, tensor: torch.Tensor, settings: Settings) -> str:
    if settings.rank is not None and tensor.requires_grad:
        return "float32"
    if settings.bits and tensor.dim() == 2 and "embed" not in name:
        return settings.computes_in  # unpacked for each product, so never cast and kept
    return settings.dtype
