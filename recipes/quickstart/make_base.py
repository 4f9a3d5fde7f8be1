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
from pathlib import Path

import torch
from datasets import Dataset
from trl import SFTConfig, SFTTrainer

from trl_rlsp import load_problems
from trl_rlsp.data import problem_key
from trl_rlsp.search import Term, steps, written_search
from trl_rlsp.tiny import LARGEST_NUMBER, build_model, build_tokenizer

HELD_OUT = (
    "reasoning_gym:countdown?min_numbers=3&max_numbers=3&min_value=1&max_value=12&min_target=10&max_target=99"
    "&seed=1000000&size=800"
)
STEPS, BATCH = 1600, 64


def problem(rng: random.Random, held_out: set[str]) -> tuple[list[int], int]:
    """Three numbers and a target that some expression reaches, not among the held-out problems."""
    while True:
        numbers = [rng.randint(1, 12) for _ in range(3)]
        step = rng.choice(steps(tuple(map(Term.given, numbers)), LARGEST_NUMBER))
        target = rng.choice(steps((step.result, *step.rest), LARGEST_NUMBER)).result.value
        task = {"name": "countdown", "entry": {"metadata": {"numbers": numbers, "target": target}}}
        if 10 <= target <= 99 and problem_key({"task": json.dumps(task)}) not in held_out:
            return numbers, target


def one_branch(rng: random.Random, held_out: set[str]) -> str:
    """A problem, one branch of up to four attempts, and the last of them as the answer, right or wrong."""
    numbers, target = problem(rng, held_out)
    budget = rng.randint(1, 4)
    trace = written_search(numbers, target, rng, budget=budget)
    while trace.reasoning.count("|") >= trace.attempts + 1:
        trace = written_search(numbers, target, rng, budget=budget)
    return f"<user> {' '.join(map(str, numbers))} : {target} <assistant> {trace.reasoning} \\boxed{{ {trace.answer} }}"


def main() -> None:
    """Write the base model."""
    output = Path(sys.argv[1] if len(sys.argv) > 1 else "recipes/quickstart/base")
    held_out = {problem_key(row) for row in load_problems(HELD_OUT, prompt_style="compact", unique=True)}
    rng = random.Random(0)
    rows = [{"text": one_branch(rng, held_out)} for _ in range(STEPS * BATCH)]
    config = SFTConfig(
        output_dir=str(output.parent / "base_run"),
        max_steps=STEPS,
        per_device_train_batch_size=BATCH,
        learning_rate=3e-3,
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
    tokenizer = build_tokenizer()
    trainer = SFTTrainer(
        build_model(seed=0), args=config, train_dataset=Dataset.from_list(rows), processing_class=tokenizer
    )
    trainer.train()
    trainer.model.config.use_cache = True
    trainer.model.to(torch.float16).save_pretrained(output)
    tokenizer.save_pretrained(output)


if __name__ == "__main__":
    main()
