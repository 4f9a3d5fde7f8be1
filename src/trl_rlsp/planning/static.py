"""Memory that does not depend on the batch: weights, adapter, gradients, optimizer, reference; and the key-value cache.

Bytes on one GPU that holds everything. The parts are counted tensor by tensor, as torch, peft and bitsandbytes
allocate them; `tests/planning` compares them with what these allocate.
"""

from __future__ import annotations

import math

from trl_rlsp.errors import ConfigError
from trl_rlsp.planning.architecture import Architecture, Linear
from trl_rlsp.planning.settings import BYTES, Settings

BLOCK, NESTED_BLOCK, OPTIMIZER_BLOCK = 64, 256, 256
"""Weights that share a constant in bitsandbytes: of 4-bit weights, of their constants, of 8-bit optimizer states."""

SMALLEST_8BIT = 4096
"""Tensors with fewer weights keep their optimizer states in float32 (bitsandbytes' `min_8bit_size`)."""


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
