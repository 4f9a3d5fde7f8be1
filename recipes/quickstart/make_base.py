"""Make `recipes/quickstart/base`, the small model that the quickstart starts from.

    python recipes/quickstart/make_base.py [OUTPUT]

It stands in for an instruct model: it knows the arithmetic of the task and answers a countdown problem at once, with
its first attempt, but it has never seen a search. 15 minutes on two idle cores. The quickstart does not run this;
the result is committed. Problems of the quickstart's evaluation are left out by (numbers, target).
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
STEPS, BATCH = 1000, 64
DRILL_SHARE = 0.5


def drill(rng: random.Random) -> str:
    """A worksheet without a problem: operations and comparisons, up to the length of a full search."""
    lines = []
    for _ in range(rng.choice((rng.randint(1, 12), rng.randint(1, 30)))):
        pair = (
            Term.given(rng.choice((rng.randint(0, 24), rng.randint(0, LARGEST_NUMBER)))),
            Term.given(rng.randint(1, 12)),
        )
        options = steps(pair, LARGEST_NUMBER)
        step = rng.choice(options)
        line = step.written
        if rng.random() < 0.8:
            near = step.result.value + rng.choice((0, 0, 0, -2, -1, 1, 2, rng.randint(-40, 40)))
            target = min(max(near, 1), 99)
            line += f" ? {target} {'yes' if target == step.result.value else 'no'}"
        lines.append(line)
    return " | ".join(lines)


def direct_answer(rng: random.Random, held_out: set[str]) -> str:
    """A problem, solvable or not, one attempt, and that attempt as the answer, right or wrong."""
    while True:
        numbers = [rng.randint(1, 12) for _ in range(3)]
        target = rng.randint(10, 99)
        task = {"name": "countdown", "entry": {"metadata": {"numbers": numbers, "target": target}}}
        if problem_key({"task": json.dumps(task)}) not in held_out:
            break
    trace = written_search(numbers, target, rng, budget=1)
    problem = f"{' '.join(map(str, numbers))} : {target}"
    return f"<user> {problem} <assistant> {trace.reasoning} \\boxed{{ {trace.answer} }}"


def main() -> None:
    """Write the base model."""
    output = Path(sys.argv[1] if len(sys.argv) > 1 else "recipes/quickstart/base")
    held_out = {problem_key(row) for row in load_problems(HELD_OUT, prompt_style="compact", unique=True)}
    rng = random.Random(0)
    rows = [
        {"text": drill(rng) if rng.random() < DRILL_SHARE else direct_answer(rng, held_out)}
        for _ in range(STEPS * BATCH)
    ]
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
    trainer.model.to(torch.float16).save_pretrained(output)
    tokenizer.save_pretrained(output)


if __name__ == "__main__":
    main()
