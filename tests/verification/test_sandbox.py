"""What a program inside the sandbox can and cannot do; real processes, every backend this machine has."""

from __future__ import annotations

import os
import sys
import sysconfig
import threading
import time
from pathlib import Path

import pytest

from trl_rlsp.errors import ConfigError, MissingDependencyError, WorkerError
from trl_rlsp.verification import Limits, LocalSandbox, RunResult, find_sandbox, require_sandbox
from trl_rlsp.verification.code import sandbox as sandbox_module
from trl_rlsp.verification.workers import _server

SHORT = Limits(seconds=1.0, memory_mb=200, output_bytes=10_000)


def attempt(sandbox: LocalSandbox, action: str, setup: str = "") -> str:
    """What `action` raises inside the sandbox, or "done"."""
    program = f"{setup}\ntry:\n    {action}\n    print('done')\nexcept BaseException as e:\n    print(type(e).__name__)"
    return sandbox.run(program, "", SHORT).stdout.decode().strip()


def test_runs_a_program(sandbox: LocalSandbox) -> None:
    assert sandbox.run("print(int(input()) + 1)", "41\n", SHORT) == RunResult("finished", b"42\n")


@pytest.mark.parametrize(
    ("program", "status", "stdout"),
    [
        ("import sys; sys.exit(0)", "finished", b""),
        ("import sys; sys.exit(3)", "failed", b""),
        ("exit()", "finished", b""),
        ("import os; os._exit(0)", "finished", b""),
        ("1 / 0", "failed", b""),
        ("import os; os.abort()", "killed", b""),
        ("print(1); import sys; sys.stdout.close()", "finished", b"1\n"),
        ("import atexit; atexit.register(print, 2); print(1)", "finished", b"1\n2\n"),
        ("import threading; threading.Timer(0.1, print, [1]).start()", "finished", b"1\n"),
        ("import sys; sys.stdout.buffer.write(b'\\xff')", "finished", b"\xff"),
        ("import sys; print(sys.stdin.buffer.read())", "finished", b"b'in\\xc3\\xa9'\n"),
        ("print(open('/dev/stdin').read())", "finished", "iné\n".encode()),
        ("print(open(0).read())", "finished", "iné\n".encode()),
        ("print(__name__, __import__('sys').argv)", "finished", b"__main__ ['main.py']\n"),
    ],
)
def test_how_programs_end(sandbox: LocalSandbox, program: str, status: str, stdout: bytes) -> None:
    result = sandbox.run(program, "iné", SHORT)
    assert (result.status, result.stdout) == (status, stdout)


def test_messages_are_kept_for_people(sandbox: LocalSandbox) -> None:
    assert b"ZeroDivisionError" in sandbox.run("1 / 0", "", SHORT).stderr


@pytest.mark.parametrize("body", ["while True: pass", "import time; time.sleep(60)"])
def test_time_is_limited(sandbox: LocalSandbox, body: str) -> None:
    start = time.monotonic()
    assert sandbox.run(body, "", SHORT).status == "timeout"
    assert time.monotonic() - start < 30


def test_memory_is_limited(sandbox: LocalSandbox) -> None:
    assert attempt(sandbox, "bytearray(100 << 20)") == "done"
    assert attempt(sandbox, "bytearray(300 << 20)") == "MemoryError"
    assert attempt(sandbox, "bytearray(10 << 30)") == "MemoryError"


def test_output_is_limited(sandbox: LocalSandbox) -> None:
    result = sandbox.run("while True: print('x' * 100)", "", SHORT)
    assert result.status == "failed"
    assert len(result.stdout) == SHORT.output_bytes
    ignores = "import os\nwhile True:\n  try: os.write(1, b'x' * 100)\n  except OSError: pass"
    assert len(sandbox.run(ignores, "", SHORT).stdout) == SHORT.output_bytes


def test_limits_cannot_be_raised(sandbox: LocalSandbox) -> None:
    raise_limit = "resource.setrlimit(resource.RLIMIT_AS, (-1, -1))"
    assert attempt(sandbox, raise_limit, "import resource") == "ValueError"


def test_no_process_can_be_started(sandbox: LocalSandbox) -> None:
    assert attempt(sandbox, "os.fork()", "import os") == "PermissionError"
    assert attempt(sandbox, "subprocess.run(['true'])", "import subprocess") == "PermissionError"
    libc = "import ctypes; libc = ctypes.CDLL(None)"
    assert attempt(sandbox, "assert libc.fork() == -1 and libc.vfork() == -1", libc) == "done"


