"""Warm worker processes with hard limits, for text that nobody vouches for.

Promises: `run` returns within its deadline whatever the items do, on any thread, in a forked or a spawned process;
an item that hangs, crashes or eats memory costs its own worker and nothing else; nothing outlives the process that
started the pool; nothing runs before `start` or the first `run`.
"""

from __future__ import annotations

import json
import logging
import math
import os
import secrets
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, Literal

from trl_rlsp.errors import ConfigError, WorkerError
from trl_rlsp.verification.workers._confine import missing_protection
from trl_rlsp.verification.workers._server import ForkServer, ServerGone, fitting_workers, owners
from trl_rlsp.verification.workers.fork_server import MAX_LINE

_FIRST_SLICE = 1 / 8  # of the limit, for each item's first try where the batch's time may not be enough for all
_SHARED = 0.9  # of the time left is divided between the items; the rest is for ending and replacing workers
_SPARES = 1  # further warm processes that wait to take a killed worker's place
_START_SECONDS = 120.0  # for the import of the handler, and for what it prepares

_logger = logging.getLogger(__name__)


@cache
def _warn_once(message: str) -> None:
    _logger.warning("%s", message)


@dataclass(frozen=True)
class Reply:
    """What became of one item: what the handler returned, or the text of its error, or why there is neither.

    `timeout`: it ran past the limit, or past its fair share of a batch in which many items are slow; `crash`: its
    process died or ran out of memory or stack; `not_run`: the batch's deadline came before its turn or cut it short.
    """

    outcome: Literal["value", "timeout", "crash", "error", "not_run"]
    value: Any = None


@dataclass(eq=False)
class _Worker:
    pid: int
    channel: socket.socket
    buffer: bytearray = field(default_factory=bytearray)
    item: int = -1  # index in the batch
    expires: float = 0.0
    allowed: float = 0.0  # seconds
    nonce: str = ""  # of the request: what an earlier item left in the channel is not a reply to it


