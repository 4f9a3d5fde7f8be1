"""What a rank does when another one is gone, in processes of their own that are told they are ranks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from trl_rlsp.commands.ranks import is_collective, rank_watch

WAY_OUT = "Give the same command again."

IN_C = """
# A mutex that is locked twice waits for ever, and no signal's Python handler gets a turn, as in a collective on a GPU.
import ctypes
mutex, libc = ctypes.create_string_buffer(64), ctypes.CDLL(None)
def wait():
    print("waiting", flush=True)
    libc.pthread_mutex_lock(mutex), libc.pthread_mutex_lock(mutex)
"""
IN_PYTHON = """
def wait():
    print("waiting", flush=True)
    time.sleep(60)
"""
AFTER_A_CHILD_DIED = """
def wait():
    child = os.fork()
    if child == 0:
        time.sleep(60)
    os.kill(child, 15)
    print("child", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    time.sleep(60)
"""
MAIN = """
import os, time
from trl_rlsp.commands.ranks import rank_watch
with rank_watch(lambda: "Give the same command again."):
    wait()
"""


@pytest.fixture
def start():
    """Start a program as one of two ranks and wait for its first line: (process, line)."""
    running = []

    def run(code, **environment):
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            env={**os.environ, "WORLD_SIZE": "2", "RANK": "0", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        return process, process.stdout.readline()

    yield run
    for process in running:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("wait", [IN_PYTHON, IN_C], ids=["in Python", "in C"])
def test_told_to_end_it_says_so_and_ends_at_once(start, wait):
    process, _ = start("import time" + wait + MAIN)
    time.sleep(0.2)
    process.terminate()
    _, errors = process.communicate(timeout=10)
    assert process.returncode == 143
    assert "rlsp: rank 0 of 2 was told to end: another rank ended, or the run was stopped." in errors
    assert "root cause, and its exit code" in errors
    assert WAY_OUT in errors


def test_a_forked_child_dies_of_the_signal_alone(start):
    process, line = start(AFTER_A_CHILD_DIED + MAIN)
    assert line == "child -15\n"
    assert process.poll() is None
    process.terminate()
    assert process.wait(10) == 143


def test_one_rank_of_a_machine_speaks(start, tmp_path):
    ranks = []
    for rank in ("0", "1"):
        (tmp_path / rank).mkdir()
        place = {"RANK": rank, "TORCHELASTIC_ERROR_FILE": str(tmp_path / rank / "error.json")}
        ranks.append(start("import time" + IN_PYTHON + MAIN, **place)[0])
    for process in ranks:
        process.terminate()
    said = [WAY_OUT in process.communicate(timeout=10)[1] for process in ranks]
    assert sorted(said) == [False, True]


def test_outside_of_training_the_signal_is_as_before(start):
    process, _ = start("import time\ndef wait(): pass\n" + MAIN + "\nprint('waiting', flush=True)\ntime.sleep(60)")
    process.terminate()
    _, errors = process.communicate(timeout=10)
    assert (process.returncode, errors) == (-signal.SIGTERM, "")


class TestErrors:
    """The message is that of gloo when a rank was killed, as measured."""

    LOST = RuntimeError(
        "[/gloo/transport/tcp/pair.cc:537] Read error [127.0.0.1]:20: Connection reset by peer. This is"
    )

    @pytest.fixture(autouse=True)
    def rank(self, monkeypatch):
        monkeypatch.setenv("WORLD_SIZE", "2")
        monkeypatch.setenv("RANK", "1")
        monkeypatch.delenv("TORCHELASTIC_ERROR_FILE", raising=False)
        monkeypatch.setattr("trl_rlsp.commands.ranks.GRACE_SECONDS", 0.05)

    def test_a_lost_rank(self, capsys):
        with pytest.raises(SystemExit, match="2"), rank_watch(lambda: WAY_OUT):
            raise self.LOST
        assert capsys.readouterr().err.startswith(
            "\nrlsp: rank 1 of 2 lost contact with another rank, or waited for it too long: "
            "Read error [127.0.0.1]:20: Connection reset by peer.\n"
        )

    def test_it_waits_for_the_launcher_first(self, monkeypatch):
        """Which would else see two ranks end at once, and may name this one."""
        monkeypatch.setattr("trl_rlsp.commands.ranks.GRACE_SECONDS", 0.3)
        start = time.monotonic()
        with pytest.raises(SystemExit, match="2"), rank_watch(lambda: WAY_OUT):
            raise self.LOST
        assert 0.3 <= time.monotonic() - start < 5

    @pytest.mark.parametrize("error", [RuntimeError("CUDA out of memory"), ValueError("gloo")])
    def test_an_error_of_its_own_is_raised_as_it_is(self, error, capsys):
        with pytest.raises(type(error), match=str(error)), rank_watch(lambda: WAY_OUT):
            raise error
        assert capsys.readouterr().err == ""

    def test_one_process_is_left_alone(self, monkeypatch):
        monkeypatch.setenv("WORLD_SIZE", "1")
        before = signal.getsignal(signal.SIGTERM)
        with rank_watch(lambda: WAY_OUT):
            assert signal.getsignal(signal.SIGTERM) is before
        with pytest.raises(RuntimeError, match="Connection reset by peer"), rank_watch(lambda: WAY_OUT):
            raise self.LOST

    def test_errors_of_the_backends_are_collective(self):
        from torch import distributed

        assert is_collective(distributed.DistBackendError("NCCL error"))
        assert is_collective(distributed.DistStoreError("the store is gone"))
        assert not is_collective(RuntimeError("out of memory"))
