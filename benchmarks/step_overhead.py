"""What the trainer subclass and the rewards cost in a training step, as ratios within one run.

    python benchmarks/step_overhead.py [--steps 4] [--rounds 6]

Both trainers start each round from the same weights and seed with the same rewards, so they sample the same
completions; the order alternates (ABBA). `GRPOTrainer` gets the rewards as plain functions, `RLSPGRPOTrainer` gets
`RLSPRewards`. Model, data and sizes are the quickstart's. The ratio of steps is given by the wall clock and by the
processor time of the training process, which other work on the machine disturbs less; the share of the rewards, which
wait for worker processes, by the wall clock. Writes nothing; prints one JSON object.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from trl import GRPOTrainer

from trl_rlsp import LengthExploration, OutcomeVerifier, RLSPGRPOConfig, RLSPGRPOTrainer, RLSPRewards, load_problems
from trl_rlsp.generation import load_model
from trl_rlsp.stages import read_yaml

RECIPE = Path(__file__).parents[1] / "recipes" / "quickstart"


class Clock:
    """Seconds spent in the functions it wraps."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function`, its time counted."""

        def wrapper(**kwargs: Any) -> Any:
            start = time.perf_counter()
            result = function(**kwargs)
            self.seconds += time.perf_counter() - start
            return result

        wrapper.__name__ = function.__name__
        return wrapper


def plain_functions(verifier: OutcomeVerifier, clock: Clock) -> list[Callable[..., Any]]:
    """The suite's rewards as two plain functions."""
    length = LengthExploration(C=60, ngram=8)

    def outcome(**kwargs: Any) -> list[float | None]:
        return verifier(**kwargs)

    def exploration(**kwargs: Any) -> list[float]:
        return [0.25 * value for value in length(**kwargs)]

    return [clock.timed(outcome), clock.timed(exploration)]


class Cost(NamedTuple):
    """Seconds of some training steps: by the wall clock, of the processor, and of the rewards by the wall clock."""

    wall: float
    processor: float
    rewards: float


def step_seconds(kind: str, steps: int, dataset: Any, model: Any, tokenizer: Any) -> Cost:
    """What `steps` training steps cost."""
    settings = read_yaml(RECIPE / "grpo.yaml")
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder, OutcomeVerifier() as verifier:
        args = RLSPGRPOConfig(
            output_dir=folder,
            max_steps=steps,
            rollout="trl",  # what both trainers do alike; `step_time.py` measures what this package does faster
            trim_updates=False,
            skip_zero_advantage=False,
            per_device_train_batch_size=settings["per_device_train_batch_size"],
            steps_per_generation=settings["steps_per_generation"],
            num_generations=settings["num_generations"],
            max_completion_length=settings["max_completion_length"],
            learning_rate=settings["learning_rate"],
            top_k=0,
            bf16=False,
            use_cpu=True,
            gradient_checkpointing=False,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            logging_steps=1,
            seed=0,
        )
        rewards: Any
        if kind == "rlsp":
            trainer_class: Any = RLSPGRPOTrainer
            rewards = RLSPRewards(verifier, [LengthExploration(C=60, ngram=8)])
            for index, part in enumerate(rewards):
                rewards[index] = clock.timed(part)
        else:
            trainer_class, rewards = GRPOTrainer, plain_functions(verifier, clock)
        row = dataset[0]  # workers are warm before the clock starts, whichever trainer it is
        verifier(completions=[f"\\boxed{{{row['solution']}}}"], solution=[row["solution"]], task=[row["task"]])
        trainer = trainer_class(
            model=copy.deepcopy(model),
            reward_funcs=rewards,
            args=args,
            train_dataset=dataset,
            processing_class=tokenizer,
        )
        start, busy = time.perf_counter(), time.process_time()
        trainer.train()
        return Cost(time.perf_counter() - start, time.process_time() - busy, clock.seconds)


def main() -> None:
    """Run the rounds and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--model", default=str(RECIPE / "base"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    source = read_yaml(RECIPE / "grpo.yaml")["dataset"]
    dataset = load_problems(source, prompt_style="compact", unique=True)
    model, tokenizer = load_model(options.model, dtype=torch.float32)
    model.train()
    step_seconds("plain", 2, dataset, model, tokenizer)
    figures: dict[str, list[float]] = {"wall_ratio": [], "processor_ratio": [], "reward_share": []}
    for number in range(options.rounds):
        order = ("plain", "rlsp") if number % 2 == 0 else ("rlsp", "plain")
        found = {kind: step_seconds(kind, options.steps, dataset, model, tokenizer) for kind in order}
        ours, theirs = found["rlsp"], found["plain"]
        new = (ours.wall / theirs.wall, ours.processor / theirs.processor, ours.rewards / ours.wall)
        for name, value in zip(figures, new, strict=True):
            figures[name].append(value)
        print(f"round {number}: wall {new[0]:.3f}, processor {new[1]:.3f}, rewards {new[2]:.1%} of a step", flush=True)
    spread = {
        name: {"median": statistics.median(values), "min": min(values), "max": max(values)}
        for name, values in figures.items()
    }
    print(json.dumps({"steps": options.steps, "rounds": options.rounds, **spread}))


if __name__ == "__main__":
    main()