def test_fork_bomb_and_thread_bomb_end_at_the_limit(sandbox: LocalSandbox) -> None:
    bomb = "import os\nwhile True:\n  try: os.fork()\n  except OSError: pass"
    assert sandbox.run(bomb, "", SHORT).status == "timeout"
    bomb = "import threading, time\nwhile True:\n  try: threading.Thread(target=time.sleep, args=(9,)).start()\n"
    assert sandbox.run(bomb + "  except RuntimeError: pass", "", SHORT).status in ("timeout", "killed")
    assert sandbox.run("print(1)", "", SHORT).stdout == b"1\n"


def test_a_program_cannot_leave_a_daemon(sandbox: LocalSandbox, tmp_path: Path) -> None:
    mark = tmp_path / "alive"
    daemon = f"""
import os, time
try:
    if os.fork() == 0:
        os.setsid()
        time.sleep(0.5)
        open({str(mark)!r}, "w")
except OSError:
    print("refused")
"""
    assert sandbox.run(daemon, "", SHORT).stdout == b"refused\n"
    time.sleep(0.7)
    assert not mark.exists()


def test_files_cannot_be_read_or_written(sandbox: LocalSandbox, tmp_path: Path) -> None:
    tests = tmp_path / "tests.json"
    tests.write_text("[]")
    refused = ("PermissionError", "FileNotFoundError", "OSError")
    for path in (tests, "/etc/passwd", "/proc/self/environ", "/proc/1/environ", __file__):
        assert attempt(sandbox, f"open({str(path)!r}).read()") in refused
    for path in (tmp_path / "new", Path.home() / "new", "/tmp/trl_rlsp_new", os.__file__):
        assert attempt(sandbox, f"open({str(path)!r}, 'a')") in refused
        assert path == os.__file__ or not os.path.exists(path)
    assert attempt(sandbox, f"os.remove({str(tests)!r})", "import os") in refused
    assert attempt(sandbox, f"os.open({str(tests)!r}, os.O_RDONLY | os.O_TRUNC)", "import os") in refused
    assert tests.read_text() == "[]"


def test_no_network(sandbox: LocalSandbox) -> None:
    for family in ("AF_INET", "AF_INET6", "AF_UNIX"):
        assert attempt(sandbox, f"socket.socket(socket.{family})", "import socket") == "PermissionError"
    to_a_name = "a.sendto(b'x', '/dev/log')"
    setup = "import socket; a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)"
    assert attempt(sandbox, to_a_name, setup) == "PermissionError"


def test_other_processes_are_out_of_reach(sandbox: LocalSandbox) -> None:
    for call in ("os.kill(os.getppid(), 9)", "os.killpg(0, 9)", "os.kill(-1, 9)", "os.kill(1, 0)"):
        assert attempt(sandbox, call, "import os") == "PermissionError"
    for file in ("mem", "environ", "cmdline", "fd/0"):
        read = f"open(f'/proc/{{os.getppid()}}/{file}', 'rb').read(1)"
        assert attempt(sandbox, read, "import os") in ("PermissionError", "FileNotFoundError")
    trace = "assert ctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0) == 0"
    assert attempt(sandbox, trace, "import ctypes, os") == "AssertionError"


