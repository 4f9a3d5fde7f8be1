"""A rank killed in the middle of `accelerate launch -m trl_rlsp grpo`: the run ends, and the same command goes on."""

from __future__ import annotations

import json
import os
import signal
import time

import psutil
import pytest

STEPS = 30


@pytest.fixture
def stage(tmp_path, taught_folder):
    """A YAML file: half a group on each rank, gathered failure rates, answers for the worker processes."""
    answers = {"8 1 9 : 72": "\\sqrt{5184}", "1 2 : 3": "\\sqrt{9}"}
    rows = [json.dumps({"problem": problem, "answer": answer}) for problem, answer in answers.items()]
    (tmp_path / "problems.jsonl").write_text("\n".join(rows))
    (tmp_path / "stage.yaml").write_text(f"""
model_name_or_path: {taught_folder}
dataset: {tmp_path / "problems.jsonl"}
output_dir: {tmp_path / "out"}
system_prompt: none
gate: adaptive
num_generations: 4
per_device_train_batch_size: 2
max_completion_length: 12
max_steps: {STEPS}
save_steps: 2
save_total_limit: 2
dtype: float32
bf16: false
use_cpu: true
gradient_checkpointing: false
logging_steps: 1
report_to: none
""")
    return tmp_path / "stage.yaml"


def ranks_under(launcher):
    """Rank -> its process."""
    children = psutil.Process(launcher.pid).children()
    return {int(child.environ()["RANK"]): child for child in children if "RANK" in child.environ()}


def wait_until(condition, launcher, seconds=90):
    deadline = time.monotonic() + seconds
    while not condition():
        assert launcher.poll() is None, launcher.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def cut_off(launch, stage, victim, *, stopped=False):
    """Kill a rank after the second checkpoint: (what was shown, seconds to the end, processes of the run left over)."""
    folder = stage.parent / "out"
    launcher = launch("-m", "trl_rlsp", "grpo", "--config", stage, "--resume_from_checkpoint", "auto", cwd=stage.parent)
    wait_until((folder / "checkpoint-4" / "trainer_state.json").exists, launcher)
    ranks = ranks_under(launcher)
    assert sorted(ranks) == [0, 1]
    family = [process for rank in ranks.values() for process in (rank, *rank.children(recursive=True))]
    assert len(family) >= 6  # each rank has a fork server and a worker at least
    if stopped:
        survivor = ranks[1 - victim]
        survivor.send_signal(signal.SIGSTOP)  # nowhere near a collective when the other one dies
    start = time.monotonic()
    os.kill(ranks[victim].pid, signal.SIGKILL)
    if stopped:
        time.sleep(1)
        survivor.send_signal(signal.SIGCONT)
    shown, _ = launcher.communicate(timeout=60)
    assert launcher.returncode != 0
    seconds = time.monotonic() - start
    _, left = psutil.wait_procs(family, timeout=5)
    return shown, seconds, left


@pytest.mark.slow
@pytest.mark.parametrize(("victim", "stopped"), [(1, False), (0, False), (1, True)])
def test_the_run_ends_clearly_and_goes_on(launch, stage, victim, stopped):
    shown, seconds, left = cut_off(launch, stage, victim, stopped=stopped)
    assert seconds < 60
    assert left == []
    assert "rlsp: if a rank is lost: the same command continues from the last checkpoint in" in shown
    root_cause = shown.partition("Root Cause")[2]
    assert f"rank      : {victim} (local_rank: {victim})" in root_cause
    assert "exitcode  : -9" in root_cause

    again = launch("-m", "trl_rlsp", "grpo", "--config", stage, "--resume_from_checkpoint", "auto", cwd=stage.parent)
    shown, _ = again.communicate(timeout=150)
    assert again.returncode == 0, shown[-3000:]
    done = json.loads((stage.parent / "out" / "stage.json").read_text())
    assert done["steps"] == STEPS
    assert int(done["resumed_from"].removeprefix("checkpoint-")) >= 4
    history = json.loads((stage.parent / "out" / "trainer_state.json").read_text())["log_history"]
    assert [entry["step"] for entry in history if "reward" in entry] == list(range(1, STEPS + 1))
