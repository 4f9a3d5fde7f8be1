"""The gradients of every optimizer step of some GRPO runs, by TRL's own trainer and by the fast step.

accelerate launch --config_file recipes/accelerate/cpu.yaml tests/multi_process/step_cases.py FOLDER MODEL CASES
"""

from __future__ import annotations

import functools
import itertools
import json
import random
import sys
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import GRPOTrainer

from trl_rlsp import RLSPGRPOConfig, RLSPGRPOTrainer
from trl_rlsp.trainers import _fast_step

LOSSES = ("dr_grpo", "grpo", "dapo", "bnpo", "cispo", "sapo", "luspo", "vespo")
GENERATIONS, ROWS, LONGEST = 4, 8, 40
PROBLEMS = ("1 2", "8 9 ?", "3", "1 1 5")
COLLECTIVES = ("all_reduce", "all_gather", "all_gather_into_tensor", "all_gather_object", "broadcast", "reduce")


class Case(NamedTuple):
    """Settings of a run; `accumulation` micro-batches to an optimizer step, two steps to a generation."""

    loss: str
    lora: bool = False
    beta: float = 0.0
    iterations: int = 1
    accumulation: int = 1


MATRIX = [Case(*each) for each in itertools.product(LOSSES, (False, True), (0.0, 0.1), (1, 2), (1, 2))]


class Gradients(TrainerCallback):
    """A copy of all gradients before each optimizer step."""

    def __init__(self) -> None:
        self.steps: list[dict[str, torch.Tensor]] = []

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any, **kwargs: Any) -> None:
        names = ((name.removeprefix("module."), weight) for name, weight in model.named_parameters())
        self.steps.append({name: weight.grad.clone() for name, weight in names if weight.grad is not None})


def play(prompts, trainer):
    """Completions of 1 to LONGEST tokens, other ones for each rank and call, without sampling."""
    place = trainer.accelerator.process_index + 10 * trainer.state.global_step
    draw = random.Random(place)
    tokenizer = trainer.processing_class
    ids = [tokenizer(prompt)["input_ids"] for prompt in prompts]
    lengths = [min(LONGEST, 1 + int(draw.lognormvariate(2, 1))) for _ in prompts]
    completions = [[draw.randrange(5, 60) for _ in range(length - 1)] + [tokenizer.eos_token_id] for length in lengths]
    return {"prompt_ids": ids, "completion_ids": completions, "logprobs": None}


def reward(prompts, completions, **_):
    """Half of the groups are all alike, so that they have no advantage."""
    return [0.0 if "1" in prompt else float(len(text) % 3) for prompt, text in zip(prompts, completions, strict=True)]


@patch.object(_fast_step, "compute_in_parts", functools.partial(_fast_step.compute_in_parts, rows=3))  # several parts
def trainer_of(kind, case, folder, model_folder, **settings):
    """The trainer `kind` for a case, with a callback that copies its gradients."""
    gradients = Gradients()
    torch.manual_seed(0)
    trainer = kind(
        AutoModelForCausalLM.from_pretrained(model_folder, dtype="float32"),
        reward_funcs=reward,
        args=RLSPGRPOConfig(
            output_dir=str(folder),
            **{
                "max_steps": 4,
                "per_device_train_batch_size": ROWS,
                "gradient_accumulation_steps": case.accumulation,
                "steps_per_generation": 2 * case.accumulation,
                "num_generations": GENERATIONS,
                "num_iterations": case.iterations,
                "max_completion_length": LONGEST,
                "loss_type": case.loss,
                "beta": case.beta,
                "learning_rate": 1e-2,
                "max_grad_norm": 0.0,
                "optim": "sgd",
                "bf16": False,
                "use_cpu": True,
                "gradient_checkpointing": False,
                "save_strategy": "no",
                "logging_steps": 1,
                "log_completions": False,
                "report_to": [],
                "disable_tqdm": True,
                **settings,
            },
        ),
        train_dataset=Dataset.from_list([{"prompt": f"<user> {p} <assistant>"} for p in PROBLEMS] * 8),
        processing_class=AutoTokenizer.from_pretrained(model_folder, padding_side="left"),
        rollout_func=play,
        peft_config=LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False) if case.lora else None,
        callbacks=[gradients],
    )
    return trainer, gradients.steps


def compare(case, folder, model_folder, **settings):
    """(largest difference of any gradient, largest gradient, log of each) over the steps of a case."""
    logs, found = [], []
    for kind in (GRPOTrainer, RLSPGRPOTrainer):
        trainer, steps = trainer_of(kind, case, folder, model_folder, **settings)
        trainer.train()
        logs.append(trainer.state.log_history)
        found.append(steps)
    theirs, ours = found
    assert [step.keys() for step in theirs] == [step.keys() for step in ours]
    pairs = [(a[name], b[name]) for a, b in zip(theirs, ours, strict=True) for name in a]
    return (
        max(float((a - b).abs().max()) for a, b in pairs),
        max(float(a.abs().max()) for a, _ in pairs),
        logs,
    )


def counted(calls):
    """Count the collective calls of this process by name."""
    for name in COLLECTIVES:
        original = getattr(torch.distributed, name)

        def call(*args, _name=name, _original=original, **kwargs):
            calls[_name] = calls.get(_name, 0) + 1
            return _original(*args, **kwargs)

        setattr(torch.distributed, name, call)


def main(folder, model_folder, cases):
    """Compare the cases and write, for each rank, the differences and the collective calls of the two trainers."""
    calls: dict[str, int] = {}
    counted(calls)
    rows = []
    for case in json.loads(cases):
        per_kind = []
        for kind in (GRPOTrainer, RLSPGRPOTrainer):
            calls.clear()
            trainer, steps = trainer_of(kind, Case(*case), folder, model_folder)
            trainer.train()
            per_kind.append((dict(calls), steps))
        (their_calls, theirs), (our_calls, ours) = per_kind
        pairs = [(a[name], b[name]) for a, b in zip(theirs, ours, strict=True) for name in a]
        rows.append(
            {
                "case": case,
                "difference": max(float((a - b).abs().max()) for a, b in pairs),
                "largest": max(float(a.abs().max()) for a, _ in pairs),
                "their_calls": their_calls,
                "our_calls": our_calls,
            }
        )
    rank = trainer.accelerator.process_index
    Path(folder, f"rank{rank}.json").write_text(json.dumps(rows))


if __name__ == "__main__":
    main(*sys.argv[1:])
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