def test_a_program_gets_only_its_own_input(sandbox: LocalSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_TRAINER", "1")
    sandbox.run("import builtins; builtins.left_behind = secret = input()", "secret-of-the-first", SHORT)
    look = """
import builtins, gc, os, sys
frame, seen = sys._getframe(), []
while frame:
    seen += [repr(frame.f_locals), repr(frame.f_globals)]
    frame = frame.f_back
seen += [repr(item) for item in gc.get_objects() if isinstance(item, (dict, list, tuple))]
print(hasattr(builtins, "left_behind"), "SECRET_OF_THE_TRAINER" in os.environ)
print(any("-".join(["of", "the", "first"]) in text for text in seen), any("trl_rlsp" in name for name in sys.modules))
def is_open(fd):
    try:
        return bool(os.fstat(fd))
    except OSError:
        return False
print([fd for fd in range(200) if is_open(fd)])
"""
    answer = sandbox.run(look, "", SHORT)
    assert answer.stdout.decode().splitlines() == ["False False", "False False", "[0, 1, 2]"], answer


def test_what_programs_for_contests_need_works(sandbox: LocalSandbox) -> None:
    deep = """
import sys, threading
sys.setrecursionlimit(10 ** 6)
threading.stack_size(1 << 26)
def depth(n):
    return 0 if n == 0 else 1 + depth(n - 1)
thread = threading.Thread(target=lambda: print(depth(50_000)))
thread.start(); thread.join()
"""
    assert sandbox.run(deep, "", Limits(5.0)).stdout == b"50000\n"
    libraries = (
        "import bisect, collections, datetime, decimal, fractions, functools, hashlib, heapq, itertools, json,"
        " math, operator, os, queue, random, re, statistics, string, sys, time, typing, zoneinfo; print('ok')"
    )
    assert sandbox.run(libraries, "", Limits(5.0)).stdout == b"ok\n"
    loop = "import asyncio\nasync def main():\n  await asyncio.sleep(0.01); print('ok')\nasyncio.run(main())"
    assert sandbox.run(loop, "", Limits(5.0)).stdout == b"ok\n"
    assert attempt(sandbox, "open(os.devnull, 'w').write('x')", "import os") == "done"


def test_runs_do_not_depend_on_chance(sandbox: LocalSandbox) -> None:
    order = [sandbox.run("print(list({'a', 'b', 'c', 'd'}))", "", SHORT).stdout for _ in range(2)]
    assert order[0] == order[1]


def test_packages_may_be_allowed(sandbox: LocalSandbox, tmp_path: Path) -> None:
    (tmp_path / "extra_package.py").write_text("answer = 42")
    with LocalSandbox(sandbox.backend, packages=[str(tmp_path)]) as allowed:
        assert allowed.run("import extra_package as e; print(e.answer)", "", SHORT).stdout == b"42\n"
    assert attempt(sandbox, "import extra_package") == "ModuleNotFoundError"


def test_packages_beside_the_standard_library_may_be_allowed(sandbox: LocalSandbox) -> None:
    # They lie in a folder that is hidden otherwise.
    folder = sysconfig.get_path("purelib", vars={"base": sys.base_prefix})
    if not Path(folder, "pip").is_dir():
        pytest.skip("the base interpreter has no pip")
    with LocalSandbox(sandbox.backend, packages=[folder]) as allowed:
        assert allowed.run("import pip; print(pip.__name__)", "", SHORT).stdout == b"pip\n"


def test_inputs_larger_than_a_pipe(sandbox: LocalSandbox) -> None:
    given = "x" * 3_000_000
    assert sandbox.run("print(len(input()))", given, SHORT).stdout == b"3000000\n"


def test_many_threads_may_call(sandbox: LocalSandbox) -> None:
    found: dict[int, bytes] = {}

    def work(number: int) -> None:
        found[number] = sandbox.run("print(int(input()) ** 2)", str(number), SHORT).stdout

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: b"%d\n" % number**2 for number in range(8)}


def test_without_isolation_it_refuses_and_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox_module, "available_backend", lambda: None)
    find_sandbox.cache_clear()
    require_sandbox(["solution"])  # no program will run
    with pytest.raises(MissingDependencyError, match="apt-get install bubblewrap"):
        require_sandbox(["solution", "tests"])
    with pytest.raises(MissingDependencyError, match="apt-get install bubblewrap"):
        find_sandbox()
    with pytest.warns(RuntimeWarning, match="WITHOUT a sandbox"):
        open_sandbox = find_sandbox(True)
    assert find_sandbox(True) is open_sandbox  # and no second warning
    with open_sandbox:
        assert open_sandbox.run("print(1)", "", SHORT).stdout == b"1\n"
    find_sandbox.cache_clear()


def test_without_seccomp_descendants_are_ended() -> None:
    # Limits only, as on a system without filters: a daemon that left its session must end with the program.
    daemon = """
import os, sys, time
printed, told = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print(os.getpid(), flush=True)
        os.write(told, b"x")
        time.sleep(60)
    os._exit(0)
os.wait()
os.read(printed, 1)
"""
    with LocalSandbox("unsandboxed", layers=()) as bare:
        pid = int(bare.run(daemon, "", SHORT).stdout)
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
        assert bare.run("import os; os.kill(os.getppid(), 9)", "", SHORT).status == "killed"
        assert bare.run("print(1)", "", SHORT).stdout == b"1\n"


def test_elsewhere_than_linux_it_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox_module.sys, "platform", "darwin")
    with pytest.raises(MissingDependencyError, match="pass a remote sandbox"):
        LocalSandbox("unsandboxed")


def test_unknown_backend() -> None:
    with pytest.raises(ConfigError, match="must be one of"):
        LocalSandbox("docker")


def test_a_process_that_cannot_start_is_an_error_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_server, "_python", lambda bare: ["/nonexistent/python"])
    with LocalSandbox("unsandboxed") as broken, pytest.raises(WorkerError, match="cannot be started"):
        broken.run("print(1)", "", SHORT)
    monkeypatch.setattr(_server, "_python", lambda bare: ["/bin/sh", "-c", "echo broken >&2; exit 1"])
    with LocalSandbox("unsandboxed") as broken, pytest.raises(WorkerError, match="failed to start: broken"):
        broken.run("print(1)", "", SHORT)


def test_a_layer_that_cannot_be_applied_is_an_error_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox_module, "_BINDINGS", ())
    with LocalSandbox("landlock") as broken, pytest.raises(WorkerError, match="failed to start"):
        broken.run("print(1)", "", SHORT)
