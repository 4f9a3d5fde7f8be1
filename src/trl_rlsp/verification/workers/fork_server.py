"""The process that forks, run as a script: `python fork_server.py CONFIG`.

There are two kinds of forks: a *handler* answers JSON lines on a channel until it is closed; a *program* runs once, and
the server waits for it. The server itself never reads untrusted data. It ends together with its forks when its socket
closes. The socket carries one line of JSON at a time, requests with open files; each request has one reply.
"""

from __future__ import annotations

import _sitebuiltins
import atexit
import builtins
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import threading
import time
import traceback
import types
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from importlib.util import find_spec
from typing import Any, NoReturn

MAX_LINE = 4 << 20  # bytes of one request to a handler, or of its reply
_MAX_FILES = 4
_MAX_PROCESSES = 64  # of the user, including threads and the server
# Loaded once, so that programs and the harness that calls functions find them loaded.
_PRELOADED = "ast bisect collections copy datetime functools heapq io itertools json math operator random re typing"


def main() -> int:
    """Prepare, report readiness, and serve until the socket closes."""
    config = json.loads(sys.argv[1])
    control = socket.socket(fileno=config["control_fd"])
    try:
        work = Handler(config) if "handler" in config else Program(config)
    except Exception as error:  # the process boundary: any error must be reported to the owner
        send(control, {"error": f"{type(error).__name__}: {error}"})
        return 1
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # from now on it shuts down cleanly, when the socket closes
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    send(control, {"layers": work.layers})
    gc.collect()
    gc.freeze()  # forks share the memory pages of everything loaded so far
    Server(control, work).serve()
    return 0


def send(channel: socket.socket, message: dict[str, Any], files: Sequence[int] = ()) -> None:
    """Send a message, with open files if any."""
    data = json.dumps(message).encode() + b"\n"
    if files:
        socket.send_fds(channel, [data], files)
    else:
        channel.sendall(data)


def receive(channel: socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    """The next message and its files; `None` if the other end is closed."""
    data, files = bytearray(), []
    while not data.endswith(b"\n"):
        part, some, _, _ = socket.recv_fds(channel, 1 << 16, _MAX_FILES)
        files += some
        if not part:
            return None, files
        data += part
    return json.loads(data), files


class Server:
    """Answers requests, one at a time, until the socket closes."""

    def __init__(self, control: socket.socket, work: Any) -> None:
        self.control = control
        self.work = work
        self.children: set[int] = set()

    def serve(self) -> None:
        """Serve requests, and end all forks afterwards."""
        try:
            while True:
                request, files = receive(self.control)
                self.children = {pid for pid in self.children if not os.waitpid(pid, os.WNOHANG)[0]}
                if request is None:
                    return
                send(self.control, self._answer(request, files))
        finally:
            for pid in self.children:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)

    def _answer(self, request: dict[str, Any], files: list[int]) -> dict[str, Any]:
        try:
            if "prepare" in request:
                self.work.module.prepare(request["prepare"])
            elif request.get("kill") in self.children:
                os.kill(request["kill"], signal.SIGKILL)
            elif self.work.waits:
                return self._wait_for(request, files)
            elif "kill" not in request:
                self.children.add(pid := self._fork(request, files))
                return {"pid": pid}
            return {}
        except Exception as error:  # the process boundary: if preparation fails, the fork reports it
            return {"error": str(error)}
        finally:
            for fd in files:
                os.close(fd)

    def _fork(self, request: dict[str, Any], files: list[int]) -> int:
        pid = os.fork()
        if pid == 0:
            try:
                self.control.close()
                self.work.run(request, files)
            finally:
                os._exit(1)
        return pid

    def _wait_for(self, request: dict[str, Any], files: list[int]) -> dict[str, Any]:
        """How a fork ended, a status of `RunResult`; it is killed at its deadline or when the caller has gone."""
        started, tell_started = os.pipe()
        with os.fdopen(started, "rb", buffering=0) as report:
            try:
                pid = self._fork(request, [*files, tell_started])
            finally:
                os.close(tell_started)
            deadline, status = time.monotonic() + request["seconds"], ""
            while not status:
                done, code = os.waitpid(pid, os.WNOHANG)
                left = deadline - time.monotonic()
                if done:
                    status = "killed" if os.WIFSIGNALED(code) else "failed" if os.WEXITSTATUS(code) else "finished"
                elif left <= 0 or select.select([self.control], [], [], 0)[0]:
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)
                    status = "timeout"
                else:
                    signal.sigtimedwait([signal.SIGCHLD], min(left, 0.2))  # the signal is blocked, so it stays pending
            if self.work.leaves_processes:
                _end_descendants(pid)
            return {"status": status} if report.read(1) else {"error": "a fork could not confine itself"}


