"""GRPO runs whose completions depend on the prompt and on the place in its group alone, in one process or several.

Sampling differs between ranks, so runs of different numbers of processes can only be compared where nothing is
sampled. Everything else is TRL's: data loader, gathering, advantages, update, logs.

    accelerate launch --config_file recipes/accelerate/cpu.yaml tests/multi_process/scripted.py FOLDER MODEL
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import NamedTuple

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer

from trl_rlsp import AlphaSchedule, LengthExploration, OutcomeVerifier, RLSPGRPOConfig, RLSPGRPOTrainer, RLSPRewards
from trl_rlsp.behaviours import BehaviourMetrics
from trl_rlsp.rewards import DiversityExploration

GENERATIONS = 4
SOLUTIONS = {
    "8 9 ?": "\\sqrt{5184}",  # left to the worker processes
    "1 2 ?": "3",
    "2 3 ?": "6",
    "5 7 ?": None,  # not scorable
}
SCRIPT = {
    "8 9 ?": (
        "8 * 9 = 72 yes 72 / 1 = 72 yes \\boxed{ 72 }",
        "8 * 9 = 72 yes \\boxed{ 72 }",
        "8 + 9 = 17 no \\boxed{ 17 }",
        "8 * 9 = 72 yes",
    ),
    "1 2 ?": (
        "2 - 1 = 1 no \\boxed{ 1 }",
        "1 * 2 = 2 no 2 - 1 = 1 no 2 / 1 = 2 no \\boxed{ 2 }",
        "\\boxed{ 2 }",
        "1 + 2 = 3 yes \\boxed{ 3 }",
    ),
    "2 3 ?": (
        "2 * 3 = 6 yes \\boxed{ 6 }",
        "2 + 3 = 5 no 3 - 2 = 1 no 2 * 3 = 6 yes \\boxed{ 6 }",
        "\\boxed{ 6 }",
        "3 + 2 = 5 no 3 * 2 = 6 yes \\boxed{ 6 }",
    ),
    "5 7 ?": ("5 + 7 = 12 yes \\boxed{ 12 }", "\\boxed{ 12 }", "7 - 5 = 2 no", "\\boxed{ 2 }"),
}
"""Problem -> the completions of a group, in order."""


class Layout(NamedTuple):
    """How a step's completions are dealt out, in one process: of two, each has half the batch."""

    batch: int
    accumulation: int = 1
    steps: int = 4


LAYOUTS = {
    "one group, half on each rank": Layout(4),
    "three groups, the middle one split": Layout(12, steps=2),
    "the same in micro-batches": Layout(4, accumulation=3, steps=2),
}
REWARDS = {
    "none": {"alpha": 0.8},
    "adaptive": {"alpha": 0.8, "gate": "adaptive", "length_penalty": 0.5},
    "by solve rate": {"alpha": AlphaSchedule("solve_rate", 0.6, 0.9)},
}


def play(prompts, trainer):
    """A `rollout_func` of TRL: the script's completion for each place in a group, over all ranks."""
    tokenizer = trainer.processing_class
    first = trainer.accelerator.process_index * len(prompts)
    texts = [
        SCRIPT[prompt.removeprefix("<user> ").removesuffix(" <assistant>")][(first + i) % GENERATIONS]
        for i, prompt in enumerate(prompts)
    ]
    completions = [tokenizer(f"{text} <eos>")["input_ids"] for text in texts]
    return {
        "prompt_ids": [tokenizer(prompt)["input_ids"] for prompt in prompts],
        "completion_ids": completions,
        "logprobs": None,
    }


def train(folder, model_folder, layout, rewards):
    """One run; completions, log and final weights are left in `folder`."""
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    trainer = RLSPGRPOTrainer(
        AutoModelForCausalLM.from_pretrained(model_folder, dtype="float32"),
        reward_funcs=rewards,
        args=RLSPGRPOConfig(
            output_dir=str(folder),
            max_steps=layout.steps,
            per_device_train_batch_size=layout.batch // processes,
            gradient_accumulation_steps=layout.accumulation,
            num_generations=GENERATIONS,
            max_completion_length=24,
            learning_rate=1e-2,
            bf16=False,
            use_cpu=True,
            gradient_checkpointing=False,
            save_strategy="no",
            logging_steps=1,
            report_to=[],
            disable_tqdm=True,
        ),
        train_dataset=Dataset.from_list(
            [{"prompt": f"<user> {problem} <assistant>", "solution": gold} for problem, gold in SOLUTIONS.items()]
        ),
        processing_class=AutoTokenizer.from_pretrained(model_folder, padding_side="left"),
        rollout_func=play,
    )
    trainer.train()
    if trainer.accelerator.is_main_process:
        weights = trainer.accelerator.unwrap_model(trainer.model).state_dict()
        torch.save(weights, folder / "weights.pt")
        log = {"processes": trainer.accelerator.num_processes, "history": trainer.state.log_history}
        (folder / "log.json").write_text(json.dumps(log))


def run_all(folder, model_folder):
    """Each reward with each layout, into `folder/REWARD/LAYOUT`; one verifier, so that workers start once."""
    with OutcomeVerifier(watch=[BehaviourMetrics()]) as verifier:
        for reward, settings in REWARDS.items():
            for name, layout in LAYOUTS.items():
                parts = [LengthExploration(C=6), DiversityExploration(K=2)]
                train(Path(folder, reward, name), model_folder, layout, RLSPRewards(verifier, parts, **settings))


if __name__ == "__main__":
    run_all(*sys.argv[1:])
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
