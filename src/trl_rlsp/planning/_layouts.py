"""How a stage's memory is divided over GPUs, and which changes of settings would make it fit."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, get_args

from trl_rlsp.planning import _memory as memory_of
from trl_rlsp.planning._memory import Architecture
from trl_rlsp.planning._settings import BYTES, Settings

Strategy = Literal["ddp", "zero2", "zero3", "fsdp"]
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)
GIB = 2**30
RESERVE = 0.1  # share of a GPU reserved for the CUDA context, fragmentation and short-lived tensors


@dataclass(frozen=True)
class Layout:
    """Memory by part, in bytes on one of `gpus` GPUs."""

    strategy: Strategy
    gpus: int
    weights: int
    adapter: int
    gradients: int  # with the buckets of DDP
    optimizer: int  # with the float32 copies that ZeRO keeps of half-precision weights
    reference: int  # the frozen reference model of the KL
    activations: int
    logits: int  # the output layer's tile, hidden states and gradient
    working: int  # the largest layer unpacked from 4 or 8 bits, or a whole block gathered from the other GPUs
    # key-value cache of the rollouts, or of the prompts with a pass over them; logits of one position; 0 with vLLM
    cache: int
    rollout_weights: int  # base model and adapter during rollouts
    vllm: float  # share of the GPU that a colocated vLLM reserves
    # what that share must hold: weights, adapter and working memory; with the cache of one sequence; of all rollouts
    vllm_fixed: int = 0
    vllm_needs: int = 0
    vllm_holds: int = 0

    @property
    def training(self) -> int:
        """Memory during an update."""
        fixed = self.weights + self.adapter + self.optimizer + self.reference
        return fixed + self.gradients + self.activations + self.logits + self.working

    @property
    def rollout(self) -> int:
        """Memory during rollouts: no gradients and no activations."""
        return self.rollout_weights + self.optimizer + self.reference + self.working + self.cache

    @property
    def peak(self) -> int:
        """The larger of `training` and `rollout`."""
        return max(self.training, self.rollout)

    def smallest_share(self, memory: float, *, whole: bool = True) -> float:
        """The smallest share, in hundredths, that holds all rollouts at full length, or else with which vLLM starts."""
        return math.ceil(100 * (self.vllm_holds if whole else self.vllm_needs) / (memory * GIB)) / 100

    def fits(self, memory: float) -> bool:
        """Whether it fits on a GPU with `memory` GiB."""
        card = memory * GIB
        return self.vllm_needs <= card * self.vllm and self.peak <= card * (1 - RESERVE - self.vllm)


def layout(architecture: Architecture, settings: Settings, gpus: int, strategy: Strategy) -> Layout:
    """The memory on one of `gpus` GPUs; a ConfigError for an unknown optimizer or unknown layers."""
    model = (architecture, settings)
    sharded = gpus if strategy in ("zero3", "fsdp") else 1
    share = gpus if strategy != "ddp" else 1
    whole, adapter = memory_of.weight_bytes(*model), memory_of.adapter_bytes(*model)
    gradients, states = memory_of.trained_bytes(*model), memory_of.optimizer_bytes(*model)
    if strategy.startswith("zero") and settings.computes_in != "float32":
        trained = sum(memory_of.trained_tensors(*model))  # gradients in half precision, and a float32 copy
        gradients, states = 2 * trained, 4 * trained + (states if "8bit" in settings.optimizer else 8 * trained)
    if strategy == "ddp" and gpus > 1:
        gradients *= 2  # buckets hold a second copy
    gathered = strategy == "zero3" and settings.rollouts and settings.gathers and settings.vllm is None
    colocated = settings.vllm == "colocate"
    fixed = whole + adapter + memory_of.vllm_bytes(*model) if colocated else 0
    context = settings.vllm_context or settings.length
    longest = memory_of.kv_bytes(architecture, replace(settings, rollouts=1, prompt=0, completion=context))
    blocks = [math.prod(linear) for linear in architecture.quantized.values()]
    working = max(blocks) if settings.bits else 0
    if sharded > 1:
        working = math.ceil(sum(blocks) / architecture.layers)
    return Layout(
        strategy=strategy,
        gpus=gpus,
        weights=math.ceil(whole / sharded),
        adapter=math.ceil(adapter / sharded),
        gradients=math.ceil(gradients / share),
        optimizer=math.ceil(states / share),
        reference=math.ceil(memory_of.reference_bytes(*model) / sharded),
        activations=memory_of.activation_bytes(*model),
        logits=memory_of.logit_bytes(*model),
        working=working * BYTES[settings.computes_in],
        cache=0 if settings.vllm else memory_of.cache_bytes(*model),
        rollout_weights=whole + adapter if gathered else math.ceil((whole + adapter) / sharded),
        vllm=settings.vllm_share if colocated else 0.0,
        vllm_fixed=fixed,
        vllm_needs=fixed + longest if colocated else 0,
        vllm_holds=fixed + max(longest, memory_of.kv_bytes(*model)) if colocated else 0,
    )


def largest_batch(architecture: Architecture, settings: Settings, memory: float) -> int:
    """The most of the `rollouts` sequences that transformers can sample at once with `memory` GiB, or 0."""
    room = memory * GIB * (1 - RESERVE) - memory_of.weight_bytes(architecture, settings)
    counts = range(1, settings.rollouts + 1)
    needed = lambda count: memory_of.cache_bytes(architecture, replace(settings, rollouts=count))  # noqa: E731
    return bisect_right(counts, room, key=needed)


def strategies(settings: Settings, gpus: int) -> tuple[Strategy, ...]:
    """The strategies that a stage can use: only "ddp" on one GPU, and none that shards quantized weights."""
    if gpus == 1:
        return STRATEGIES[:1]
    return STRATEGIES[:2] if settings.bits else STRATEGIES


class Remedy(NamedTuple):
    """YAML lines that together make a stage fit or come closest to fitting, and its memory with them."""

    lines: tuple[str, ...]
    layout: Layout


def changes(settings: Settings) -> Iterator[tuple[str, Settings]]:
    """Single changes that save memory, the cheapest first: YAML lines and the settings with them."""
    if not settings.checkpointing:
        yield "gradient_checkpointing: true", replace(settings, checkpointing=True)
    if settings.dtype == "float32":
        yield "dtype: bfloat16", replace(settings, dtype="bfloat16")
    if settings.micro_batch > 1:
        half, steps = settings.micro_batch // 2, settings.accumulation * 2
        lines = f"per_device_train_batch_size: {half}, gradient_accumulation_steps: {steps}"
        yield lines, replace(settings, micro_batch=half, accumulation=steps)
    if settings.rollouts > settings.micro_batch:
        steps = settings.rollouts // settings.micro_batch // 2
        yield f"steps_per_generation: {steps}", replace(settings, rollouts=steps * settings.micro_batch)
    if "8bit" not in settings.optimizer and "adamw" in settings.optimizer:
        yield "optim: paged_adamw_8bit", replace(settings, optimizer="paged_adamw_8bit")
    if settings.rank is None:
        yield "use_peft: true", replace(settings, rank=16, targets="all-linear")
    elif settings.bits is None and settings.vllm is None:
        yield "load_in_4bit: true", replace(settings, bits=4)
    if settings.vllm == "colocate" and (settings.vllm_context or 0) > settings.length:
        yield f"vllm_max_model_length: {settings.length}", replace(settings, vllm_context=settings.length)
    if settings.completion > 512:
        field = "max_length" if settings.kind == "sft" else "max_completion_length"
        yield f"{field}: {settings.completion // 2}", replace(settings, completion=settings.completion // 2)


def remedies(
    architecture: Architecture, settings: Settings, gpus: int, strategy: Strategy, memory: float
) -> list[Remedy]:
    """Every single change that makes a stage fit GPUs with `memory` GiB; if none does, one remedy of several changes.

    Empty if the stage fits already. If nothing makes it fit, the one remedy does not either.
    """
    best = layout(architecture, settings, gpus, strategy)
    if best.fits(memory):
        return []
    chosen: dict[str, str] = {}
    while not best.fits(memory):
        tried = [(layout(architecture, new, gpus, strategy), line, new) for line, new in changes(settings)]
        fitting = [Remedy((line,), found) for found, line, _ in tried if found.fits(memory)]
        if fitting and not chosen:
            return fitting
        found, line, settings = min(tried, key=lambda one: one[0].peak, default=(best, "", settings))
        if found.peak >= best.peak:
            break
        best = found
        for part in line.split(", "):  # a field that is changed twice keeps its last value
            chosen[part.split(":")[0]] = part
    return [Remedy(tuple(chosen.values()), best)]
