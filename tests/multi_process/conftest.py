"""Launching real ranks: `accelerate launch` with the project's own configuration for processes without a GPU."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ACCELERATE = Path(__file__).parent.parent.parent / "recipes" / "accelerate"


@pytest.fixture(scope="session")
def launch():
    """`accelerate launch ARGUMENTS` as a running process, leader of a process group of its own, text of both streams
    in one; whatever is left of the group is killed at the end."""
    started = []

    def run(*arguments, cwd, config=ACCELERATE / "cpu.yaml", **environment):
        process = subprocess.Popen(
            [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(config), *map(str, arguments)],
            cwd=cwd,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, 9)
            process.wait()
