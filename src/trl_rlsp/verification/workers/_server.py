"""The trainer's side of a fork server: start it, send requests, stop it; and how many workers a rank may use.

`multiprocessing` is not used: it reruns the user's unguarded script in the child or copies its threads and CUDA state,
and it unpickles data from workers. A worker that handles a model's text must not be allowed to send pickles.
"""

from __future__ import annotations

import json
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from trl_rlsp.errors import WorkerError
from trl_rlsp.verification.workers._confine import missing_protection
from trl_rlsp.verification.workers.fork_server import receive, send

_CLOSE_SECONDS = 5.0

_logger = logging.getLogger(__name__)

owners: weakref.WeakSet[Any] = weakref.WeakSet()
"""Servers and their owners. In a forked child, `forget()` is called on each: the processes belong to the parent."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: [owner.forget() for owner in list(owners)])


class ServerGone(WorkerError):
    """The server has ended, or this machine cannot start or fork one now."""


class ForkServer:
    """The server process and the socket to it; for one caller at a time. It ends with this object and this process.

    `config` is passed to `fork_server.py`; `bare` runs Python without installed packages and environment; `prefix` is
    put before its command line, to start it in a sandbox.
    """

    def __init__(self, config: dict[str, Any], *, bare: bool = False, prefix: Sequence[str] = ()) -> None:
        self.socket, theirs = socket.socketpair()
        config = config | {"control_fd": theirs.fileno()}
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by hello
        try:
            self.process = subprocess.Popen(
                [*prefix, *_python(bare), json.dumps(config)],
                env={"PYTHONHASHSEED": "0"} if bare else _environment(),
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                start_new_session=True,  # Ctrl-C is for the trainer; the server ends when the trainer does
            )
        except OSError as error:
            self.socket.close()
            raise ServerGone(f"worker processes cannot be started with {sys.executable}: {error}") from error
        finally:
            theirs.close()
        self._finalizer = weakref.finalize(self, _end, self.socket, self.process)
        owners.add(self)

    def hello(self, seconds: float, expected: Sequence[str]) -> None:
        """Wait until the server is ready and has sent the `layers` that confine its forks; warn once of missing ones.

        `WorkerError` if the server reports that it cannot run, for example without a module; `ServerGone` if it ended.
        """
        kind = WorkerError
        with self._errors:
            try:
                message = self.ask(None, seconds=seconds)
            except ServerGone as error:
                kind = ServerGone
                self._errors.seek(0)
                message = {"error": self._errors.read().decode(errors="replace").strip()[-500:] or str(error)}
        if "error" in message:
            self.process.kill()
            self.close()
            raise kind(f"worker processes failed to start: {message['error']}")
        self.layers: list[str] = message["layers"]
        _warn_once(missing_protection(self.layers, expected))

    def ask(
        self, message: dict[str, Any] | None, files: Sequence[int] = (), seconds: float | None = None
    ) -> dict[str, Any]:
        """Send a message, if any, and wait for the reply; `ServerGone` if none arrives within `seconds`."""
        reply, why = None, "closed"
        try:
            self.socket.settimeout(seconds)
            if message is not None:
                send(self.socket, message, files)
            reply, _ = receive(self.socket)
        except OSError as error:
            why = str(error)
        finally:
            if reply is None:  # also after an interrupt: a late reply must not be taken for the next one
                self.socket.close()
        if reply is None:
            raise ServerGone(f"the worker processes are gone: {why}")
        return reply

    def close(self) -> None:
        """Stop the server and all its forks, and wait until they have ended."""
        self._finalizer()

    def forget(self) -> None:
        """In a forked child: close this copy of the socket, without waiting for the parent's process."""
        self._finalizer.detach()
        self.socket.close()
        self.process.returncode = 0


@cache
def _warn_once(message: str) -> None:
    if message:
        _logger.warning("%s", message)


def has_ended(channel: socket.socket) -> bool:
    """Whether either end is closed; between requests the other end sends nothing, so any event means it is closed."""
    if channel.fileno() < 0:
        return True
    watch = select.poll()  # not select(): a trainer may have more than 1024 files open
    watch.register(channel, select.POLLIN)
    return bool(watch.poll(0))


def _end(control: socket.socket, process: subprocess.Popen[bytes]) -> None:
    """Make a server end its forks and itself; also called at interpreter exit and when its object is collected."""
    control.close()
    process.terminate()  # a server that is still importing has no forks and can simply stop
    try:
        process.wait(timeout=_CLOSE_SECONDS)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _python(bare: bool) -> list[str]:
    python = [os.path.realpath(sys.executable), "-s", "-S", "-B"] if bare else [sys.executable]
    return [*python, "-P", str(Path(__file__).with_name("fork_server.py"))]


def _environment() -> dict[str, str]:
    """The environment of a worker: only where code is (no tokens, no GPU)."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TMPDIR") if name in os.environ}
    fixed = {"PYTHONHASHSEED": "0", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return kept | fixed | {"PYTHONPATH": os.pathsep.join(os.path.abspath(entry) for entry in sys.path if entry)}


def fitting_workers(asked: int | None = None) -> int:
    """The requested number of workers, by default of cores; with several ranks per machine at most this rank's share.

    The share is the launcher's cores divided by the ranks, or the rank's own cores if fewer (it may be bound to some).
    """
    launched = os.environ.get("LOCAL_WORLD_SIZE", "")
    ranks = int(launched) if launched.isdecimal() else 1
    if ranks <= 1:
        return asked or _cores_of(0)
    share = max(1, min(_cores_of(0), _cores_of(os.getppid()) // ranks))
    return min(asked or share, share)


def _cores_of(process: int) -> int:
    """Number of cores that a process may run on; process 0 is this one."""
    with suppress(AttributeError, OSError):  # macOS; the process has ended, or access is denied
        return len(os.sched_getaffinity(process))
    return os.cpu_count() or 1
