"""Warm worker processes with hard limits, for text that nobody vouches for.

Promises: `run` returns within its deadline whatever the items do, on any thread, in a forked or a spawned process;
an item that hangs, crashes or eats memory costs its own worker and nothing else; nothing outlives the process that
started the pool; nothing runs before `start` or the first `run`.

Why not a library. `multiprocessing`'s spawn and forkserver run the user's unguarded training script again in the
child, its fork copies a process full of threads and CUDA state, and its results are pickles, which a worker that
evaluates a model's text must not be allowed to send. `pebble` and `concurrent.futures` are built on it, and replace
a killed worker by a cold one, an import of sympy later. Here a fresh interpreter (the nursery, see `nursery.py`)
imports once and forks ready workers on demand, and both sides speak JSON lines over socket pairs.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Sequence
from typing import Any

from trl_rlsp.errors import ConfigError, WorkerError
from trl_rlsp.verification.workers.batch import Batch, NurseryGone, Reply, Worker
from trl_rlsp.verification.workers.cores import fitting_workers
from trl_rlsp.verification.workers.nursery import NUMBER

__all__ = ["Reply", "WorkerPool"]

_live_pools: weakref.WeakSet[WorkerPool] = weakref.WeakSet()
_fork_hook_set = False


class WorkerPool:
    """Runs a handler on items in worker processes.

    Args:
        handler: `package.module:function`, imported in the workers only. It takes and returns JSON values.
        workers: processes that work at the same time. Each rank of a distributed run has a pool of its own, with at
            most its share of the machine's cores (see `trl_rlsp.verification.workers.cores`).
        spares: further warm processes that wait to take a killed worker's place.
        memory_mb: address space each worker may add to what it has after its imports, in MiB.
        start_seconds: how long the workers may take to import the handler.
    """

    def __init__(
        self,
        handler: str,
        *,
        workers: int = 2,
        spares: int = 1,
        memory_mb: int = 1024,
        start_seconds: float = 120.0,
    ) -> None:
        if workers < 1 or spares < 0 or memory_mb < 64:
            raise ConfigError(
                "a worker pool needs workers >= 1, spares >= 0 and memory_mb >= 64, "
                f"got workers={workers}, spares={spares}, memory_mb={memory_mb}"
            )
        self.handler = handler
        self.workers = fitting_workers(workers)
        self.spares = spares
        self.memory_mb = memory_mb
        self.start_seconds = start_seconds
        self._forget()

    def _forget(self) -> None:
        """A state without processes, as after construction."""
        self._lock = threading.RLock()
        self._nursery: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._ready = False
        self._idle: deque[Worker] = deque()
        self._prepared: set[str] = set()
        self._finalizer: weakref.finalize[..., WorkerPool] | None = None

    def start(self) -> None:
        """Start the workers without waiting for them. Calling it again does nothing."""
        with self._lock:
            if self._nursery is not None and self._nursery.poll() is None:
                return
            if os.name != "posix":
                raise WorkerError("worker pools need a POSIX system (Linux or macOS)")
            self._discard()
            ours, theirs = socket.socketpair()
            _register(self)
            with theirs:
                self._nursery = self._launch(theirs)
            self._control = ours
            self._finalizer = weakref.finalize(self, _end, ours, self._nursery)

    def _launch(self, control: socket.socket) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-P", "-m", "trl_rlsp.verification.workers.nursery"]
        arguments = [self.handler, str(control.fileno()), str(self.memory_mb)]
        try:
            return subprocess.Popen(
                command + arguments,
                env=_environment(),
                pass_fds=[control.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the trainer; the nursery leaves when the trainer does
            )
        except OSError as error:
            raise WorkerError(f"cannot start worker processes with {sys.executable}: {error}") from error

    def run(
        self, items: Sequence[Any], *, limit: float, deadline: float | None = None, fresh: bool = False
    ) -> list[Reply]:
        """Run the handler on each item.

        Args:
            items: JSON values.
            limit: wall-clock seconds an item may take once a worker has it.
            deadline: wall-clock seconds the whole call may take, not counting the pool's first start.
            fresh: a process of its own for each item, so that nothing of one can reach another.

        Returns:
            One reply per item, in order.

        Raises:
            WorkerError: the workers cannot be started.
        """
        if not items:
            return []
        with self._lock:
            self._ensure_ready()
            ends = float("inf") if deadline is None else time.monotonic() + deadline
            batch = Batch(self, items, limit, ends, fresh)
            try:
                return batch.run()
            except NurseryGone:  # killed from outside, by the system's memory killer for one
                self._discard()
                self._ensure_ready()
                return batch.run()

    def close(self) -> None:
        """End all processes of the pool and wait until they are gone. The pool may be used again."""
        with self._lock:
            self._discard()

    def __enter__(self) -> WorkerPool:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if not k.startswith("_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    def _ensure_ready(self) -> None:
        """Wait for the nursery; restart one that died."""
        self.start()
        if not self._ready:
            message = self._handshake()
            if "ready" not in message:
                self._discard()
                raise WorkerError(f"the worker processes for {self.handler} failed to start: {message['error']}")
            self._ready = True
            for _ in range(self.workers + self.spares):
                self._idle.append(self.fork())

    def _handshake(self) -> dict[str, Any]:
        assert self._control is not None
        self._control.settimeout(self.start_seconds)
        line = bytearray()
        try:
            while not line.endswith(b"\n") and len(line) < 4096:
                byte = self._control.recv(1)
                if not byte:
                    return {"error": "the process ended while importing"}
                line += byte
        except TimeoutError:
            return {"error": f"not ready after {self.start_seconds:g} s"}
        return json.loads(line)

    def prepare(self, value: str) -> None:
        """Have the workers' common ancestor call the handler module's `prepare(value)`, once for each value.

        For trusted values only: it runs without the workers' limits.
        """
        with self._lock:
            if value in self._prepared:
                return
            self._ensure_ready()
            assert self._control is not None
            data = value.encode()
            self._control.sendall(b"P" + len(data).to_bytes(NUMBER, "big") + data)
            self._prepared.add(value)
            for worker in [self._idle.popleft() for _ in range(len(self._idle))]:
                self.kill(worker)
            while len(self._idle) < self.workers + self.spares:
                self._idle.append(self.fork())

    def fork(self) -> Worker:
        """A fresh warm worker."""
        assert self._control is not None
        try:
            self._control.sendall(b"F")
            pid, fds, _, _ = socket.recv_fds(self._control, NUMBER, 1)
        except OSError as error:
            raise NurseryGone(f"the worker processes for {self.handler} are gone: {error}") from error
        if not fds:
            raise NurseryGone(f"the worker processes for {self.handler} are gone")
        return Worker(int.from_bytes(pid, "big"), socket.socket(fileno=fds[0]))

    def check(self) -> None:
        """Raise `NurseryGone` if the nursery has ended: its workers then died with it, not of their items."""
        assert self._control is not None
        watch = select.poll()  # not select(): a trainer may have more than 1024 files open
        watch.register(self._control, select.POLLIN)
        if watch.poll(0):  # the nursery never speaks first: this is its end
            raise NurseryGone(f"the worker processes for {self.handler} are gone")

    def take(self) -> Worker:
        """An idle worker, forked if there is none."""
        return self._idle.popleft() if self._idle else self.fork()

    def give(self, worker: Worker) -> None:
        """Return a healthy worker."""
        self._idle.append(worker)

    def kill(self, worker: Worker) -> None:
        """End a worker at once; a warm one takes its place."""
        assert self._control is not None
        worker.channel.close()
        with contextlib.suppress(OSError):  # the nursery is gone, and its workers with it
            self._control.sendall(b"K" + worker.pid.to_bytes(NUMBER, "big"))
        if len(self._idle) < self.spares:
            self._idle.append(self.fork())

    def _discard(self) -> None:
        for worker in self._idle:
            worker.channel.close()
        if self._finalizer is not None:
            self._finalizer()
        self._idle.clear()
        self._prepared.clear()
        self._control = self._nursery = None
        self._ready = False

    def _after_fork(self) -> None:
        """In a forked child: the processes belong to the parent, only the copies of the sockets are closed."""
        for worker in self._idle:
            worker.channel.close()
        if self._finalizer is not None:
            self._finalizer.detach()
        if self._control is not None:
            self._control.close()
        if self._nursery is not None:
            self._nursery.returncode = 0  # not this process's child: do not wait for it
        self._forget()


def _environment() -> dict[str, str]:
    """What a worker may know: where code is, and nothing else (no tokens, no GPU)."""
    kept = {k: os.environ[k] for k in ("PATH", "LANG", "LC_ALL", "TMPDIR") if k in os.environ}
    paths = [os.path.abspath(entry) for entry in sys.path if entry]
    return kept | {
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONHASHSEED": "0",
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }


def _end(control: socket.socket, process: subprocess.Popen[bytes]) -> None:
    """Have the nursery end its workers and itself; also at interpreter exit and when the pool is collected."""
    control.close()
    process.terminate()  # a nursery that still imports has no workers and may just stop
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _register(pool: WorkerPool) -> None:
    """Have a forked child forget the pools of its parent."""
    global _fork_hook_set
    _live_pools.add(pool)
    if not _fork_hook_set:
        _fork_hook_set = True
        os.register_at_fork(after_in_child=_forget_parents_pools)


def _forget_parents_pools() -> None:
    for pool in list(_live_pools):
        pool._after_fork()
