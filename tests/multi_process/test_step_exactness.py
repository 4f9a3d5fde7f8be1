"""The gradients of the fast step are TRL's, for each loss, with adapters and without, in one process and in two."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from step_cases import LOSSES, MATRIX, Case, compare, trainer_of
from trl import GRPOTrainer

from trl_rlsp import RLSPGRPOTrainer

LARGEST = 1e-5
QUICK = [
    Case(loss, lora=i % 2 == 0, beta=0.1 * (i % 3 == 0), iterations=1 + i % 2, accumulation=1 + (i // 2) % 2)
    for i, loss in enumerate(LOSSES)
]
TIMES = ("step_time", "train_runtime", "train_samples_per_second", "train_steps_per_second")


def check(case, tmp_path, model_folder, **settings):
    """The logs of TRL's and of the fast run, whose gradients agree."""
    difference, largest, logs = compare(case, tmp_path, model_folder, **settings)
    print(f"{case}: {difference:.1e} of {largest:.1e}")
    assert largest > 1e-3
    assert difference <= LARGEST
    return logs


@pytest.mark.parametrize("case", QUICK, ids=str)
def test_gradients_are_those_of_trl(case, tmp_path, model_folder):
    """The logs too, but for means over the tokens of each micro-batch where its rows are other ones."""
    theirs, ours = check(case, tmp_path, model_folder)
    other_rows = (
        {"kl", "entropy", *(name for name in theirs[0] if "clip" in name)} if case.accumulation > 1 else {"entropy"}
    )
    for expected, found in zip(theirs, ours, strict=True):
        assert found.keys() == expected.keys()
        for name in expected.keys() - {*TIMES, *other_rows}:
            assert found[name] == pytest.approx(expected[name], rel=1e-3, abs=1e-5), name


@pytest.mark.slow
@pytest.mark.parametrize("case", MATRIX, ids=str)
def test_the_whole_matrix(case, tmp_path, model_folder):
    check(case, tmp_path, model_folder)


@pytest.mark.parametrize(
    "settings",
    [
        {"entropy_coef": 0.1},
        {"top_entropy_quantile": 0.5},
        {"importance_sampling_level": "sequence", "num_iterations": 2},
        {"mask_truncated_completions": True},
        {"scale_rewards": "group"},
        {"gradient_checkpointing": True},
        {"gradient_accumulation_steps": 3, "steps_per_generation": 2},  # generations and steps do not line up
    ],
    ids=str,
)
def test_settings_that_move_the_loss(settings, tmp_path, model_folder):
    check(Case("dr_grpo", accumulation=2), tmp_path, model_folder, **settings)


def test_resumed_amid_a_generation(tmp_path, model_folder):
    """Two updates to a generation; the run is saved after its third update and goes on from there."""
    found = []
    for kind in (GRPOTrainer, RLSPGRPOTrainer):
        folder = tmp_path / kind.__name__
        saving = {"save_strategy": "steps", "save_steps": 3, "save_only_model": False}
        trainer_of(kind, Case("dr_grpo"), folder, model_folder, max_steps=3, **saving)[0].train()
        trainer, steps = trainer_of(kind, Case("dr_grpo"), folder, model_folder, max_steps=6, **saving)
        trainer.train(resume_from_checkpoint=str(folder / "checkpoint-3"))
        found.append(steps)
    theirs, ours = found
    assert len(theirs) == len(ours) == 3
    for expected, step in zip(theirs, ours, strict=True):
        for name, gradient in expected.items():
            assert float((gradient - step[name]).abs().max()) <= LARGEST, name


def two_processes(cases, tmp_path, model_folder, launch):
    running = launch(Path(__file__).with_name("step_cases.py"), tmp_path, model_folder, json.dumps(cases), cwd=tmp_path)
    output, _ = running.communicate(timeout=600)
    assert running.returncode == 0, output[-3000:]
    ranks = [json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1)]
    for first, second in zip(*ranks, strict=True):
        print(f"{first['case']}: {first['difference']:.1e} of {first['largest']:.1e}")
        assert first["largest"] > 1e-3
        assert max(first["difference"], second["difference"]) <= LARGEST
        assert first["our_calls"] == second["our_calls"] == first["their_calls"] == second["their_calls"]
        assert sum(first["our_calls"].values()) > 10


def test_two_processes(tmp_path, model_folder, launch):
    two_processes(QUICK[:4], tmp_path, model_folder, launch)


@pytest.mark.slow
def test_the_whole_matrix_in_two_processes(tmp_path, model_folder, launch):
    two_processes(MATRIX, tmp_path, model_folder, launch)
