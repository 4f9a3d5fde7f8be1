"""Warm worker processes with hard limits, for untrusted text.

Promises: `run` returns within its deadline regardless of the items, on any thread, in a forked or a spawned process;
an item that hangs, crashes or exhausts memory affects only its own worker; no process outlives the one that started
the pool; no process starts before `start` or the first `run`.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import socket
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from trl_rlsp.errors import ConfigError, WorkerError
from trl_rlsp.verification.workers._server import ForkServer, ServerGone, fitting_workers, has_ended, owners
from trl_rlsp.verification.workers.fork_server import MAX_LINE
from trl_rlsp.verification.workers.schedule import Job, Schedule

_LEAST = 1 / 8  # fraction of the limit: exceeding less time than this does not count as a timeout
_FRAME = 100  # bytes of a request besides its item
_START_SECONDS = 120.0  # for importing the handler and its preparation

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reply:
    """The result of one item: the handler's return value, the text of its error, or why there is neither.

    `timeout`: it exceeded the limit, or its fair share of a batch with many slow items; `crash`: its process died or
    ran out of memory or stack; `not_run`: the batch's deadline passed before it started or interrupted it.
    """

    outcome: Literal["value", "timeout", "crash", "error", "not_run"]
    value: Any = None


class _Item(Job):
    """An item as JSON, and its outcome."""

    def __init__(self, item: Any) -> None:
        super().__init__()
        self.line = json.dumps(item)
        if len(self.line) > MAX_LINE - _FRAME:
            raise ConfigError(f"an item of {len(self.line)} bytes is over the limit of {MAX_LINE - _FRAME} bytes")
        self.reply, self.allowed = Reply("not_run"), 0.0


class _Worker:
    """A process that waits for items."""

    def __init__(self, server: ForkServer) -> None:
        self.server = server
        self.channel, theirs = socket.socketpair()
        with theirs:
            reply = server.ask({}, [theirs.fileno()])
        if "pid" not in reply:
            self.channel.close()
            raise ServerGone(f"no process can be started: {reply['error']}")
        self.pid: int = reply["pid"]

    def ask(self, line: str, seconds: float) -> Reply:
        """The reply to an item; data left in the channel by an earlier item is not a reply, and counts as a crash."""
        expires, data, nonce = time.monotonic() + seconds, bytearray(), secrets.token_hex(8)
        try:
            self.channel.settimeout(seconds)
            self.channel.sendall(f'{{"nonce": "{nonce}", "item": {line}}}\n'.encode())
            while not data.endswith(b"\n") and len(data) <= MAX_LINE:
                self.channel.settimeout(max(expires - time.monotonic(), 0.001))
                if not (part := self.channel.recv(1 << 16)):
                    break
                data += part
            match json.loads(bytes(data)):
                case {"nonce": returned, "value": value} if returned == nonce:
                    return Reply("value", value)
                case {"nonce": returned, "error": error} if returned == nonce:
                    return Reply("error", error)
        except TimeoutError:
            return Reply("timeout")
        except (OSError, ValueError, RecursionError):
            pass
        return Reply("crash")


class WorkerPool:
    """Runs a handler on items in worker processes.

    Args:
        handler: `package.module:function`, imported only in the workers. It takes and returns JSON values.
        workers: number of processes; in a distributed run at most this rank's share of the machine's cores.
        memory_mb: address space that each worker may add after its imports, in MiB.
    """

    def __init__(self, handler: str, *, workers: int = 2, memory_mb: int = 1024) -> None:
        if workers < 1 or memory_mb < 64:
            raise ConfigError(f"a worker pool needs workers >= 1 and memory_mb >= 64, got {workers} and {memory_mb}")
        self.handler = handler
        self.workers = fitting_workers(workers)
        self.memory_mb = memory_mb
        self._idle: deque[_Worker] = deque()
        self.forget()
        owners.add(self)

    def forget(self) -> None:
        """In a forked child: forget the processes and locks, which belong to the parent."""
        self._batches = threading.RLock()  # held during a batch: one at a time
        self._lock = threading.RLock()  # guards all other state
        self._server: Any = None
        self._stop()

    def _stop(self) -> None:
        with self._lock:
            if self._server is not None:
                self._server.close()
            for worker in self._idle:
                worker.channel.close()
            self._server, self._ready = None, False
            self._idle.clear()
            self._prepared: set[str] = set()

    def start(self) -> None:
        """Start the workers without waiting for them. Calling it again has no effect."""
        with self._lock:
            if self._server is not None and not (self._ready and has_ended(self._server.socket)):
                return
            if os.name != "posix":
                raise WorkerError("worker pools need a POSIX system (Linux or macOS)")
            self._stop()
            self._server = ForkServer({"handler": self.handler, "memory_mb": self.memory_mb})

    def run(
        self, items: Sequence[Any], *, limit: float, deadline: float | None = None, fresh: bool = False
    ) -> list[Reply]:
        """Replies to the items (JSON values), in order; `not_run` also if this machine cannot start processes now.

        `limit` is wall-clock seconds for an item once a worker has it; `deadline` is for the whole call, without the
        pool's first start. With `fresh`, each item runs in its own process, so that items cannot affect each other.
        `WorkerError` if the handler cannot be imported.
        """
        batch = [_Item(item) for item in items]
        if not batch:
            return []
        with self._batches:
            try:
                self._ensure_ready()
                short_first = sorted(batch, key=lambda item: len(item.line))
                Schedule(partial(self._serve, fresh), limit, deadline, _LEAST * limit).run(short_first, self.workers)
            except ServerGone as error:
                _logger.error("%s: %s", self.handler, error)
            except BaseException:  # an interrupt: end the workers that are still busy
                self.close()
                raise
        replies = [item.reply if item.outcomes[0] else Reply("not_run") for item in batch]
        unchecked = sum(reply.outcome == "not_run" for reply in replies)
        early = sum(item.outcomes[0] == "timeout" and item.allowed < limit for item in batch)
        if unchecked or early:
            text = "%d of %d answers were not checked in the batch's time and have no score; %d slow ones were stopped"
            _logger.warning(text, unchecked, len(batch), early)
        return replies

    def _serve(self, fresh: bool, item: _Item, _: int, seconds: float) -> str:
        item.reply, item.allowed = Reply("not_run"), seconds
        with suppress(WorkerError):
            worker = self._take()
            item.reply = worker.ask(item.line, seconds)
            if item.reply.outcome == "value" and not fresh:
                self._idle.append(worker)
            else:
                self._kill(worker)
        return item.reply.outcome

    def _take(self) -> _Worker:
        """An idle worker of a running server; restarts either if it was killed from outside."""
        with self._lock:
            self._ensure_ready()
            while self._idle:
                worker = self._idle.popleft()
                if not has_ended(worker.channel):
                    return worker
                self._kill(worker)
            return _Worker(self._server)

    def prepare(self, value: str) -> None:
        """Call the handler module's `prepare(value)` in the process that forks the workers, once for each value.

        For trusted values only: it runs without the workers' limits.
        """
        with self._lock:
            if value in self._prepared:
                return
            try:
                self._ensure_ready()
                self._server.ask({"prepare": value}, seconds=_START_SECONDS)
                self._prepared.add(value)
                while self._idle:
                    self._kill(self._idle.popleft())
            except ServerGone:  # `run` restarts it or reports that it cannot
                self._stop()

    def close(self) -> None:
        """Stop all processes of the pool and wait until they have ended. The pool can be used again."""
        with self._batches:
            self._stop()

    def __enter__(self) -> WorkerPool:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(WorkerPool, workers=self.workers, memory_mb=self.memory_mb), (self.handler,)

    def _ensure_ready(self) -> None:
        """Wait for the server; restart it if it has died."""
        self.start()
        if not self._ready:
            try:
                self._server.hello(_START_SECONDS, ("landlock", "seccomp"))
            except WorkerError:
                self._stop()
                raise
            self._ready = True

    def _kill(self, worker: _Worker) -> None:
        worker.channel.close()
        with self._lock, suppress(ServerGone):
            worker.server.ask({"kill": worker.pid})
