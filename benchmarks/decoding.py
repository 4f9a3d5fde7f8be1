"""Seconds of CPU to decode a batch: finished sequences leaving the batch, against `model.generate` alone.

    python benchmarks/decoding.py [--prompts 256] [--max_new_tokens 160] [--rounds 3]

The ways take turns within one process, so that the ratios hold on a busy machine; each round draws anew.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from statistics import median

import torch

from trl_rlsp import load_problems
from trl_rlsp.generation import Sampling, TransformersEngine, all_requests, load_model, local, render

BASE = Path(__file__).resolve().parent.parent / "recipes" / "quickstart" / "base"
COUNTDOWN = "reasoning_gym:countdown?min_numbers=3&max_numbers=3&min_value=1&max_value=12&min_target=10&max_target=99"


def plain(engine: TransformersEngine, prompts: list, sampling: Sampling, **options) -> int:
    """Tokens drawn by one call of `generate`, in which every sequence waits for the longest."""
    texts = [render(prompt, engine.tokenizer) for prompt in prompts]
    inputs = engine.tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
    with torch.no_grad():
        output = engine.model.generate(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            max_new_tokens=sampling.max_new_tokens,
            do_sample=True,
            temperature=sampling.temperature,
            pad_token_id=engine.tokenizer.pad_token_id,
            **local.NEUTRAL,
            **options,
        )
    return int((output[:, inputs["input_ids"].shape[1] :] != engine.tokenizer.pad_token_id).sum())


def leaving(engine: TransformersEngine, prompts: list, sampling: Sampling, segment: int) -> int:
    """Tokens drawn by the engine, finished sequences leaving every `segment` tokens."""
    local.SEGMENT = segment
    batches = engine.sample(prompts, all_requests(len(prompts), 1), sampling)
    return sum(sample.tokens for batch in batches for sample in batch)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value in (("prompts", 256), ("max_new_tokens", 160), ("rounds", 3)):
        parser.add_argument(f"--{name}", type=int, default=value)
    given = parser.parse_args()
    engine = TransformersEngine(*load_model(str(BASE), dtype="float32"))
    prompts = load_problems(f"{COUNTDOWN}&size={given.prompts}", prompt_style="compact")["prompt"][:]
    sampling = Sampling(temperature=1.0, max_new_tokens=given.max_new_tokens, batch_size=given.prompts)
    ways = {
        "generate": lambda: plain(engine, prompts, sampling),
        "generate, static cache": lambda: plain(
            engine, prompts, sampling, cache_implementation="static", disable_compile=True
        ),
        **{f"leaving every {n}": lambda n=n: leaving(engine, prompts, sampling, n) for n in (8, 16, 32)},
    }
    leaving(engine, prompts[:8], sampling, 32)  # what is loaded late is loaded now
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(given.rounds):
        for name, way in ways.items():
            torch.manual_seed(number)
            started = time.process_time()
            tokens = way()
            seconds[name].append(time.process_time() - started)
            print(f"round {number}  {name:24} {seconds[name][-1]:6.2f} s of CPU, {tokens} tokens", flush=True)
    slowest = median(seconds["generate"])
    for name, taken in seconds.items():
        print(f"{name:24} {median(taken):6.2f} s   {slowest / median(taken):.2f} times as fast as generate")


if __name__ == "__main__":
    main()
