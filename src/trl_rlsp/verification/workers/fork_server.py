"""The process that forks, run as a script: `python fork_server.py CONFIG`.

It imports once and then forks a confined process for each piece of untrusted work, which costs milliseconds where an
import of sympy costs a second. Two kinds of work: a *handler* answers JSON lines on a channel until that is closed; a
*program* (`trl_rlsp.verification.code.child`) runs once, and is waited for. The server itself never reads what is
not trusted. It ends, and takes its forks along, when its socket closes or its owner's process ends.

Both directions of the socket carry one line of JSON at a time, requests with open files; each request has one reply.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import time
import types
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NoReturn, Protocol

MAX_LINE = 4 << 20  # bytes of one request to a handler, or of its reply
_MAX_FILES = 4


class Work(Protocol):
    """A kind of work.

    Attributes:
        layers: what confines each fork.
        waits: whether a request is answered with how the fork ended, not with its process id.
        leaves_processes: whether a fork could start processes, to be ended after it.
    """

    layers: list[str]
    waits: bool
    leaves_processes: bool

    def prepare(self, value: str) -> None:
        """Get ready for something trusted, without limits."""

    def run(self, request: dict[str, Any], files: Sequence[int]) -> NoReturn:
        """Do the work, in the fork."""


def main() -> int:
    """Get ready, say so, and serve until nobody is there."""
    config = json.loads(sys.argv[1])
    control = socket.socket(fileno=config["control_fd"])
    try:
        work: Work = Handler(config) if config["handler"] else _program_work(config)
    except Exception as error:  # the process boundary: whatever it is, the owner must hear of it
        send(control, {"error": f"{type(error).__name__}: {error}"})
        return 1
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # from here on it ends in order, when the socket closes
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    send(control, {"layers": work.layers})
    gc.collect()
    gc.freeze()  # forks then share the pages of what is loaded now
    Server(control, config["owner_fd"], work).serve()
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
    """Answers requests, one at a time."""

    def __init__(self, control: socket.socket, owner_fd: int, work: Work) -> None:
        self.control = control
        self.owner_fd = owner_fd  # readable once the owner has ended; -1 where the system has no such thing
        self.parent = os.getppid()
        self.work = work
        self.children: set[int] = set()
        self.watch = select.poll()
        for fd in (control.fileno(), owner_fd):
            if fd >= 0:
                self.watch.register(fd, select.POLLIN)

    def serve(self) -> None:
        """Serve until the socket closes or the owner ends."""
        try:
            while True:
                events = self.watch.poll(500 if self.owner_fd < 0 else None)
                self._reap()
                if self._owner_is_gone(events):
                    return
                if events:
                    request, files = receive(self.control)
                    if request is None:
                        return
                    send(self.control, self._answer(request, files))
        finally:
            for pid in self.children:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)

    def _owner_is_gone(self, events: list[tuple[int, int]]) -> bool:
        if self.owner_fd < 0:
            return os.getppid() != self.parent
        return any(fd == self.owner_fd for fd, _ in events)

    def _answer(self, request: dict[str, Any], files: list[int]) -> dict[str, Any]:
        if "prepare" in request:
            with suppress(Exception):  # the process boundary: what was not prepared fails in the fork
                self.work.prepare(request["prepare"])
            return {}
        if "kill" in request:
            if request["kill"] in self.children:
                os.kill(request["kill"], signal.SIGKILL)
            return {}
        try:
            return self._fork(request, files)
        except OSError as error:
            return {"error": str(error)}
        finally:
            for fd in files:
                os.close(fd)

    def _fork(self, request: dict[str, Any], files: list[int]) -> dict[str, Any]:
        started, tell_started = os.pipe() if self.work.waits else (-1, -1)
        try:
            pid = os.fork()
            if pid == 0:
                try:
                    self.control.close()
                    self.work.run(request, [*files, tell_started])
                finally:
                    os._exit(1)
            if not self.work.waits:
                self.children.add(pid)
                return {"pid": pid}
            os.close(tell_started)
            tell_started = -1
            status = self._end_of(pid, request["seconds"])
            if self.work.leaves_processes:
                _end_descendants(pid)
            return {"status": status} if os.read(started, 1) else {"error": "a fork could not confine itself"}
        finally:
            for fd in (started, tell_started):
                if fd >= 0:
                    os.close(fd)

    def _end_of(self, pid: int, seconds: float) -> str:
        """How a fork ended, a `RunStatus`; it is killed at its deadline or when nobody waits for the answer."""
        deadline = time.monotonic() + seconds
        sleep = _sleep_until_end(pid)
        while True:
            done, code = os.waitpid(pid, os.WNOHANG)
            if done:
                return "killed" if os.WIFSIGNALED(code) else "failed" if os.WEXITSTATUS(code) else "finished"
            left = deadline - time.monotonic()
            if left <= 0 or self.watch.poll(0):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                return "timeout"
            sleep(left)

    def _reap(self) -> None:
        for pid in list(self.children):
            if os.waitpid(pid, os.WNOHANG)[0]:
                self.children.discard(pid)


def _sleep_until_end(pid: int) -> Callable[[float], object]:
    """A function that sleeps until a child ends, or for a while."""
    try:
        pidfd = os.fdopen(os.pidfd_open(pid), "rb", buffering=0)
    except (OSError, AttributeError):  # Linux before 5.3
        return lambda seconds: time.sleep(min(seconds, 0.005))
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    # At most 0.2 s, to notice that the owner is gone; the file closes with the function.
    return lambda seconds, _keep=pidfd: poll.poll(min(seconds, 0.2) * 1000 + 1)  # type: ignore[misc]


def _end_descendants(pid: int) -> None:
    """Kill what a fork left behind: its session, and daemons that left that and have become our children."""
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
    """Work of the first kind: a function of this package, JSON value in, JSON value out."""

    waits = leaves_processes = False

    def __init__(self, config: dict[str, Any]) -> None:
        from trl_rlsp.verification.workers.confine import Confinement, available_layers
        from trl_rlsp.verification.workers.landlock import python_folders

        name, _, attribute = config["handler"].partition(":")
        self.module = importlib.import_module(name)
        self.handler = getattr(self.module, attribute)
        self.memory_mb = config["memory_mb"]
        getattr(self.module, "warm_up", lambda: None)()
        self.confinement = Confinement(available_layers(), python_folders(packages=True))
        self.layers = self.confinement.layers

    def prepare(self, value: str) -> None:
        """Call the module's own `prepare`."""
        self.module.prepare(value)

    def run(self, request: dict[str, Any], files: Sequence[int]) -> NoReturn:
        """Answer requests until the pool closes the channel."""
        channel = socket.socket(fileno=files[0])
        self.confinement.put_on(self.memory_mb)
        stream = channel.makefile("rb")
        while line := stream.readline(MAX_LINE):
            reply = self._reply(json.loads(line))
            channel.sendall(json.dumps(reply).encode() + b"\n")
            if "value" not in reply:  # a worker that failed on an item is not reused
                break
        os._exit(0)

    def _reply(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            outcome = {"value": self.handler(request["item"])}
        except (MemoryError, RecursionError):
            outcome = {"fault": "resources"}
        except Exception as error:  # the process boundary: a handler's error is reported, not raised
            outcome = {"error": f"{type(error).__name__}: {error}"[:500]}
        return outcome | {"nonce": request["nonce"]}


def _program_work(config: dict[str, Any]) -> Work:
    """Work of the second kind; imported without the packages' `__init__`, and forgotten before any program runs."""
    sys.path[:0] = config["import_path"]
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    folders = {"": os.path.dirname(here), ".verification": here}
    folders |= {f".verification.{room}": os.path.join(here, room) for room in ("code", "workers")}
    for name, folder in folders.items():
        package = types.ModuleType(f"trl_rlsp{name}")
        package.__path__ = [folder]
        sys.modules[package.__name__] = package
    from trl_rlsp.verification.code.child import Program

    work = Program(config["layers"], config["packages"])
    for name in [name for name in sys.modules if name.split(".")[0] in ("trl_rlsp", "landlockpy", "seccompy")]:
        del sys.modules[name]
    sys.path[:] = [path for path in sys.path if path not in config["import_path"]] + config["packages"]
    return work


if __name__ == "__main__":
    sys.exit(main())
