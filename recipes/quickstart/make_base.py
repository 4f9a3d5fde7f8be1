"""Make `recipes/quickstart/base`, the small model that the quickstart starts from.

    python recipes/quickstart/make_base.py [OUTPUT]

It stands in for an instruct model: it knows the arithmetic of the task and a search of a few attempts, because that
is what takes a model of this size 1,800 steps to learn. About 12 minutes on one core. The quickstart does not run
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
from trl_rlsp.countdown import LARGEST_NUMBER, build_model, build_tokenizer
from trl_rlsp.countdown.search import Term, geometric_budget, written_search
from trl_rlsp.countdown.search import steps as first_steps
from trl_rlsp.problems import problem_key

HELD_OUT = (
    "reasoning_gym:countdown?min_numbers=3&max_numbers=3&min_value=1&max_value=12&min_target=10&max_target=99"
    "&seed=1000000&size=800"
)
BATCH, POOL = 64, 16
ROUNDS = (  # steps, peak learning rate, order of the batches
    (1200, 3e-3, "group_by_length"),  # sorted runs of batches: the loss swings with the length
    (600, 2e-3, "sequential"),  # batches of one length in random order: this is where comparing is learned
)
MEAN_ATTEMPTS, LONGEST, HIT_SHARE = 5.0, 40, 0.4


def problem(rng: random.Random, held_out: set[str]) -> tuple[list[int], int]:
    """Three numbers and a target that some expression reaches, not among the held-out problems."""
    while True:
        numbers = [rng.randint(1, 12) for _ in range(3)]
        step = rng.choice(first_steps(tuple(map(Term.given, numbers)), LARGEST_NUMBER))
        target = rng.choice(first_steps((step.result, *step.rest), LARGEST_NUMBER)).result.value
        task = {"name": "countdown", "entry": {"metadata": {"numbers": numbers, "target": target}}}
        if 10 <= target <= 99 and problem_key({"task": json.dumps(task)}) not in held_out:
            return numbers, target


def searched(rng: random.Random, held_out: set[str]) -> dict[str, str]:
    """A problem and a search with a small budget, its last attempt as the answer, right or wrong."""
    numbers, target = problem(rng, held_out)
    budget = geometric_budget(rng, MEAN_ATTEMPTS, LONGEST)
    trace = written_search(numbers, target, rng, budget=budget)
    if rng.random() < HIT_SHARE:
        for _ in range(20):
            if trace.solved:
                break
            trace = written_search(numbers, target, rng, budget=budget)
    return {
        "prompt": f"<user> {' '.join(map(str, numbers))} : {target} <assistant>",
        "completion": f" {trace.reasoning} \\boxed{{ {trace.answer} }}",
    }


def pooled(rows: list[dict[str, str]], rng: random.Random) -> list[dict[str, str]]:
    """Batches of rows of similar length, in random order."""
    ordered: list[dict[str, str]] = []
    for start in range(0, len(rows), POOL * BATCH):
        pool = sorted(rows[start : start + POOL * BATCH], key=lambda row: len(row["completion"]))
        batches = [pool[i : i + BATCH] for i in range(0, len(pool), BATCH)]
        rng.shuffle(batches)
        ordered += [row for batch in batches for row in batch]
    return ordered


def train(
    model: LlamaForCausalLM, rows: list[dict[str, str]], steps: int, rate: float, order: str, folder: Path
) -> None:
    """Next-token training on the completions; prompts are random and would only add noise."""
    config = SFTConfig(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=BATCH,
        learning_rate=rate,
        lr_scheduler_type="cosine",
        warmup_steps=50,
        adam_beta2=0.95,
        weight_decay=0.01,
        train_sampling_strategy=order,
        max_length=None,
        gradient_checkpointing=False,
        bf16=False,
        use_cpu=True,
        save_strategy="no",
        report_to=[],
        logging_steps=25,
        seed=0,
    )
    trainer = SFTTrainer(model, args=config, train_dataset=Dataset.from_list(rows), processing_class=build_tokenizer())
    trainer.train()


def main() -> None:
    """Write the base model."""
    output = Path(sys.argv[1] if len(sys.argv) > 1 else "recipes/quickstart/base")
    held_out = {problem_key(row) for row in load_problems(HELD_OUT, prompt_style="compact", unique=True)}
    model = build_model(seed=0)
    for number, (steps, rate, order) in enumerate(ROUNDS):
        rng = random.Random(number)
        rows = [searched(rng, held_out) for _ in range(steps * BATCH)]
        rows = pooled(rows, rng) if order == "sequential" else rows
        with tempfile.TemporaryDirectory() as folder:
            train(model, rows, steps, rate, order, Path(folder))
    model.config.use_cache = True
    model.to(torch.float16).save_pretrained(output)
    build_tokenizer().save_pretrained(output)


if __name__ == "__main__":
    main()
