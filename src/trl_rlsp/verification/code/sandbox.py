"""Run untrusted programs, and the result of a run.

A sandbox is any object with `run(program, stdin, limits) -> RunResult`, on this machine or a remote service. It sees
neither the tests nor the expected output; the caller compares.
"""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from functools import cache, partial
from importlib.util import find_spec
from typing import IO, Any, Literal

from trl_rlsp.errors import ConfigError, MissingDependencyError
from trl_rlsp.verification.workers import _confine
from trl_rlsp.verification.workers._server import ForkServer, ServerGone, has_ended, owners

_MESSAGE_BYTES = 2000
_HELLO_SECONDS = 30.0
_GRACE_SECONDS = 10.0  # beyond a program's own limit, before the server is considered dead
_PROBE_SECONDS = 10.0
_BINDINGS = ("landlockpy", "seccompy")
_BACKENDS = {"bubblewrap": ("namespaces",), "landlock": ("landlock", "seccomp"), "unsandboxed": ()}
"""The layers each backend requires; each also uses the other layers that the kernel offers."""


@dataclass(frozen=True)
class Limits:
    """Resource limits for one run of a program."""

    seconds: float = 5.0  # wall-clock time; the CPU time limit is one second more
    memory_mb: int = 512  # MiB of address space on top of the bare interpreter's
    output_bytes: int = 1024 * 1024  # bytes of standard output; writing more fails


@dataclass(frozen=True)
class RunResult:
    """How a run ended: `finished` with exit code 0, `failed` with another, `killed` by a signal, or timed out."""

    status: Literal["finished", "failed", "killed", "timeout"]
    stdout: bytes = b""  # at most `Limits.output_bytes`, not necessarily text
    stderr: bytes = b""  # the end of standard error; for people, never for scoring


Runner = Callable[[str, str, Limits], RunResult]
"""Runs a Python program (source text) in a fresh process with the second text as standard input; must be thread-safe.

It raises only for failures of its own, not of the program."""


class LocalSandbox:
    """Runs programs in forks of confined processes, on Linux; safe to use from several threads and after a fork.

    The `backend` is `"bubblewrap"`, `"landlock"` or `"unsandboxed"`. Programs may import from the folders `packages`
    and the standard library. `layers` (`"namespaces"`, `"landlock"`, `"seccomp"`) default to those the backend requires
    and others that the kernel offers; `"unsandboxed"` has no file restrictions.
    """

    def __init__(self, backend: str, *, packages: Sequence[str] = (), layers: Sequence[str] | None = None) -> None:
        if sys.platform != "linux":
            raise MissingDependencyError(f"programs run on Linux only, not on {sys.platform}; pass a remote sandbox")
        if backend not in _BACKENDS:
            raise ConfigError(f"the sandbox must be one of {sorted(_BACKENDS)}, got {backend!r}")
        self.backend = backend
        self._packages = [os.path.abspath(folder) for folder in packages]
        extra = [layer for layer in _confine.available_layers() if layer == "seccomp" or backend == "bubblewrap"]
        self._layers = list(dict.fromkeys([*_BACKENDS[backend], *extra])) if layers is None else list(layers)
        self.forget()
        owners.add(self)

    def forget(self) -> None:
        """In a forked child: forget the processes, which belong to the parent."""
        self._idle: list[ForkServer] = []

    def run(self, program: str, stdin: str, limits: Limits) -> RunResult:
        """Run a program in a fresh process; `WorkerError` if that is not possible."""
        try:
            server = self._idle.pop()
        except IndexError:
            server = self._start()
        if has_ended(server.socket):
            server = self._start()
        with ExitStack() as stack:
            files = [stack.enter_context(_file(text)).fileno() for text in (program, stdin, "", "")]
            alone = "threads" in server.layers or "namespaces" in self._layers
            request = asdict(limits) | {"threads": 0 if alone else _confine.threads_of_user()}
            try:
                reply = server.ask(request, files, limits.seconds + _GRACE_SECONDS)
                if "status" not in reply:
                    raise ServerGone(reply["error"])
            except BaseException as error:
                server.close()
                if isinstance(error, ServerGone) and "seccomp" not in self._layers:  # a program can kill its server
                    return RunResult("killed")
                raise
            self._idle.append(server)
            messages = os.pread(files[3], _MESSAGE_BYTES, max(0, os.fstat(files[3]).st_size - _MESSAGE_BYTES))
            return RunResult(reply["status"], os.pread(files[2], limits.output_bytes, 0), messages)

    def close(self) -> None:
        """End all processes; a later `run` starts new ones."""
        servers, self._idle = self._idle, []
        for server in servers:
            server.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(LocalSandbox, packages=self._packages, layers=self._layers), (self.backend,)

    def __enter__(self) -> LocalSandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> ForkServer:
        bindings = [os.path.dirname(spec.origin) for spec in map(find_spec, _BINDINGS) if spec and spec.origin]
        folders = sorted(set(map(os.path.dirname, bindings)))
        config = {"layers": self._layers, "packages": self._packages, "bindings": folders}
        readable = [os.path.dirname(_confine.__file__), *bindings, *self._packages]
        prefix = bubblewrap_command(readable) if "namespaces" in self._layers else []
        server = ForkServer(config, bare=True, prefix=prefix)
        expected = ["seccomp", *([] if prefix else ["landlock"]), *(["threads"] if os.geteuid() == 0 else [])]
        server.hello(_HELLO_SECONDS, expected if self.backend != "unsandboxed" else ())
        return server


