"""Worker pools of several ranks: each has its own, and together they fit the machine."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from trl_rlsp.verification import RunResult, verify_code
from trl_rlsp.verification.workers import _server
from trl_rlsp.verification.workers._server import fitting_workers

linux = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux's sched_setaffinity")


@pytest.fixture
def machine(monkeypatch):
    """Pretend: cores of this process and of its launcher, ranks."""

    def pretend(own, launcher, ranks):
        monkeypatch.setattr(_server, "_cores_of", lambda process: launcher if process else own)
        monkeypatch.setenv("LOCAL_WORLD_SIZE", str(ranks))

    return pretend


@pytest.mark.parametrize(
    ("own", "launcher", "ranks", "share"),
    [
        (8, 8, 1, 8),
        (8, 8, 2, 4),
        (8, 8, 3, 2),  # 8 // 3
        (8, 8, 16, 1),  # never none
        (8, 64, 8, 8),  # each rank bound to 8 cores of its own: not divided again
        (4, 64, 8, 4),
        (8, 64, 1, 8),
        (8, 8, "", 8),
        (8, 8, "many", 8),
        (8, 8, 0, 8),
    ],
)
def test_share_of_cores(machine, own, launcher, ranks, share):
    machine(own, launcher, ranks)
    assert fitting_workers() == share


def test_more_is_only_had_alone(machine):
    machine(8, 8, 1)
    assert fitting_workers(20) == 20  # as told
    machine(8, 8, 4)
    assert (fitting_workers(20), fitting_workers(2), fitting_workers(1)) == (2, 2, 1)


@linux
@pytest.mark.parametrize(("ranks", "workers"), [(1, 4), (2, 1)], ids=["one rank", "two ranks"])
def test_worker_processes_of_real_ranks(ranks, workers):
    """Two cores at most: two ranks that ask for 4 workers each have 1 each; a rank alone has what it asks for."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("rank_pool.py")), str(ranks)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(workers)] * ranks


@pytest.mark.parametrize(("ranks", "at_once"), [(1, 3), (2, 2), (4, 1)])
def test_programs_at_a_time(machine, ranks, at_once):
    """4 cores; of 12 programs, 3 at a time were asked for."""
    machine(4, 4, ranks)
    running, most, lock = 0, 0, threading.Lock()

    def sandbox(program, stdin, limits):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.05)
        with lock:
            running -= 1
        return RunResult("finished", b"1\n")

    items = [(f"```python\nprint({i})\n```", [{"input": "", "output": "1\n"}]) for i in range(12)]
    verdicts = verify_code(items, workers=3, sandbox=sandbox)
    assert [verdict.score for verdict in verdicts] == [1.0] * 12
    assert most == at_once
