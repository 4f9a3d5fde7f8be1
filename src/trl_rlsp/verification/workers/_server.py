"""A running fork server, seen from the trainer: start it, ask it, end it; and how many workers a rank may have.

`multiprocessing` and what is built on it run the user's unguarded script again in the child or copy its threads and
CUDA state, and take pickles from workers; who works on a model's text must not be allowed to send these.
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
"""Servers and what has them. In a forked child each is told to `forget()`: the processes belong to the parent."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: [owner.forget() for owner in list(owners)])


class ServerGone(WorkerError):
    """The server has ended, or this machine cannot start or fork it now."""


class ForkServer:
    """The process and the socket to it; for one caller at a time. It ends with this object and this process.

    `fork_server.py` is told `config`; `bare` Python is without installed packages and environment; the `prefix` of its
    command line puts it into a sandbox.
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
                start_new_session=True,  # Ctrl-C is for the trainer; the server leaves when the trainer does
            )
        except OSError as error:
            self.socket.close()
            raise ServerGone(f"worker processes cannot be started with {sys.executable}: {error}") from error
        finally:
            theirs.close()
        self._finalizer = weakref.finalize(self, _end, self.socket, self.process)
        owners.add(self)

    def hello(self, seconds: float, expected: Sequence[str]) -> None:
        """Wait until the server is ready and has told the `layers` that confine its forks; warn once of missing ones.

        `WorkerError` where it says why it cannot do its work, a missing module for one; `ServerGone` if it has ended.
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
        """Send a message, if any, and wait for the reply; `ServerGone` if there is none, or not within `seconds`."""
        reply, why = None, "closed"
        try:
            self.socket.settimeout(seconds)
            if message is not None:
                send(self.socket, message, files)
            reply, _ = receive(self.socket)
        except OSError as error:
            why = str(error)
        finally:
            if reply is None:  # also after an interrupt: a late reply must not be taken for the next one's
                self.socket.close()
        if reply is None:
            raise ServerGone(f"the worker processes are gone: {why}")
        return reply

    def close(self) -> None:
        """End the server and all its forks, and wait until they are gone."""
        self._finalizer()

    def forget(self) -> None:
        """In a forked child: close our copy of the socket, without waiting for a process that is not ours."""
        self._finalizer.detach()
        self.socket.close()
        self.process.returncode = 0


@cache
def _warn_once(message: str) -> None:
    if message:
        _logger.warning("%s", message)


def has_ended(channel: socket.socket) -> bool:
    """Whether this end or the other is closed; between requests that never speaks, so anything it says is its end."""
    if channel.fileno() < 0:
        return True
    watch = select.poll()  # not select(): a trainer may have more than 1024 files open
    watch.register(channel, select.POLLIN)
    return bool(watch.poll(0))


def _end(control: socket.socket, process: subprocess.Popen[bytes]) -> None:
    """Have a server end its forks and itself; also at interpreter exit and when its object is collected."""
    control.close()
    process.terminate()  # a server that still imports has no forks and may just stop
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
    """What a worker may know: where code is, and nothing else (no tokens, no GPU)."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TMPDIR") if name in os.environ}
    fixed = {"PYTHONHASHSEED": "0", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return kept | fixed | {"PYTHONPATH": os.pathsep.join(os.path.abspath(entry) for entry in sys.path if entry)}


def fitting_workers(asked: int | None = None) -> int:
    """The number of workers asked for, or of cores; among several ranks on this machine at most this one's share.

    That is the cores of its launcher over the ranks, or its own if fewer: some ranks are bound to cores of their own.
    """
    told = os.environ.get("LOCAL_WORLD_SIZE", "")
    ranks = int(told) if told.isdecimal() else 1
    if ranks <= 1:
        return asked or _cores_of(0)
    share = max(1, min(_cores_of(0), _cores_of(os.getppid()) // ranks))
    return min(asked or share, share)


def _cores_of(process: int) -> int:
    """Cores that a process may run on; 0 is this one."""
    with suppress(AttributeError, OSError):  # on macOS; it is gone, or not ours to ask about
        return len(os.sched_getaffinity(process))
    return os.cpu_count() or 1
