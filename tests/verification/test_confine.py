"""A process that confined itself: what it can still do, and what it no longer can. Real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from trl_rlsp.verification.workers import _confine
from trl_rlsp.verification.workers._confine import (
    Confinement,
    available_layers,
    landlock_abi,
    mapped_bytes,
    missing_protection,
    python_folders,
    standard_library,
)

SOURCE = Path(__file__).parents[2] / "src"
PRELUDE = """
import json, os, socket, subprocess, sys, threading
sys.path.insert(0, {source!r})
from trl_rlsp.verification.workers._confine import Confinement, available_layers
from trl_rlsp.verification.workers._confine import python_folders
Confinement(available_layers(), python_folders(packages=True)).put_on(200)
def attempt(action):
    try:
        action()
    except (OSError, MemoryError) as error:
        return type(error).__name__
    return "done"
"""
needs_landlock = pytest.mark.skipif(landlock_abi() == 0, reason="this kernel has no Landlock")
needs_seccomp = pytest.mark.skipif("seccomp" not in available_layers(), reason="no seccomp filters here")


def confined(body: str, *arguments: str) -> object:
    """Run `body` in a new process that confined itself; what it leaves in `answer` comes back."""
    script = PRELUDE.format(source=str(SOURCE)) + textwrap.dedent(body) + "\nprint(json.dumps(answer))"
    run = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=60, check=True
    )
    return json.loads(run.stdout)


def test_says_what_there_is_and_what_is_missing() -> None:
    assert ("landlock" in available_layers()) == (landlock_abi() > 0)
    assert missing_protection(["landlock", "seccomp"]) == ""
    assert "read and write this user's files (no Landlock)" in missing_protection(["seccomp"])
    assert missing_protection([]).count("(no ") == 2


@needs_seccomp
def test_a_layer_that_is_not_there_is_not_left_out_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_confine, "seccompy", None)
    with pytest.raises(OSError, match="no seccomp filters"):
        Confinement(["seccomp"], [])


def test_memory_is_limited_on_top_of_what_is_mapped() -> None:
    # 200 MiB are allowed: 100 fit, 300 do not.
    assert confined("answer = [attempt(lambda: bytearray(n << 20)) for n in (100, 300)]") == [
        "done",
        "MemoryError",
    ]


@needs_landlock
def test_files_outside_python_cannot_be_read_or_written(tmp_path: Path) -> None:
    secret = tmp_path / "tests.json"
    secret.write_text("[]")
    answer = confined(
        "answer = [attempt(lambda: open(sys.argv[1])), attempt(lambda: open(sys.argv[2], 'w'))]",
        str(secret),
        str(tmp_path / "new"),
    )
    assert answer == ["PermissionError", "PermissionError"]
    assert not (tmp_path / "new").exists()


@needs_seccomp
def test_no_network_no_processes_no_signals() -> None:
    answer = confined(
        """
        answer = [
            attempt(lambda: socket.socket()),
            attempt(lambda: subprocess.run(["true"])),
            attempt(os.fork),
            attempt(lambda: os.kill(os.getppid(), 0)),
        ]
        """
    )
    assert answer == ["PermissionError"] * 4


@needs_seccomp
def test_no_threads_leases_locks_or_larger_pipes() -> None:
    answer = confined(
        """
        import fcntl
        def start():
            try:
                threading.Thread(target=print).start()
            except RuntimeError:
                raise PermissionError
        file, pipe = open(os.__file__), os.pipe()[0]
        answer = [
            attempt(start),
            attempt(lambda: fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)),
            attempt(lambda: fcntl.lockf(file, fcntl.LOCK_SH)),
            attempt(lambda: fcntl.flock(file, fcntl.LOCK_EX)),
            attempt(lambda: fcntl.fcntl(pipe, 1031, 1 << 20)),
            attempt(lambda: os.set_inheritable(os.dup(pipe), True)),
        ]
        """
    )
    assert answer == ["PermissionError"] * 5 + ["done"]


def test_imports_and_open_pipes_still_work() -> None:
    answer = confined(
        """
        import colorsys
        import hypothesis
        read_end, write_end = os.pipe()
        os.write(write_end, b"2"); answer = int(os.read(read_end, 1))
        """
    )
    assert answer == 2


def test_the_standard_library_is_without_packages() -> None:
    paths = standard_library()
    assert os.path.dirname(os.__file__) not in paths
    assert json.__file__.rpartition("/")[0] in paths
    assert not any(Path(path).name in ("site-packages", "dist-packages") for path in paths)


@needs_seccomp
def test_threads_started_before_are_filtered_too() -> None:
    script = """
import sys, threading, socket
sys.path.insert(0, sys.argv[1])
from trl_rlsp.verification.workers._confine import Confinement, available_layers
from trl_rlsp.verification.workers._confine import python_folders
go = threading.Event()
def late():
    go.wait()
    try:
        socket.socket()
    except PermissionError:
        print("refused")
thread = threading.Thread(target=late)
thread.start()
Confinement(available_layers(), python_folders(packages=True)).put_on(200)
go.set()
"""
    run = subprocess.run([sys.executable, "-c", script, str(SOURCE)], capture_output=True, text=True, timeout=60)
    assert run.stdout == "refused\n"


def test_python_folders_leave_out_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    folders = python_folders(packages=True)
    assert str(tmp_path) not in folders
    assert "/" not in folders
    assert all(Path(folder).exists() for folder in folders)


def test_mapped_bytes_is_a_plausible_size() -> None:
    assert mapped_bytes() > 10 * 1024 * 1024
