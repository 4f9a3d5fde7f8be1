"""The sandbox on this machine: fork servers that run programs, as many as there are callers at one time.

Knows how many there are, replaces one that died, and keeps a fork of the trainer from sharing them. Knows
nothing of tests.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from trl_rlsp.errors import ConfigError, MissingDependencyError, WorkerError
from trl_rlsp.verification.code.bubblewrap import bubblewrap_command
from trl_rlsp.verification.code.run_result import MESSAGE_BYTES, Limits, RunResult
from trl_rlsp.verification.workers.confine import available_layers, missing_protection, threads_of_user
from trl_rlsp.verification.workers.server_process import ForkServer, ServerGone, register

_BACKENDS = {
    "bubblewrap": ("namespaces",),
    "landlock": ("landlock", "seccomp"),
    "unsandboxed": (),
}
"""What each backend must have; each also takes what else the kernel offers."""

_HELLO_SECONDS = 30.0
_GRACE_SECONDS = 10.0  # beyond a program's own limit, before the server itself is taken for dead
_BINDINGS = ("landlockpy", "seccompy")
_logger = logging.getLogger(__name__)


class LocalSandbox:
    """Runs programs in forks of confined processes; safe to use from several threads and after a fork.

    Example:
        >>> with LocalSandbox("landlock") as sandbox:  # doctest: +SKIP
        ...     sandbox.run("print(int(input()) + 1)", "41", Limits())
        RunResult(status='finished', stdout=b'42\\n')
    """

    def __init__(self, backend: str, *, packages: Sequence[str] = (), layers: Sequence[str] | None = None) -> None:
        """Choose the isolation; no process is started yet.

        Args:
            backend: `"bubblewrap"`, `"landlock"` or `"unsandboxed"`.
            packages: folders that programs may import from besides the standard library, such as a
                `site-packages` with numpy.
            layers: of `"namespaces"`, `"landlock"`, `"seccomp"`; by default what the backend needs and what
                else the kernel offers, without the limits on files for `"unsandboxed"`.

        Raises:
            ConfigError: an unknown backend.
            MissingDependencyError: not on Linux.
        """
        if sys.platform != "linux":
            raise MissingDependencyError(
                f"programs can be run locally on Linux only, this is {sys.platform}; pass a remote sandbox"
            )
        if backend not in _BACKENDS:
            raise ConfigError(f"the sandbox must be one of {sorted(_BACKENDS)}, got {backend!r}")
        self.backend = backend
        self._packages = [os.path.abspath(folder) for folder in packages]
        extra = [layer for layer in available_layers() if layer == "seccomp" or backend == "bubblewrap"]
        self._layers = list(dict.fromkeys([*_BACKENDS[backend], *extra])) if layers is None else list(layers)
        self.forget()
        register(self)

    def forget(self) -> None:
        """After a fork, in the child: the processes and the lock belong to the parent."""
        for server in getattr(self, "_idle", ()):
            server.forget()
        self._lock = threading.Lock()
        self._idle: list[ForkServer] = []
        self._confined_by: list[str] | None = None
        self._counted = (float("-inf"), 0)  # when, threads of this user

    def run(self, program: str, stdin: str, limits: Limits) -> RunResult:
        """Run a program in a fresh process; see `Sandbox.run`.

        Args:
            program: Python source text.
            stdin: what it reads from standard input.
            limits: what it may use.

        Returns:
            How it ended and what it wrote.

        Raises:
            WorkerError: servers cannot be started, or died twice.
        """
        for _ in range(2):
            try:
                with self._server() as server:
                    return self._ask(server, program, stdin, limits)
            except (ServerGone, TimeoutError) as error:
                failure = error
        if "seccomp" not in self._layers:  # then a program can kill what runs it
            return RunResult("killed")
        raise WorkerError(f"the process that runs programs died twice: {failure}") from failure

    def _ask(self, server: ForkServer, program: str, stdin: str, limits: Limits) -> RunResult:
        with ExitStack() as stack:
            files = [stack.enter_context(_file(text)) for text in (program, stdin, "", "")]
            request = asdict(limits) | {"threads": self._others()}
            reply = server.ask(request, [file.fileno() for file in files], limits.seconds + _GRACE_SECONDS)
            if "status" not in reply:
                raise ServerGone(reply["error"])
            stdout = os.pread(files[2].fileno(), limits.output_bytes, 0)
            return RunResult(reply["status"], stdout, _tail(files[3].fileno()))

    def close(self) -> None:
        """End all processes; a later `run` starts new ones."""
        with self._lock:
            servers, self._idle = self._idle, []
        for server in servers:
            server.close()

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuilt, (self.backend, self._packages, self._layers)

    def __enter__(self) -> LocalSandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _server(self) -> Iterator[ForkServer]:
        with self._lock:
            server = self._idle.pop() if self._idle else None
        server = server or self._start()
        try:
            yield server
        except BaseException:
            server.close()
            raise
        with self._lock:
            self._idle.append(server)

    def _start(self) -> ForkServer:
        bindings = [Path(spec.origin).parent for spec in map(find_spec, _BINDINGS) if spec and spec.origin]
        config = {"handler": None, "layers": self._layers, "packages": self._packages}
        prefix: list[str] = []
        if "namespaces" in self._layers:
            readable = [Path(__file__).parents[1], *bindings, *self._packages]
            prefix = bubblewrap_command([str(path) for path in readable])
        import_path = sorted({str(path.parent) for path in bindings})
        server = ForkServer(config | {"import_path": import_path}, bare=True, prefix=prefix)
        confined_by = server.hello(_HELLO_SECONDS)
        if self._confined_by is None and self.backend != "unsandboxed":
            expected = ["seccomp", *([] if prefix else ["landlock"]), *(["threads"] if os.geteuid() == 0 else [])]
            missing = missing_protection(confined_by, expected)
            if missing:
                _logger.warning("%s", missing)
        self._confined_by = confined_by
        return server

    def _others(self) -> int:
        """Threads of this user, where the sandbox's own are counted among them; counted at most once a second."""
        if "threads" in (self._confined_by or ()) or "namespaces" in self._layers:
            return 0
        if time.monotonic() - self._counted[0] > 1:
            self._counted = time.monotonic(), threads_of_user()
        return self._counted[1]


def _rebuilt(backend: str, packages: list[str], layers: list[str]) -> LocalSandbox:
    return LocalSandbox(backend, packages=packages, layers=layers)


def _tail(fd: int) -> bytes:
    size = os.fstat(fd).st_size
    return os.pread(fd, MESSAGE_BYTES, max(0, size - MESSAGE_BYTES))


def _file(text: str) -> IO[bytes]:
    """An open file without a name, at its start: the kernel holds the data, no pipe can fill up."""
    file: IO[bytes] = os.fdopen(os.memfd_create("sandbox"), "r+b", buffering=0)
    data = text.encode("utf-8", errors="surrogatepass")
    view = memoryview(data)
    while view:
        view = view[file.write(view) or 0 :]
    file.seek(0)
    return file
