"""The hours of a stage, from a card's peak rates and assumed shares of them, or from measured rates.

Rollouts are bound by memory: each position reads the weights once, and the keys and values of its sequences; 4-bit
weights are first unpacked, which writes and reads them in two bytes. Updates are bound by arithmetic. Both are bound by
kernel launches if the work of a launch is small. Left out: communication between GPUs, rewards, checkpoints, loading.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from trl_rlsp.planning import _memory as memory_of
from trl_rlsp.planning._layouts import GIB, layout
from trl_rlsp.planning._memory import Architecture
from trl_rlsp.planning._settings import BYTES, Settings

# operations that transformers launches: in a block of plain layers, for each layer that peft adapts (A, B, scale, sum,
# two casts), for each that bitsandbytes unpacks. 37 x 24 us are the 0.88 ms a block at which Qwen2.5 of any size
# generates on an A100 (benchmark in Qwen's documentation)
BLOCK, ADAPTED, UNPACKED = 37, 6, 2
GRAPH = 0.11  # vLLM replays CUDA graphs; share of the launch time that is left, from the same benchmark
FUSED = 4  # sequences up to which bitsandbytes multiplies without unpacking to memory


@dataclass(frozen=True)
class Card:
    """A GPU's memory and peak rates as its maker states them."""

    name: str
    memory: float  # GiB
    flops: float  # bf16 operations per second, dense
    bandwidth: float  # bytes of memory per second


CARDS = {
    "rtx4090": Card("RTX 4090", 24, 165.2e12, 1.008e12),
    "a100": Card("A100 SXM 80 GB", 80, 312e12, 2.039e12),
    "h100": Card("H100 SXM", 80, 989e12, 3.35e12),
    "h200": Card("H200 SXM", 140, 989e12, 4.8e12),
}


class Shares(NamedTuple):
    """What of a card's peak rates is reached, and the time of a launch: assumptions."""

    flops: float
    bandwidth: float
    launch: float  # seconds per operation


class Span(NamedTuple):
    """A lower bound, an expected value and an upper bound."""

    low: float
    expected: float
    high: float

    def plus(self, other: Span) -> Span:
        """The sum of two parts."""
        return Span(*map(sum, zip(self, other, strict=True)))

    def times(self, factor: float) -> Span:
        """The same multiplied by a factor."""
        return Span(*(factor * value for value in self))


# best, expected, worst; between the bounds are the speeds of generation and of LoRA that Qwen has published for an A100
BEST, EXPECTED, WORST = Shares(0.55, 0.85, 10e-6), Shares(0.4, 0.65, 18e-6), Shares(0.25, 0.5, 30e-6)


@dataclass(frozen=True)
class Work:
    """How much one GPU samples and learns in a stage."""

    steps: float  # optimizer steps
    prompt: float  # mean tokens of a prompt
    completion: float  # mean tokens of a completion, and for "sft" of a whole sequence


@dataclass(frozen=True)
class Hours:
    """Hours of a stage, and whether both parts follow from measured rates."""

    rollouts: Span
    updates: Span
    measured: bool

    @property
    def total(self) -> Span:
        """Rollouts and updates, one after the other."""
        return self.rollouts.plus(self.updates)


def hours(
    architecture: Architecture,
    settings: Settings,
    work: Work,
    card: Card,
    *,
    rollout_rates: tuple[float, ...] = (),
    update_rates: tuple[float, ...] = (),
) -> Hours:
    """The hours of a stage in which each GPU has the settings' batches.

    Rates are measured tokens per second of one GPU: of completions, and of the prompts and completions of updates.
    Several measurements of the same rate give the bounds.
    """
    sequences = settings.micro_batch * settings.accumulation
    generations = work.steps * sequences / (settings.rollouts * settings.updates) if settings.rollouts else 0.0
    model = (architecture, settings, work, card)
    sampled, scored = settings.rollouts * work.completion, sequences * (work.prompt + work.completion)
    one_generation = _measured(sampled, rollout_rates) or _span(rollout_seconds, *model)
    one_step = _measured(scored, update_rates) or _span(update_seconds, *model)
    measured = bool(update_rates and (rollout_rates or not generations))
    return Hours(one_generation.times(generations / 3600), one_step.times(work.steps / 3600), measured)


