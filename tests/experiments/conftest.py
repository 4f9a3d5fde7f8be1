"""The experiments' modules, and the smallest grid that can be run."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
EXPERIMENTS = ROOT / "experiments"
if str(EXPERIMENTS) not in sys.path:
    sys.path.append(str(EXPERIMENTS))

COUNTDOWN = (
    "reasoning_gym:countdown?min_numbers={n}&max_numbers={n}&min_value=1&max_value=12&min_target=10&max_target=99"
    "&seed={seed}&size=40"
)


def toy_of(path, *, numbers=3):
    """The grid of a file at toy size: an untrained model of width 32, two steps, 20 problems."""
    from countdown.grid import read_grid

    grid = read_grid(path)
    train = COUNTDOWN.format(n=numbers, seed=1)
    grid["problems"] = {
        "train": train,
        "held_out": COUNTDOWN.format(n=numbers, seed=1000000),
        "test": 20,
        "validation": 10,
    }
    grid["start"] = {
        "build": {"hidden_size": 32, "layers": 2},
        "sft": str(ROOT / "recipes" / "quickstart" / "sft.yaml"),
        "overrides": {"max_steps": 2, "dataset": train, "search_per_problem": 1, "per_device_train_batch_size": 8},
    }
    rates = {"default": 5.0e-4, "tried": [2.0e-4, 5.0e-4, 1.0e-3], "seeds": [100, 101], "share_of_budget": 1.0}
    grid.update(budget=600, seeds=[0], learning_rates=rates, report={"file": "results.md", "sections": ["grid.yaml"]})
    grid["training"].update(
        per_device_train_batch_size=16, gradient_accumulation_steps=1, max_completion_length=16, use_cpu=True
    )
    grid["sampling"].update(max_new_tokens=16, batch_size=80)
    return grid


@pytest.fixture
def toy_grid(tmp_path):
    """Write a toy version of a committed grid and return its path."""

    def write(path, **changes):
        numbers = changes.pop("numbers", 3)
        grid = {**toy_of(path, numbers=numbers), **changes}
        target = tmp_path / "grid.yaml"
        target.write_text(yaml.safe_dump(grid, sort_keys=False), encoding="utf-8")
        return target

    return write


@pytest.fixture(scope="session")
def experiments():
    """Folder of the experiments."""
    return EXPERIMENTS


@pytest.fixture(scope="session")
def toy():
    """Function from the path of a committed grid to its toy version."""
    return toy_of


@pytest.fixture(scope="session")
def judged():
    """The scores of demonstrations by the task's own scorer: (demonstrations, their problems) -> one each."""

    def judged(demonstrations, rows):
        from trl_rlsp.rewards import OutcomeVerifier

        tasks = {row["prompt"][0]["content"]: row["task"] for row in rows}
        with OutcomeVerifier(workers=1) as verifier:
            return verifier(
                completions=[f"{row['reasoning']} \\boxed{{ {row['answer']} }}" for row in demonstrations],
                prompts=[row["problem"] for row in demonstrations],
                task=[tasks[row["problem"]] for row in demonstrations],
            )

    return judged
