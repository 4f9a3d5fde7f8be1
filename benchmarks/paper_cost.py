"""What the paper's schedule would cost, as a Markdown table: computed from stated peak rates, not measured.

    python benchmarks/paper_cost.py

The schedule is that of 2502.06773, its 200 episodes read as 200 batches of 512 completions, all at the full 4,096
tokens, an upper bound. See `trl_rlsp.planning.cost` for the formulas and the shares of the peaks that are assumed.
"""

from __future__ import annotations

from dataclasses import replace

from trl_rlsp.planning.architecture import Architecture
from trl_rlsp.planning.cost import H100, H200, PAPER, Card, Schedule, cost
from trl_rlsp.planning.layout import GIB, Strategy, layout
from trl_rlsp.planning.settings import Settings
from trl_rlsp.stages.models import load_config

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
    print("| model | training | GPUs | GiB a GPU | sampling | learning | step | tokens | GPU hours |")
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
