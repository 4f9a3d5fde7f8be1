"""Seconds of CPU to decode a batch: finished sequences leaving the batch, against `model.generate` alone.

    python benchmarks/decoding.py [--prompts 256] [--max_new_tokens 160] [--rounds 3]
    python benchmarks/decoding.py --batches 8 32 64 --device cuda [--model Qwen/Qwen2.5-32B-Instruct --four_bit]

The ways take turns within one process, so that the ratios hold on a busy machine; each round draws anew. With
`--batches` it is the clock's milliseconds a token of each sequence for each engine at hand, from random weights whose
completions are all of full length; the last line printed is one JSON object with all numbers.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import torch
from transformers import AutoModelForCausalLM

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


def random_model(name: str, four_bit: bool, device: str) -> torch.nn.Module:
    """A model with random weights by its configuration, in bfloat16 or with 4-bit linear layers."""
    from qlora_memory import four_bit_model

    from trl_rlsp.stages import load_config

    config = load_config(name)
    if four_bit:
        return four_bit_model(config, device).eval()
    with torch.device(device):
        return AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).eval()


def engines(model: torch.nn.Module, tokenizer: Any, tokens: int) -> Iterator[tuple[str, Callable[[list], int]]]:
    """Name of each engine at hand, and a function that decodes prompts to full length and returns the tokens drawn."""
    sampling = Sampling(temperature=1.0, max_new_tokens=tokens, batch_size=1 << 10)

    def generate(prompts: list, **options: Any) -> int:
        inputs = tokenizer(prompts, return_tensors="pt", padding=True, add_special_tokens=False).to(model.device)
        given = {"max_new_tokens": tokens, "min_new_tokens": tokens, "do_sample": True, **local.NEUTRAL, **options}
        with torch.no_grad():
            found = model.generate(**inputs, pad_token_id=tokenizer.pad_token_id, **given)
        return (found.shape[1] - inputs["input_ids"].shape[1]) * len(prompts)

    def engine(drawer: Any, prompts: list) -> int:
        batches = drawer.sample(prompts, all_requests(len(prompts), 1), sampling)
        return sum(sample.tokens for batch in batches for sample in batch)

    own = TransformersEngine(model, tokenizer)
    yield "this package", lambda prompts: engine(own, prompts)
    yield "generate", generate
    if importlib.util.find_spec("vllm") and not getattr(model, "is_loaded_in_4bit", False):
        from trl_rlsp.generation import VLLMEngine

        with tempfile.TemporaryDirectory() as folder:
            model.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
            share = {"gpu_memory_utilization": 0.4} if model.device.type == "cuda" else {}
            served = VLLMEngine(folder, prompts=["8 1 9 : 72"], new_tokens=tokens, **share)
        yield "vLLM", lambda prompts: engine(served, prompts)
    # last, since it compiles on a GPU
    yield "generate, static cache", lambda prompts: generate(prompts, cache_implementation="static")


def by_batch(given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Milliseconds a token of each sequence, by engine and number of sequences, after each of them.

    Where an engine failed, the number is a text.
    """
    tokenizer = load_model(str(BASE))[1]
    model = random_model(given.model, given.four_bit, given.device)
    tokens, found = given.max_new_tokens, {}
    card = torch.cuda.get_device_name() if given.device == "cuda" else None
    about = {"card": card, "model": given.model, "four_bit": given.four_bit, "tokens": tokens, "ms_a_token": found}
    for name, decode in engines(model, tokenizer, tokens):
        found[name] = {}
        for batch in given.batches:
            prompts = ["8 1 9 : 72"] * batch
            try:
                decode(prompts)  # what is loaded or compiled late is now
                started = time.perf_counter()
                drawn = decode(prompts)
                seconds = time.perf_counter() - started
                found[name][batch] = round(1000 * seconds * batch / drawn, 3)
            except Exception as error:  # one engine that cannot must not lose the others
                found[name][batch] = f"{type(error).__name__}: {error}"[:300]
            yield about


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value in (("prompts", 256), ("max_new_tokens", 160), ("rounds", 3)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--batches", type=int, nargs="+", help="milliseconds a token at these numbers of sequences")
    parser.add_argument("--model", default="Qwen/Qwen2.5-0.5B-Instruct", help="for --batches: its configuration")
    parser.add_argument("--four_bit", action="store_true", help="for --batches: linear layers in NF4")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"], help="for --batches")
    given = parser.parse_args()
    if given.batches:
        for found in by_batch(given):  # the last line has all of it; whoever is stopped has what came before
            print(json.dumps(found), flush=True)
        return
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
