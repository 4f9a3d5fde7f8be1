"""Processes of the sandbox begin and end with the trainer, whatever happens to it. Real signals."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from trl_rlsp.verification import Limits, LocalSandbox, available_backend

BACKEND = available_backend()
pytestmark = pytest.mark.skipif(BACKEND is None, reason="no sandbox on this machine")
SOURCE = Path(__file__).parents[2] / "src"
SHORT = Limits(seconds=5.0)
TRAINER = """
import sys
sys.path.insert(0, sys.argv[1])
from trl_rlsp.verification import LocalSandbox
from trl_rlsp.verification import Limits
sandbox = LocalSandbox(sys.argv[2])
sandbox.run("print(1)", "", Limits())
print(sandbox._idle[0].process.pid, flush=True)
if sys.argv[3] == "busy":
    sandbox.run("while True: pass", "", Limits(seconds=60))
elif sys.argv[3] == "idle":
    sys.stdin.read()
"""


@pytest.fixture
def sandbox() -> Iterator[LocalSandbox]:
    with LocalSandbox(str(BACKEND)) as running:
        yield running


def family(pid: int) -> set[int]:
    """The process and all its descendants."""
    found = {pid}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                parent = int(Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if parent == pid:
                found |= family(int(entry))
    return found


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def all_gone(pids: set[int], seconds: float = 5.0) -> bool:
    deadline = time.monotonic() + seconds
    while any(map(is_running, pids)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def start_trainer(backend: str, state: str) -> tuple[subprocess.Popen[str], int]:
    command = [sys.executable, "-c", TRAINER, str(SOURCE), backend, state]
    trainer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert trainer.stdout is not None
    return trainer, int(trainer.stdout.readline())


@pytest.mark.parametrize("state", ["idle", "busy"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_after_a_signal(number: signal.Signals, state: str) -> None:
    trainer, server = start_trainer(str(BACKEND), state)
    if state == "busy":
        time.sleep(0.3)
    pids = family(server)
    trainer.send_signal(number)
    trainer.communicate(timeout=30)
    assert all_gone(pids), pids


def test_nothing_is_left_after_a_normal_exit() -> None:
    trainer, server = start_trainer(str(BACKEND), "end")
    trainer.communicate(timeout=30)
    assert trainer.returncode == 0
    assert all_gone({server})


def test_nothing_is_left_after_close(sandbox: LocalSandbox) -> None:
    sandbox.run("print(1)", "", SHORT)
    pids = family(sandbox._idle[0].process.pid)
    sandbox.close()
    assert all_gone(pids)
    assert sandbox.run("print(1)", "", SHORT).stdout == b"1\n"  # it starts again


def test_a_server_that_was_killed_is_replaced(sandbox: LocalSandbox) -> None:
    sandbox.run("print(1)", "", SHORT)
    pids = family(sandbox._idle[0].process.pid)
    for pid in pids:
        with suppress(ProcessLookupError):  # inside bubblewrap the others end with the first
            os.kill(pid, signal.SIGKILL)
    assert all_gone(pids)  # the last of them holds the socket open until it has ended
    assert sandbox.run("print(2)", "", SHORT).stdout == b"2\n"


def test_a_fork_starts_its_own_processes(sandbox: LocalSandbox) -> None:
    sandbox.run("print(1)", "", SHORT)
    ours = sandbox._idle[0].process.pid
    child = os.fork()
    if child == 0:
        code = 1
        try:
            good = sandbox.run("print(2)", "", SHORT).stdout == b"2\n"
            code = 0 if good and sandbox._idle[0].process.pid != ours else 2
            sandbox.close()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert sandbox.run("print(3)", "", SHORT).stdout == b"3\n"
    assert sandbox._idle[0].process.pid == ours


@pytest.mark.slow
def test_thousands_of_runs_leave_nothing_open(sandbox: LocalSandbox) -> None:
    # More runs than any limit on open files: a descriptor lost per run would end this.
    sandbox.run("print(1)", "", SHORT)
    before = len(os.listdir("/proc/self/fd"))
    pid = sandbox._idle[0].process.pid
    programs = ["print(1)", "1 / 0", "import os; os._exit(1)", "while True: print(1)"]
    for number in range(3000):
        sandbox.run(programs[number % len(programs)], "", Limits(5.0, output_bytes=10))
    assert sandbox._idle[0].process.pid == pid
    assert len(os.listdir("/proc/self/fd")) == before


def _run_in_spawned(pickled: bytes, answers: multiprocessing.Queue[bytes]) -> None:
    answers.put(pickle.loads(pickled).run("print(4)", "", SHORT).stdout)


def test_can_be_pickled_into_a_spawned_process(sandbox: LocalSandbox) -> None:
    sandbox.run("print(1)", "", SHORT)
    context = multiprocessing.get_context("spawn")
    answers: multiprocessing.Queue[bytes] = context.Queue()
    process = context.Process(target=_run_in_spawned, args=(pickle.dumps(sandbox), answers))
    process.start()
    assert answers.get(timeout=60) == b"4\n"
    process.join()


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user, which takes root")
@pytest.mark.parametrize("backend", ["landlock", "bubblewrap"])
def test_works_for_an_ordinary_user(backend: str) -> None:
    python = next((path for path in ("/usr/bin/python3", sys.executable) if _usable_by_nobody(path)), None)
    if python is None:
        pytest.skip("no Python >= 3.11 that another user may run")
    script = (
        "import sys; from trl_rlsp.verification import LocalSandbox\n"
        "from trl_rlsp.verification import Limits\n"
        "from trl_rlsp.verification.code.sandbox import bubblewrap_privileges\n"
        "if sys.argv[1] == 'bubblewrap' and not bubblewrap_privileges(): print('absent'); sys.exit()\n"
        "with LocalSandbox(sys.argv[1]) as s:\n"
        "  for p in ('print(1)', 'import os; os.fork()', 'open(\"/etc/passwd\")', 'while True: pass'):\n"
        "    print(s.run(p, '', Limits(seconds=0.5)).status)\n"
    )
    run = subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", python, "-c", script, backend],
        env={"PYTHONPATH": f"{SOURCE}:{sysconfig.get_path('purelib')}", "PATH": os.environ["PATH"]},
        capture_output=True, text=True, timeout=60, check=False, cwd="/",
    )  # fmt: skip
    if run.stdout == "absent\n":
        pytest.skip("bubblewrap is not usable for an ordinary user here")
    assert run.stdout.split() == ["finished", "failed", "failed", "timeout"], run.stderr


def _usable_by_nobody(python: str) -> bool:
    if shutil.which("setpriv") is None:
        return False
    probe = "import sys; sys.path.append(sys.argv[1]); import landlockpy, trl_rlsp; assert sys.version_info >= (3, 11)"
    command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", python, "-c", probe]
    env = {"PYTHONPATH": str(SOURCE)}
    run = subprocess.run([*command, sysconfig.get_path("purelib")], env=env, capture_output=True, check=False, cwd="/")
    return run.returncode == 0
