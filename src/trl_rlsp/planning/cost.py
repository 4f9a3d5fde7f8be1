"""What a schedule costs in time: computed from a GPU's stated peak rates, never measured.

Sampling is bound by memory: every position of all sequences of a GPU reads the weights once and each sequence's keys
and values; 4-bit weights are unpacked first, which writes and reads them again. Learning is bound by arithmetic. The
shares of the peaks that are reached are assumptions; the time to launch kernels is left out.
"""

from __future__ import annotations

from dataclasses import dataclass

from trl_rlsp.planning.architecture import Architecture
from trl_rlsp.planning.settings import BYTES, Settings
from trl_rlsp.planning.static import adapter_bytes, weight_bytes


@dataclass(frozen=True)
class Card:
    """A GPU's peak rates as its maker states them.

    Attributes:
        name: of the card.
        flops: bf16 operations in a second, dense.
        bandwidth: bytes of memory read in a second.
        memory: GiB.
        reached_flops: share of `flops` that learning is assumed to reach.
        reached_bandwidth: share of `bandwidth` that sampling is assumed to reach.
    """

    name: str
    flops: float
    bandwidth: float
    memory: float
    reached_flops: float = 0.4
    reached_bandwidth: float = 0.5


H100 = Card("H100 SXM 80 GB", flops=989e12, bandwidth=3.35e12, memory=80)
H200 = Card("H200 SXM 141 GB", flops=989e12, bandwidth=4.8e12, memory=141)


@dataclass(frozen=True)
class Schedule:
    """How much is sampled and learned.

    Attributes:
        generations: times that completions are sampled.
        completions: completions of a generation, over all GPUs.
        tokens: mean length of a completion.
        prompt: mean length of a prompt in tokens.
    """

    generations: int = 200
    completions: int = 512
    tokens: int = 4096
    prompt: int = 256


PAPER = Schedule()
"""The settings of 2502.06773, its 200 episodes read as 200 batches of 512, at the full 4,096 tokens: an upper bound."""


@dataclass(frozen=True)
class Cost:
    """Time and tokens of a schedule.

    Attributes:
        sampling: seconds that one generation takes.
        learning: seconds of the updates on it.
        tokens: completion tokens in all.
        gpu_hours: of all GPUs together.
    """

    sampling: float
    learning: float
    tokens: int
    gpu_hours: float


def cost(architecture: Architecture, settings: Settings, schedule: Schedule, card: Card, gpus: int) -> Cost:
    """Time that a schedule takes if each GPU samples and learns from its own share of the completions.

    Args:
        architecture: shapes of the model.
        settings: precision, adapter, checkpointing.
        schedule: how much is sampled and learned.
        card: the GPU.
        gpus: GPUs.
    """
    sampling = sampling_seconds(architecture, settings, schedule, card, gpus)
    per_token = flops_per_token(architecture, settings, schedule)
    positions = schedule.completions * (schedule.prompt + schedule.tokens)
    learning = positions * per_token / (gpus * card.flops * card.reached_flops)
    hours = schedule.generations * (sampling + learning) * gpus / 3600
    return Cost(sampling, learning, schedule.generations * schedule.completions * schedule.tokens, hours)


def sampling_seconds(
    architecture: Architecture, settings: Settings, schedule: Schedule, card: Card, gpus: int
) -> float:
    """Seconds of one generation: the larger of reading and computing, one position after the other."""
    sequences = schedule.completions / gpus
    weights = weight_bytes(architecture, settings) + adapter_bytes(architecture, settings)
    if settings.bits:
        unpacked = sum(linear.weights for linear in architecture.quantised.values())
        weights += 2 * unpacked * BYTES[settings.computes_in]
    mean_context = schedule.prompt + schedule.tokens / 2
    cache = sequences * mean_context * architecture.kv_numbers_per_token * BYTES[settings.computes_in]
    reading = (weights + cache) / (card.bandwidth * card.reached_bandwidth)
    computing = sequences * forward_flops(architecture, mean_context) / (card.flops * card.reached_flops)
    return schedule.tokens * max(reading, computing)


def forward_flops(architecture: Architecture, context: float) -> float:
    """Operations of one token's forward pass: 2 for each weight of a product, 4 x width x context for attention.

    Args:
        architecture: shapes of the model.
        context: tokens before it, on average.
    """
    text = architecture.config.get_text_config()
    products = sum(linear.weights for linear in architecture.linears.values())
    return 2.0 * products + 4.0 * architecture.layers * text.hidden_size * context


def flops_per_token(architecture: Architecture, settings: Settings, schedule: Schedule) -> float:
    """Operations of learning from one token.

    A backward pass through frozen weights costs one forward pass, through trained weights two; checkpointing adds one,
    as does each reference model. TRL's pass for the old log-probabilities is left out: it is made only where a
    generation serves several updates.
    """
    passes = (2 if settings.rank is not None else 3) + settings.checkpointing + settings.reference
    return passes * forward_flops(architecture, (schedule.prompt + schedule.tokens) / 2)
