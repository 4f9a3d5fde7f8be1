"""Metrics arrive under TRL's names where users look: the real trackio and TensorBoard, in a temporary folder."""

from __future__ import annotations

import json
import sqlite3

import pytest
from datasets import Dataset
from tiny_grpo import ON_CPU, SMALL

from trl_rlsp import LengthExploration, OutcomeVerifier, RLSPGRPOConfig, RLSPGRPOTrainer, RLSPRewards

METRICS = {
    "train/reward",
    "train/rewards/outcome_verifier/mean",
    "train/rewards/length_exploration/mean",
    "train/exploration/effective_length",
    "train/verifier/match",
    "train/verifier/no_answer",
    "train/completions/mean_length",
}


@pytest.fixture
def train(taught_folder, tmp_path, monkeypatch):
    """Two steps that report to `tracker`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "tensorboard"))

    def train(tracker):
        settings = {**ON_CPU, **SMALL, "report_to": tracker, "run_name": "two-steps"}
        settings |= {"project": "rlsp", "trackio_space_id": None} if tracker == "trackio" else {}
        args = RLSPGRPOConfig(str(tmp_path / "out"), **settings)
        rows = Dataset.from_dict({"prompt": ["8 1 9 : 72", "1 2 : 3"] * 4, "solution": ["72", "3"] * 4})
        with OutcomeVerifier() as verifier:
            suite = RLSPRewards(verifier, [LengthExploration(C=20)])
            RLSPGRPOTrainer(str(taught_folder), suite, args, rows).train()

    return train


def test_trackio(train, tmp_path, monkeypatch):
    pytest.importorskip("trackio", reason="trackio is not installed: pip install --group dev")
    from trackio import sqlite_storage, utils

    for module in (utils, sqlite_storage):  # it reads TRACKIO_DIR once, when it is imported
        monkeypatch.setattr(module, "TRACKIO_DIR", tmp_path / "trackio")
    train("trackio")
    (database,) = (tmp_path / "trackio").glob("rlsp*.db")
    with sqlite3.connect(database) as connection:
        logged = [json.loads(row) for (row,) in connection.execute("select metrics from metrics order by step")]
    names = set().union(*logged)
    assert names >= METRICS
    assert sum("train/reward" in entry for entry in logged) == 2


def test_tensorboard(train, tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed: pip install --group dev")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train("tensorboard")
    (folder,) = {path.parent for path in tmp_path.rglob("events.out.tfevents.*")}
    events = EventAccumulator(str(folder))
    events.Reload()
    assert set(events.Tags()["scalars"]) >= METRICS
    assert [event.step for event in events.Scalars("train/reward")] == [1, 2]


def test_wandb(train, tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="wandb is not installed: pip install --group dev")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    train("wandb")
    (file,) = tmp_path.rglob("*.wandb")
    logged = file.read_bytes()  # names stand in it as they are; a block of 32 KiB may cut one of the two mentions
    assert {name for name in METRICS if name.encode() in logged} == METRICS
