"""How the parts of a stage's memory lie on one GPU of several, and what would make them fit: each change is tried."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from trl_rlsp.planning._architecture import Architecture
from trl_rlsp.planning._memory import (
    activations,
    adapter_bytes,
    gradient_bytes,
    kv_bytes,
    logit_bytes,
    optimizer_bytes,
    reference_bytes,
    trained_tensors,
    weight_bytes,
)
from trl_rlsp.planning._settings import BYTES, Settings

Strategy = Literal["ddp", "zero2", "zero3", "fsdp"]
STRATEGIES: tuple[Strategy, ...] = ("ddp", "zero2", "zero3", "fsdp")
GIB = 2**30
RESERVE = 0.1
"""Share of a card that is left for the CUDA context, fragmentation and short-lived tensors."""


@dataclass(frozen=True)
class Layout:
    """Memory of one GPU by part, in bytes.

    Attributes:
        strategy: how the parts are divided.
        gpus: GPUs that they are divided over.
        weights: the base model, in its precision.
        adapter: LoRA's weights.
        gradients: of what is trained, buckets of DDP included.
        optimizer: its states, float32 copies that ZeRO keeps of half-precision weights included.
        reference: the frozen model of the KL.
        activations: what the forward pass keeps.
        logits: the output layer's tile, hidden states and gradient.
        working: the largest thing that is unpacked or gathered for one product.
        cache: keys and values of the rollouts, and the logits of one position.
        rollout_weights: base model and adapter while rollouts are made.
        vllm: what a colocated vLLM takes for itself, as a share of the card.
        vllm_needs: least that its share must hold: all weights, and one sequence's keys and values.
    """

    strategy: Strategy
    gpus: int
    weights: int
    adapter: int
    gradients: int
    optimizer: int
    reference: int
    activations: int
    logits: int
    working: int
    cache: int
    rollout_weights: int
    vllm: float
    vllm_needs: int = 0

    @property
    def training(self) -> int:
        """Memory of an update."""
        fixed = self.weights + self.adapter + self.optimizer + self.reference
        return fixed + self.gradients + self.activations + self.logits + self.working

    @property
    def rollout(self) -> int:
        """Memory while completions are sampled: no gradients, no activations."""
        return self.rollout_weights + self.optimizer + self.reference + self.working + self.cache

    @property
    def peak(self) -> int:
        """The larger of the two."""
        return max(self.training, self.rollout)

    def fits(self, memory: float) -> bool:
        """Whether it fits on a card.

        Args:
            memory: of the card in GiB.
        """
        if self.vllm_needs > memory * GIB * self.vllm:
            return False
        return self.peak <= memory * GIB * (1 - RESERVE - self.vllm)


def layout(architecture: Architecture, settings: Settings, gpus: int, strategy: Strategy) -> Layout:
    """The memory of one GPU.

    Args:
        architecture: shapes of the model.
        settings: what is trained, and how.
        gpus: GPUs, at least 1.
        strategy: how the parts are divided over them.

    Raises:
        ConfigError: an optimizer that is not modelled, or layers that the model does not have.
    """
    sharded = strategy in ("zero3", "fsdp")
    deepspeed = strategy in ("zero2", "zero3")
    base, adapter = weight_bytes(architecture, settings), adapter_bytes(architecture, settings)
    gradients, states = gradient_bytes(architecture, settings), optimizer_bytes(architecture, settings)
    if deepspeed and settings.computes_in != "float32":
        gradients, states = _in_deepspeed(architecture, settings, states)
    if strategy == "ddp" and gpus > 1:
        gradients *= 2  # buckets hold a second copy
    share = gpus if strategy != "ddp" else 1
    weights_share = gpus if sharded else 1
    gathers_all = strategy == "zero3" and settings.rollouts and settings.gathers and settings.vllm is None
    whole = base + adapter
    return Layout(
        strategy=strategy,
        gpus=gpus,
        weights=math.ceil(base / weights_share),
        adapter=math.ceil(adapter / weights_share),
        gradients=math.ceil(gradients / share),
        optimizer=math.ceil(states / share),
        reference=math.ceil(reference_bytes(architecture, settings) / weights_share),
        activations=activations(architecture, settings).held(settings.checkpointing),
        logits=logit_bytes(architecture, settings),
        working=working_bytes(architecture, settings, gathered=sharded and gpus > 1),
        cache=cache_bytes(architecture, settings),
        rollout_weights=whole if gathers_all else math.ceil(whole / weights_share),
        vllm=settings.vllm_share if settings.vllm == "colocate" else 0.0,
        vllm_needs=vllm_bytes(architecture, settings) if settings.vllm == "colocate" else 0,
    )


def strategies(settings: Settings, gpus: int) -> tuple[Strategy, ...]:
    """The layouts that a stage can take: packed weights cannot be sharded, and one GPU divides nothing."""
    if gpus == 1:
        return STRATEGIES[:1]
    return STRATEGIES[:2] if settings.bits else STRATEGIES


def vllm_bytes(architecture: Architecture, settings: Settings) -> int:
    """What vLLM cannot start without: its own copy of the weights, and the cache of one sequence."""
    one = replace(settings, rollouts=1)
    return weight_bytes(architecture, settings) + adapter_bytes(architecture, settings) + kv_bytes(architecture, one)


def _in_deepspeed(architecture: Architecture, settings: Settings, states: int) -> tuple[int, int]:
    """Gradients in half precision; beside the moments in float32 a float32 copy of each trained weight."""
    trained = sum(trained_tensors(architecture, settings))
    moments = states if "8bit" in settings.optimizer else 8 * trained
    return 2 * trained, 4 * trained + moments


def working_bytes(architecture: Architecture, settings: Settings, gathered: bool) -> int:
    """The largest layer unpacked from 4 or 8 bits, or a whole block gathered from the other GPUs."""
    width = BYTES[settings.computes_in]
    if gathered:
        inside = sum(linear.weights for linear in architecture.quantised.values())
        return math.ceil(inside / architecture.layers) * width
    if not settings.bits:
        return 0
    return max(linear.weights for linear in architecture.quantised.values()) * width


def cache_bytes(architecture: Architecture, settings: Settings) -> int:
    """Keys and values of all sequences at their full length, and the float32 logits that one position is drawn from.

    With vLLM it is vLLM's own, and not counted here.
    """
    if settings.vllm is not None or not settings.rollouts:
        return 0
    vocabulary = int(architecture.config.get_text_config().vocab_size)
    return kv_bytes(architecture, settings) + 2 * 4 * settings.rollouts * vocabulary


@dataclass(frozen=True)
class Remedy:
    """Changes with which a stage fits, or comes closest.

    Attributes:
        lines: YAML lines, all of them together.
        layout: the memory with them.
    """

    lines: tuple[str, ...]
    layout: Layout


def changes(settings: Settings) -> Iterator[tuple[str, Settings]]:
    """Single changes that save memory, those that cost least first: YAML lines and the settings with them."""
    if not settings.checkpointing:
        yield "gradient_checkpointing: true", replace(settings, checkpointing=True)
    if settings.dtype == "float32":
        yield "dtype: bfloat16", replace(settings, dtype="bfloat16")
    if settings.micro_batch > 1:
        half = settings.micro_batch // 2
        lines = f"per_device_train_batch_size: {half}, gradient_accumulation_steps: {settings.accumulation * 2}"
        yield lines, replace(settings, micro_batch=half, accumulation=settings.accumulation * 2)
    if settings.rollouts > settings.micro_batch:
        steps = settings.rollouts // settings.micro_batch // 2
        yield f"steps_per_generation: {steps}", replace(settings, rollouts=steps * settings.micro_batch)
    if "8bit" not in settings.optimizer and "adamw" in settings.optimizer:
        yield "optim: paged_adamw_8bit", replace(settings, optimizer="paged_adamw_8bit")
    if settings.rank is None:
        yield "use_peft: true", replace(settings, rank=16, targets="all-linear")
    elif settings.bits is None and settings.vllm is None:
        yield "load_in_4bit: true", replace(settings, bits=4)
    if settings.completion > 512:
        field = "max_length" if settings.kind == "sft" else "max_completion_length"
        yield f"{field}: {settings.completion // 2}", replace(settings, completion=settings.completion // 2)


def remedies(
    architecture: Architecture, settings: Settings, gpus: int, strategy: Strategy, memory: float
) -> list[Remedy]:
    """Every single change with which the stage fits; if none does, the fewest together, the largest saving first.

    Args:
        architecture: shapes of the model.
        settings: as they are.
        gpus: GPUs.
        strategy: how the parts are divided.
        memory: of a card in GiB.

    Returns:
        Remedies; the last one may not fit either if nothing does. Empty if it fits as it is.
    """
    if layout(architecture, settings, gpus, strategy).fits(memory):
        return []
    tried = [Remedy((line,), layout(architecture, new, gpus, strategy)) for line, new in changes(settings)]
    fitting = [remedy for remedy in tried if remedy.layout.fits(memory)]
    return fitting or [_together(architecture, settings, gpus, strategy, memory)]


def _together(architecture: Architecture, settings: Settings, gpus: int, strategy: Strategy, memory: float) -> Remedy:
    chosen: dict[str, str] = {}
    best = layout(architecture, settings, gpus, strategy)
    while not best.fits(memory):
        tried = [(layout(architecture, new, gpus, strategy), line, new) for line, new in changes(settings)]
        if not tried:
            break
        found, line, settings = min(tried, key=lambda one: one[0].peak)
        if found.peak >= best.peak:
            break
        best = found
        for part in line.split(", "):  # a field that is changed twice keeps its last value
            chosen[part.split(":")[0]] = part
    return Remedy(tuple(chosen.values()), best)
