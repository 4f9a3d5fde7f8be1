"""What the paper's schedule would cost, as a Markdown table: computed from stated peak rates, not measured.

    python benchmarks/paper_cost.py

The schedule is that of 2502.06773, its 200 episodes read as 200 batches of 512 completions, all at the full 4,096
tokens, an upper bound. Sampling is bound by memory: every position of all sequences of a GPU reads the weights once and
each sequence's keys and values; 4-bit weights are unpacked first, which writes and reads them again. Learning is bound
by arithmetic. The shares of the peaks that are reached are assumptions; the time to launch kernels is left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from trl_rlsp.planning import BYTES, GIB, Architecture, Settings, Strategy, adapter_bytes, layout, weight_bytes
from trl_rlsp.stages import load_config


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
        unpacked = sum(map(math.prod, architecture.quantized.values()))
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
    products = sum(map(math.prod, architecture.linears.values()))
    return 2.0 * products + 4.0 * architecture.layers * text.hidden_size * context


def flops_per_token(architecture: Architecture, settings: Settings, schedule: Schedule) -> float:
    """Operations of learning from one token.

    A backward pass through frozen weights costs one forward pass, through trained weights two; checkpointing adds one,
    as does each reference model. TRL's pass for the old log-probabilities is left out: it is made only where a
    generation serves several updates.
    """
    passes = (2 if settings.rank is not None else 3) + settings.checkpointing + settings.reference
    return passes * forward_flops(architecture, (schedule.prompt + schedule.tokens) / 2)


LORA = Settings(rank=32, targets="all-linear", autocast="bfloat16", completion=4096, prompt=512, rollouts=64)
FULL = replace(LORA, rank=None, targets=None, reference=True, vllm="server")
QLORA = replace(LORA, bits=4)
ROWS: list[tuple[str, str, str, Settings, Strategy, Card, int]] = [
    ("8B", "Llama-3.1-8B", "all weights, ZeRO-3, vLLM", FULL, "zero3", H100, 8),
    ("8B", "Llama-3.1-8B", "LoRA, DDP", LORA, "ddp", H100, 8),
    ("32B", "Qwen2.5-32B", "all weights, ZeRO-3, vLLM", FULL, "zero3", H100, 24),
    ("32B", "Qwen2.5-32B", "QLoRA, DDP", replace(QLORA, rollouts=32), "ddp", H100, 8),
    ("32B", "Qwen2.5-32B", "QLoRA, one GPU", replace(QLORA, rollouts=64), "ddp", H200, 1),
]


def main() -> None:
    """Print the table."""
    print("| model | training | GPUs | GiB per GPU | sampling | learning | step | tokens | GPU hours |")
    print("|---|---|---|---|---|---|---|---|---|")
    for label, name, kind, settings, strategy, card, gpus in ROWS:
        architecture = Architecture.of(load_config(name))
        memory = layout(architecture, settings, gpus, strategy)
        found = cost(architecture, settings, in_parts(settings, gpus), card, gpus)
        parts = PAPER.completions / gpus / min(settings.rollouts, PAPER.completions / gpus)
        sampling, learning = found.sampling * parts, found.learning * parts
        hours = PAPER.generations * (sampling + learning) * gpus / 3600
        tokens = PAPER.generations * PAPER.completions * PAPER.tokens
        print(
            f"| {label} | {kind} | {gpus} x {card.name} | {memory.peak / GIB:.0f} | {sampling:,.0f} s | "
            f"{learning:,.0f} s | {sampling + learning:,.0f} s | {tokens / 1e6:,.0f} M | {hours:,.0f} |"
        )


def in_parts(settings: Settings, gpus: int) -> Schedule:
    """The schedule of what one GPU samples at once: a batch of 512 is sampled in as many parts as it takes."""
    at_once = min(settings.rollouts, PAPER.completions // gpus)
    return replace(PAPER, completions=at_once * gpus)


if __name__ == "__main__":
    main()