def _end_descendants(pid: int) -> None:
    """Kill the descendants of a fork: its session, and daemons that left it and were reparented to this process."""
    for _ in range(1000):
        with suppress(OSError):
            os.killpg(pid, signal.SIGKILL)
        with suppress(OSError), open(f"/proc/self/task/{os.getpid()}/children") as file:
            for orphan in file.read().split():
                os.kill(int(orphan), signal.SIGKILL)
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.002)
        except ChildProcessError:
            return


class Handler:
    """The first kind of fork: a function from JSON values to JSON values."""

    waits = False

    def __init__(self, config: dict[str, Any]) -> None:
        from trl_rlsp.verification.workers import _confine as confine  # not available in bare Python

        name, _, attribute = config["handler"].partition(":")
        self.module = importlib.import_module(name)
        self.handler = getattr(self.module, attribute)
        self.memory_mb = config["memory_mb"]
        getattr(self.module, "warm_up", lambda: None)()
        self.confinement = confine.Confinement(confine.available_layers(), confine.python_folders(packages=True))
        self.layers = self.confinement.layers

    def run(self, request: dict[str, Any], files: Sequence[int]) -> NoReturn:
        """Answer requests until the pool closes the channel."""
        channel = socket.socket(fileno=files[0])
        self.confinement.put_on(self.memory_mb)
        stream = channel.makefile("rb")
        while line := stream.readline(MAX_LINE):
            request, reply = json.loads(line), {}
            try:
                reply = {"value": self.handler(request["item"])}
            except (MemoryError, RecursionError):  # reported as neither a value nor an error
                pass
            except Exception as error:  # the process boundary: a handler's error is reported, not raised
                reply = {"error": f"{type(error).__name__}: {error}"[:500]}
            send(channel, reply | {"nonce": request["nonce"]})
            if "value" not in reply:  # a worker that failed on an item is not reused
                break
        os._exit(0)


class Program:
    """The second kind of fork: an untrusted program. Only the fork reads it and its input, never the server."""

    waits = True

    def __init__(self, config: dict[str, Any]) -> None:
        layers, packages, path = config["layers"], config["packages"], sys.path[:]
        sys.path[:0] = [os.path.dirname(__file__), *config["bindings"]]
        confine: Any = importlib.import_module("_confine")
        sys.path[:] = [*path, *packages]
        for name in _PRELOADED.split():
            importlib.import_module(name)
        find_spec("no_such_module")  # lists every folder of sys.path once
        readable = [*confine.standard_library(), *packages] if "landlock" in layers else []
        self.confinement = confine.Confinement(layers, readable, threads=True)
        self.leaves_processes = "seccomp" not in layers
        counted = confine.confine_server(readable, packages)
        self.layers = ["limits", *self.confinement.layers, *(["threads"] if counted else [])]
        for name in [name for name in sys.modules if name.split(".")[0] in ("_confine", "landlockpy", "seccompy")]:
            del sys.modules[name]
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])

    def run(self, request: dict[str, Any], files: Sequence[int]) -> NoReturn:
        """Become the program, with the fields of `Limits` and `threads` other threads that count toward the limit.

        The files: source text, input, output, error messages; a pipe to report that all layers are in force, so that
        earlier failures are not attributed to the program.
        """
        os.setsid()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
        with os.fdopen(files[0], "rb") as file:
            source = file.read()
        for standard, file_fd in enumerate(files[1:4]):
            os.dup2(file_fd, standard)
        limits = {name: request[name] for name in ("memory_mb", "output_bytes", "seconds")}
        self.confinement.put_on(**limits, processes=_MAX_PROCESSES + request["threads"])
        os.write(files[4], b"1")
        os.closerange(3, 1 << 16)
        _execute(source)


def _execute(source: bytes) -> NoReturn:
    """Run source text as `__main__` and exit like an interpreter: wait for threads, call exit handlers, flush."""
    sys.argv = ["main.py"]
    stream: Any = partial(open, encoding="utf-8", errors="surrogateescape", closefd=False)
    sys.stdin = sys.__stdin__ = stream(0)  # type: ignore[misc]
    stdout = sys.stdout = sys.__stdout__ = stream(1, "w")  # type: ignore[misc]
    for name in ("exit", "quit"):  # normally defined by `site`, which is not loaded
        setattr(builtins, name, _sitebuiltins.Quitter(name, "end of file"))
    module = types.ModuleType("__main__")
    module.__dict__["__builtins__"] = builtins
    sys.modules["__main__"] = module
    code = _exit_code(lambda: exec(compile(source, sys.argv[0], "exec", dont_inherit=True), module.__dict__))
    _exit_code(threading._shutdown)  # type: ignore[attr-defined]
    _exit_code(atexit._run_exitfuncs)
    os._exit(_exit_code(lambda: [stream.flush() for stream in (stdout, sys.stdout) if not stream.closed]) or code)


def _exit_code(run: Callable[[], object]) -> int:
    """The exit code of the interpreter, 0 or 1; the broad `except` is at the end of the process."""
    try:
        run()
    except SystemExit as leaving:
        return int(leaving.code not in (None, 0))
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