def _measured(tokens: float, rates: tuple[float, ...]) -> Span | None:
    return Span(tokens / max(rates), tokens * len(rates) / sum(rates), tokens / min(rates)) if rates else None


def _span(seconds: Callable[..., float], *model: Any) -> Span:
    return Span(*(seconds(*model, shares) for shares in (BEST, EXPECTED, WORST)))


def rollout_seconds(
    architecture: Architecture, settings: Settings, work: Work, card: Card, shares: Shares = EXPECTED
) -> float:
    """Seconds of one generation on a GPU: positions until the longest completion ends, and the prompts."""
    if not settings.rollouts:
        return 0.0
    flops, bandwidth = card.flops * shares.flops, card.bandwidth * shares.bandwidth
    at_once = sequences_at_once(architecture, settings, work, card)
    positions = max(settings.completion, settings.rollouts * work.completion / at_once)
    tokens = settings.rollouts * work.completion
    context = work.prompt + work.completion / 2
    reading = positions * read_bytes(architecture, settings, at_once)
    reading += tokens * context * architecture.kv_numbers_per_token * BYTES[settings.computes_in]
    computing = tokens * forward_flops(architecture, context) / flops
    prompts = settings.rollouts / settings.shared * work.prompt * forward_flops(architecture, work.prompt / 2) / flops
    launching = positions * operations(architecture, settings) * shares.launch
    if settings.vllm:
        return max(reading / bandwidth, computing) + launching * GRAPH + prompts
    return max(reading / bandwidth, computing, launching) + prompts


def sequences_at_once(architecture: Architecture, settings: Settings, work: Work, card: Card) -> float:
    """Sequences of mean length that a GPU samples at once: for a colocated vLLM, as many as its share holds."""
    if settings.vllm != "colocate":
        return settings.rollouts
    found = layout(architecture, settings, 1, "ddp")
    room = settings.vllm_share * card.memory * GIB - found.vllm_fixed
    mean = replace(settings, rollouts=1, prompt=math.ceil(work.prompt), completion=math.ceil(work.completion))
    return min(settings.rollouts, max(1.0, room / memory_of.kv_bytes(architecture, mean)))


def read_bytes(architecture: Architecture, settings: Settings, sequences: float) -> float:
    """Bytes of weights read and written at one position of `sequences` sequences."""
    whole = memory_of.weight_bytes(architecture, settings) + memory_of.adapter_bytes(architecture, settings)
    if not settings.bits or sequences <= FUSED:
        return whole
    return whole + 2 * BYTES[settings.computes_in] * sum(map(math.prod, architecture.quantized.values()))


def update_seconds(
    architecture: Architecture, settings: Settings, work: Work, card: Card, shares: Shares = EXPECTED
) -> float:
    """Seconds of one optimizer step on a GPU."""
    count = passes(settings)
    length = work.prompt + work.completion if settings.trimmed else settings.length
    computing = settings.micro_batch * settings.accumulation * length * forward_flops(architecture, length / 2)
    launching = settings.accumulation * operations(architecture, settings) * shares.launch
    seconds = count * max(computing / (card.flops * shares.flops), launching)
    if settings.bits:
        unpacking = read_bytes(architecture, settings, math.inf) / (card.bandwidth * shares.bandwidth)
        seconds += count * settings.accumulation * unpacking
    return seconds


def passes(settings: Settings) -> float:
    """Forward passes that an update is worth.

    A backward pass through frozen weights costs one, through trained weights two; checkpointing adds one. The reference
    of the KL and the old policy's log-probabilities, one each, are computed once per generation.
    """
    once = settings.kl + settings.rescored
    return (2 if settings.rank is not None else 3) + settings.checkpointing + once / settings.updates


def operations(architecture: Architecture, settings: Settings) -> int:
    """Operations that a forward pass launches."""
    adapted = len(architecture.adapted(settings.targets)) if settings.rank is not None else 0
    unpacked = len(architecture.quantized) if settings.bits else 0
    return BLOCK * architecture.layers + ADAPTED * adapted + UNPACKED * unpacked


def forward_flops(architecture: Architecture, context: float) -> float:
    """Operations of one token's forward pass: 2 for each weight of a product, 4 x width x context for attention."""
    text = architecture.config.get_text_config()
    products = sum(map(math.prod, architecture.linears.values()))
    return 2.0 * products + 4.0 * architecture.layers * text.hidden_size * context