def _file(text: str) -> IO[bytes]:
    """An anonymous open file, positioned at its start: unlike a pipe, it cannot fill up."""
    file: IO[bytes] = os.fdopen(os.memfd_create("sandbox"), "w+b")
    file.write(text.encode("utf-8", errors="surrogatepass"))
    file.seek(0)
    return file


def available_backend() -> str | None:
    """The strongest isolation on this machine: `"bubblewrap"`, else `"landlock"` with seccomp, else `None`."""
    if bubblewrap_privileges():
        return "bubblewrap"
    return "landlock" if len(_confine.available_layers()) == 2 else None


def require_sandbox(columns: Iterable[str]) -> None:
    """Raise `MissingDependencyError` if problems (`tests`) need a sandbox and there is none; run before training."""
    if "tests" in columns:
        find_sandbox(False)


@cache
def find_sandbox(allow_unsandboxed: bool = False) -> LocalSandbox:
    """The local sandbox shared by this process; it starts processes on first use and closes itself at exit.

    If this machine offers no isolation: `MissingDependencyError`, or a warning once and resource limits only.
    """
    backend = available_backend()
    if backend is None and not allow_unsandboxed:
        raise MissingDependencyError(
            "programs of completions run only in a sandbox, and this machine has none (bubblewrap not usable; "
            f"Landlock and seccomp: {_confine.available_layers() or 'neither'}). `apt-get install bubblewrap`, or `pip "
            "install landlockpy seccompy` on a kernel >= 5.13 with Landlock enabled; or pass a remote sandbox; or, for "
            "programs you trust, allow_unsandboxed=True"
        )
    if backend is None:
        warning = "programs of completions run WITHOUT a sandbox: they can read and delete your files"
        warnings.warn(warning, RuntimeWarning, stacklevel=2)
    return LocalSandbox(backend or "unsandboxed")


# Bubblewrap (source: bwrap(1)): separate namespaces, with only Python's files mounted, read-only.
_NAMESPACES = ("--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try")
_OWN_DEVICES = ("--clearenv", "--new-session", "--dev", "/dev", "--proc", "/proc")
_USER_NAMESPACE = ("--unshare-user", "--cap-drop", "ALL")
_ROOT = ("--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", "--cap-add", "CAP_DAC_READ_SEARCH")


def bubblewrap_command(readable: Iterable[str], privileges: Iterable[str] | None = None) -> list[str]:
    """Command-line prefix that runs a command in namespaces in which Python and `readable` are mounted."""
    rights = privileges or bubblewrap_privileges() or _USER_NAMESPACE
    command = [shutil.which("bwrap") or "bwrap", *_NAMESPACES, *rights, *_OWN_DEVICES]
    library = _confine.library_folders()
    packages = {os.path.join(folder, name) for folder in library for name in _confine.NOT_THE_LIBRARY}
    found = {path for folder in _confine.LIBRARY_FOLDERS for path in glob.glob(f"{os.path.realpath(folder)}/python*")}
    hidden = sorted(filter(os.path.isdir, packages | found - {*library}))  # inside mounted folders
    for path in (*_confine.python_folders(), os.path.realpath(sys.executable)):
        command += ["--ro-bind-try", path, path]
    for path in hidden:
        command += ["--tmpfs", path]
    for path in readable:  # possibly inside hidden folders
        command += ["--ro-bind-try", path, path]
    for path in (*hidden, "/dev", "/"):
        command += ["--remount-ro", path]
    return [*command, "--chdir", "/", "--setenv", "PYTHONHASHSEED", "0"]


@cache
def bubblewrap_privileges() -> tuple[str, ...] | None:
    """Options with which `bwrap` can start Python here: as root, without a user namespace; `None` if it cannot."""
    if shutil.which("bwrap") is None:
        return None
    for options in (_ROOT, _USER_NAMESPACE) if os.geteuid() == 0 else (_USER_NAMESPACE,):
        command = [*bubblewrap_command((), options), os.path.realpath(sys.executable), "-I", "-S", "-c", "pass"]
        with suppress(OSError, subprocess.SubprocessError):
            subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PROBE_SECONDS, check=True)
            return options
    return None
