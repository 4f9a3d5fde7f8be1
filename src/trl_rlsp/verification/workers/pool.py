"""Warm worker processes with hard limits, for text that nobody vouches for.

Promises: `run` returns within its deadline whatever the items do, on any thread, in a forked or a spawned process;
an item that hangs, crashes or eats memory costs its own worker and nothing else; nothing outlives the process that
started the pool; nothing runs before `start` or the first `run`.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from trl_rlsp.errors import ConfigError, WorkerError
from trl_rlsp.verification.workers.batch import Batch, Reply, Worker
from trl_rlsp.verification.workers.confine import missing_protection
from trl_rlsp.verification.workers.cores import fitting_workers
from trl_rlsp.verification.workers.server_process import ForkServer, ServerGone, register

__all__ = ["Reply", "WorkerPool"]

_logger = logging.getLogger(__name__)
_told: set[str] = set()  # what is missing on this machine, said once


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
        self.forget()
        register(self)

    def forget(self) -> None:
        """A state without processes, as after construction; in a forked child they belong to the parent."""
        for worker in getattr(self, "_idle", ()):
            worker.channel.close()
        if getattr(self, "_server", None) is not None:
            self._server.forget()
        self._lock = threading.RLock()
        self._server: Any = None
        self._ready = False
        self._idle: deque[Worker] = deque()
        self._prepared: set[str] = set()

    def start(self) -> None:
        """Start the workers without waiting for them. Calling it again does nothing."""
        with self._lock:
            if self._server is not None and not (self._ready and self._server.is_gone()):
                return
            if os.name != "posix":
                raise WorkerError("worker pools need a POSIX system (Linux or macOS)")
            self.close()
            self._server = ForkServer({"handler": self.handler, "memory_mb": self.memory_mb})

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
            One reply per item, in order; `not_run` also where this machine cannot start processes now.

        Raises:
            WorkerError: the handler cannot be imported.
        """
        if not items:
            return []
        with self._lock:
            batch = Batch(self, items, limit, float("inf"), fresh)
            for attempt in range(2):  # the server may be killed from outside, by the system's memory killer for one
                try:
                    self._ensure_ready()
                    if not attempt and deadline is not None:
                        batch.ends = time.monotonic() + deadline
                    return batch.run()
                except ServerGone as error:
                    self.close()
                    failure = error
            _logger.error("%s: %s", self.handler, failure)
            return batch.replies

    def close(self) -> None:
        """End all processes of the pool and wait until they are gone. The pool may be used again."""
        with self._lock:
            for worker in self._idle:
                worker.channel.close()
            if self._server is not None:
                self._server.close()
            self._idle.clear()
            self._prepared.clear()
            self._server = None
            self._ready = False

    def __enter__(self) -> WorkerPool:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if not k.startswith("_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.forget()
        register(self)

    def _ensure_ready(self) -> None:
        """Wait for the server; restart one that died."""
        self.start()
        if not self._ready:
            try:
                missing = missing_protection(self._server.hello(self.start_seconds))
            except WorkerError:
                self.close()
                raise
            if missing and missing not in _told:
                _told.add(missing)
                _logger.warning("%s", missing)
            self._ready = True
            self._refill(self.workers + self.spares)

    def _refill(self, count: int) -> None:
        while len(self._idle) < count:
            self._idle.append(self.fork())

    def prepare(self, value: str) -> None:
        """Have the workers' common ancestor call the handler module's `prepare(value)`, once for each value.

        For trusted values only: it runs without the workers' limits.
        """
        with self._lock:
            if value in self._prepared:
                return
            try:
                self._ensure_ready()
                self._server.ask({"prepare": value})
                self._prepared.add(value)
                for worker in [self._idle.popleft() for _ in range(len(self._idle))]:
                    self.kill(worker)
                self._refill(self.workers + self.spares)
            except ServerGone:  # `run` starts it again, or says that it cannot
                self.close()

    def fork(self) -> Worker:
        """A fresh warm worker."""
        ours, theirs = socket.socketpair()
        with theirs:
            reply = self._server.ask({}, [theirs.fileno()])
        if "pid" not in reply:
            ours.close()
            raise ServerGone(f"no process can be started: {reply['error']}")
        return Worker(reply["pid"], ours)

    def check(self) -> None:
        """Raise `ServerGone` if the server has ended: its workers then died with it, not of their items."""
        if self._server.is_gone():
            raise ServerGone("the worker processes are gone")

    def take(self) -> Worker:
        """An idle worker, forked if there is none."""
        return self._idle.popleft() if self._idle else self.fork()

    def give(self, worker: Worker) -> None:
        """Return a healthy worker."""
        self._idle.append(worker)

    def kill(self, worker: Worker) -> None:
        """End a worker at once; a warm one takes its place."""
        worker.channel.close()
        self._server.ask({"kill": worker.pid})
        self._refill(min(self.spares, len(self._idle) + 1))