class WorkerPool:
    """Runs a handler on items in worker processes.

    Args:
        handler: `package.module:function`, imported in the workers only. It takes and returns JSON values.
        workers: processes at the same time; in a distributed run at most this rank's share of the machine's cores.
        memory_mb: address space each worker may add to what it has after its imports, in MiB.
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
        """In a forked child: the processes and the lock belong to the parent."""
        self._lock = threading.RLock()
        self._reset()

    def _reset(self) -> None:
        for worker in self._idle:
            worker.channel.close()
        self._server: Any = None
        self._ready = False
        self._idle = deque()
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
        """Replies to the items (JSON values), in order; `not_run` also where this machine cannot start processes now.

        `limit` is wall-clock seconds for an item once a worker has it, `deadline` for the whole call without the pool's
        first start. With `fresh` each item has a process of its own, so that nothing of one can reach another.
        `WorkerError` if the handler cannot be imported.
        """
        if not items:
            return []
        with self._lock:
            batch = _Batch(self, items, limit, fresh)
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

    def prepare(self, value: str) -> None:
        """Have the workers' common ancestor call the handler module's `prepare(value)`, once for each value.

        For trusted values only: it runs without the workers' limits.
        """
        with self._lock:
            if value in self._prepared:
                return
            try:
                self._ensure_ready()
                self._server.ask({"prepare": value}, seconds=_START_SECONDS)
                self._prepared.add(value)
                for _ in range(len(self._idle)):
                    self._kill(self._idle.popleft())
                self._refill(self.workers + _SPARES)
            except ServerGone:  # `run` starts it again, or says that it cannot
                self.close()

    def close(self) -> None:
        """End all processes of the pool and wait until they are gone. The pool may be used again."""
        with self._lock:
            if self._server is not None:
                self._server.close()
            self._reset()

    def __enter__(self) -> WorkerPool:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(WorkerPool, workers=self.workers, memory_mb=self.memory_mb), (self.handler,)

    def _ensure_ready(self) -> None:
        """Wait for the server; restart one that died."""
        self.start()
        if not self._ready:
            try:
                missing = missing_protection(self._server.hello(_START_SECONDS))
            except WorkerError:
                self.close()
                raise
            if missing:
                _warn_once(missing)
            self._ready = True
            self._refill(self.workers + _SPARES)

    def _refill(self, count: int) -> None:
        while len(self._idle) < count:
            self._idle.append(self._fork())

    def _fork(self) -> _Worker:
        ours, theirs = socket.socketpair()
        with theirs:
            reply = self._server.ask({}, [theirs.fileno()])
        if "pid" not in reply:
            ours.close()
            raise ServerGone(f"no process can be started: {reply['error']}")
        return _Worker(reply["pid"], ours)

    def _kill(self, worker: _Worker) -> None:
        """End a worker at once; a warm one takes its place."""
        worker.channel.close()
        self._server.ask({"kill": worker.pid})
        self._refill(min(_SPARES, len(self._idle) + 1))


class _Batch:
    """The state of one `WorkerPool.run`; after `ServerGone` it may be run again for what is left.

    Slow items cannot take the time of others. While the time left would not let every item have its whole limit,
    each first gets a slice of it, the short ones first; those that were not done share what is left then.
    """

    def __init__(self, pool: WorkerPool, items: Sequence[Any], limit: float, fresh: bool) -> None:
        self.pool = pool
        self.lines = [json.dumps(item) for item in items]
        self.limit = limit
        self.ends = math.inf
        self.fresh = fresh  # a worker serves one item
        self.replies: list[Reply] = [Reply("not_run")] * len(items)
        self.waiting = deque(sorted(range(len(items)), key=lambda index: len(self.lines[index])))
        self.busy: set[_Worker] = set()
        self.died: set[int] = set()  # items whose worker died once
        self.slow: set[int] = set()  # items that ran out of their first slice

    def run(self) -> list[Reply]:
        self.selector = selectors.DefaultSelector()
        try:
            while (self.waiting or self.busy) and time.monotonic() < self.ends:
                while self.waiting and len(self.busy) < self.pool.workers:
                    worker = self.pool._idle.popleft() if self.pool._idle else self.pool._fork()
                    self._assign(worker, self.waiting.popleft())
                self._collect()
            for worker in list(self.busy):  # cut short by the batch, not by its own limit
                self._finish(worker, Reply("not_run"))
        finally:
            for worker in self.busy:  # an interrupt, or the server's end
                self.waiting.append(worker.item)
                with suppress(ServerGone):
                    self.pool._kill(worker)
            self.busy.clear()
            self.selector.close()
        left = sum(reply.outcome == "not_run" for reply in self.replies)
        cut = sum(self.replies[index].outcome == "timeout" for index in self.slow)
        if left or cut:
            said = "%d of %d answers were not checked in the batch's time and have no score; %d slow ones ended early"
            _logger.warning(said, left, len(self.replies), cut)
        return self.replies

    def _allowance(self, index: int) -> float:
        rounds = math.ceil((len(self.waiting) + 1) / self.pool.workers)
        share = _SHARED * (self.ends - time.monotonic()) / rounds
        if share >= self.limit:
            return self.limit
        return share if index in self.slow else min(_FIRST_SLICE * self.limit, share / 2)

    def _assign(self, worker: _Worker, index: int) -> None:
        worker.item = index
        worker.allowed = self._allowance(index)
        worker.expires = time.monotonic() + worker.allowed
        worker.nonce = secrets.token_hex(8)
        worker.channel.settimeout(self.limit)
        self.busy.add(worker)
        self.selector.register(worker.channel, selectors.EVENT_READ, worker)
        line = f'{{"nonce": "{worker.nonce}", "item": {self.lines[index]}}}\n'.encode()
        if len(line) >= MAX_LINE:
            raise ConfigError(f"an item of {len(line)} bytes is over the limit of {MAX_LINE} bytes")
        try:
            worker.channel.sendall(line)
        except OSError:  # the worker died while idle (killed from outside): the item gets another one
            self.waiting.append(index)
            self._finish(worker, Reply("not_run"))

    def _collect(self) -> None:
        if not self.busy:
            return
        next_limit = min(self.ends, *(worker.expires for worker in self.busy))
        for key, _ in self.selector.select(max(0.0, next_limit - time.monotonic())):
            self._read(key.data)
        now = time.monotonic()
        for worker in [worker for worker in self.busy if worker.expires <= now]:
            again = worker.allowed < self.limit and worker.item not in self.slow
            if again:  # a second try with what is left of the batch
                self.slow.add(worker.item)
                self.waiting.append(worker.item)
            fair = not again and worker.allowed >= _FIRST_SLICE * self.limit
            self._finish(worker, Reply("timeout" if fair else "not_run"))

    def _read(self, worker: _Worker) -> None:
        data = b""
        with suppress(OSError):
            data = worker.channel.recv(1 << 16)
        worker.buffer += data
        if data and not worker.buffer.endswith(b"\n") and len(worker.buffer) <= MAX_LINE:
            return
        message: Any = None
        with suppress(ValueError, RecursionError):
            message = json.loads(bytes(worker.buffer))
        worker.buffer.clear()
        if isinstance(message, dict) and message.get("nonce") == worker.nonce:
            kinds: tuple[Literal["value", "error"], ...] = ("value", "error")
            outcome = next((kind for kind in kinds if kind in message), None)
            self._finish(worker, Reply(outcome, message[outcome]) if outcome else Reply("crash"))
            return
        if self.pool._server.is_gone():  # then the workers died with it
            raise ServerGone("the worker processes are gone")
        if worker.item not in self.died:  # it died or spoke out of turn: the item's doing only if it happens again
            self.died.add(worker.item)
            self.waiting.append(worker.item)
        self._finish(worker, Reply("crash"))

    def _finish(self, worker: _Worker, reply: Reply) -> None:
        self.replies[worker.item] = reply
        self.busy.discard(worker)
        self.selector.unregister(worker.channel)
        if reply.outcome == "value" and not self.fresh:
            self.pool._idle.append(worker)
        else:
            self.pool._kill(worker)
