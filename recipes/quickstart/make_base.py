"""Make `recipes/quickstart/base`, the small model that the quickstart starts from.

    python recipes/quickstart/make_base.py [OUTPUT]

It stands in for an instruct model: it knows the arithmetic of the task and answers a countdown problem after a few
attempts on one branch, but it has never seen a search that goes back and tries another. The quickstart does not run
this; the result is committed. Problems of the quickstart's evaluation are left out by (numbers, target).
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from pathlib import Path

import torch
from datasets import Dataset
from transformers import LlamaForCausalLM
from trl import SFTConfig, SFTTrainer

from trl_rlsp import load_problems
from trl_rlsp.data import problem_key
from trl_rlsp.search import Term, written_search
from trl_rlsp.search import steps as first_steps
from trl_rlsp.tiny import LARGEST_NUMBER, build_model, build_tokenizer

HELD_OUT = (
    "reasoning_gym:countdown?min_numbers=3&max_numbers=3&min_value=1&max_value=12&min_target=10&max_target=99"
    "&seed=1000000&size=800"
)
BATCH = 64
ROUNDS = (  # steps, peak learning rate, share of rows redrawn until their last attempt hits the target
    (1600, 3e-3, 0.0),
    (1200, 2e-3, 0.5),  # one attempt in fifteen hits by chance: too few to learn to compare
)


def problem(rng: random.Random, held_out: set[str]) -> tuple[list[int], int]:
    """Three numbers and a target that some expression reaches, not among the held-out problems."""
    while True:
        numbers = [rng.randint(1, 12) for _ in range(3)]
        step = rng.choice(first_steps(tuple(map(Term.given, numbers)), LARGEST_NUMBER))
        target = rng.choice(first_steps((step.result, *step.rest), LARGEST_NUMBER)).result.value
        task = {"name": "countdown", "entry": {"metadata": {"numbers": numbers, "target": target}}}
        if 10 <= target <= 99 and problem_key({"task": json.dumps(task)}) not in held_out:
            return numbers, target


def one_branch(rng: random.Random, held_out: set[str], hit_share: float) -> str:
    """A problem, one branch of up to four attempts, and the last of them as the answer, right or wrong."""
    numbers, target = problem(rng, held_out)
    budget = rng.randint(1, 4)
    wants_hit = rng.random() < hit_share
    trace = written_search(numbers, target, rng, budget=budget)
    for _ in range(200):
        if trace.reasoning.count("|") <= trace.attempts and (trace.solved or not wants_hit):
            break
        budget = rng.randint(1, 4)
        trace = written_search(numbers, target, rng, budget=budget)
    return f"<user> {' '.join(map(str, numbers))} : {target} <assistant> {trace.reasoning} \\boxed{{ {trace.answer} }}"


def train(model: LlamaForCausalLM, rows: list[dict[str, str]], steps: int, rate: float, folder: Path) -> None:
    """One round of plain next-token training."""
    config = SFTConfig(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=BATCH,
        learning_rate=rate,
        lr_scheduler_type="cosine",
        warmup_steps=50,
        adam_beta2=0.95,
        weight_decay=0.01,
        train_sampling_strategy="group_by_length",
        max_length=None,
        gradient_checkpointing=False,
        bf16=False,
        use_cpu=True,
        save_strategy="no",
        report_to=[],
        logging_steps=50,
        seed=0,
    )
    trainer = SFTTrainer(model, args=config, train_dataset=Dataset.from_list(rows), processing_class=build_tokenizer())
    trainer.train()


def main() -> None:
    """Write the base model."""
    output = Path(sys.argv[1] if len(sys.argv) > 1 else "recipes/quickstart/base")
    held_out = {problem_key(row) for row in load_problems(HELD_OUT, prompt_style="compact", unique=True)}
    model = build_model(seed=0)
    for number, (steps, rate, hit_share) in enumerate(ROUNDS):
        rng = random.Random(number)
        rows = [{"text": one_branch(rng, held_out, hit_share)} for _ in range(steps * BATCH)]
        with tempfile.TemporaryDirectory() as folder:
            train(model, rows, steps, rate, Path(folder))
    model.config.use_cache = True
    model.to(torch.float16).save_pretrained(output)
    build_tokenizer().save_pretrained(output)


if __name__ == "__main__":
    main()
