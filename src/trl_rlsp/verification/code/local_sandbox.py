"""The sandbox on this machine: confined zygotes, as many as there are callers at one time.

Knows how many there are, replaces one that died, and keeps a fork of the trainer from sharing them. Knows
nothing of tests.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from trl_rlsp.errors import ConfigError, MissingDependencyError, WorkerError
from trl_rlsp.verification.code.run_result import Limits, RunResult
from trl_rlsp.verification.code.zygote_process import ZygoteProcess
from trl_rlsp.verification.workers.landlock import landlock_abi
from trl_rlsp.verification.workers.seccomp import seccomp_available

_BACKENDS = {
    "bubblewrap": ("namespaces",),
    "landlock": ("landlock", "seccomp"),
    "unsandboxed": (),
}
"""What each backend must have; each also takes what else the kernel offers."""

_open_sandboxes: weakref.WeakSet[LocalSandbox] = weakref.WeakSet()


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
        self._layers = [*_BACKENDS[backend], *_extra_layers(backend)] if layers is None else list(layers)
        self._lock = threading.Lock()
        self._idle: list[ZygoteProcess] = []
        _open_sandboxes.add(self)

    def run(self, program: str, stdin: str, limits: Limits) -> RunResult:
        """Run a program in a fresh process; see `Sandbox.run`.

        Args:
            program: Python source text.
            stdin: what it reads from standard input.
            limits: what it may use.

        Returns:
            How it ended and what it wrote.

        Raises:
            WorkerError: zygotes cannot be started, or died twice.
        """
        for _ in range(2):
            try:
                with self._zygote() as zygote:
                    return zygote.run(program, stdin, limits)
            except ConnectionError as error:
                failure = error
        if "seccomp" not in self._layers:  # then a program can kill what runs it
            return RunResult("killed")
        raise WorkerError(f"the process that runs programs died twice: {failure}") from failure

    def close(self) -> None:
        """End all processes; a later `run` starts new ones."""
        with self._lock:
            zygotes, self._idle = self._idle, []
        for zygote in zygotes:
            zygote.close()

    def forget(self) -> None:
        """After a fork, in the child: the processes and the lock belong to the parent."""
        self._lock = threading.Lock()
        zygotes, self._idle = self._idle, []
        for zygote in zygotes:
            zygote.forget()

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuilt, (self.backend, self._packages, self._layers)

    def __enter__(self) -> LocalSandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _zygote(self) -> Iterator[ZygoteProcess]:
        with self._lock:
            zygote = self._idle.pop() if self._idle else None
        zygote = zygote or ZygoteProcess(self._layers, self._packages)
        try:
            yield zygote
        except BaseException:
            zygote.close()
            raise
        with self._lock:
            self._idle.append(zygote)


def _rebuilt(backend: str, packages: list[str], layers: list[str]) -> LocalSandbox:
    return LocalSandbox(backend, packages=packages, layers=layers)


def _forget_all() -> None:
    for sandbox in list(_open_sandboxes):
        sandbox.forget()


@atexit.register
def _close_all() -> None:
    for sandbox in list(_open_sandboxes):
        sandbox.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)


def _extra_layers(backend: str) -> list[str]:
    offered = {"landlock": backend == "bubblewrap" and landlock_abi() > 0, "seccomp": seccomp_available()}
    return [layer for layer, there in offered.items() if there and layer not in _BACKENDS[backend]]
