"""One batch of a worker pool: hands items to workers, keeps the limits, collects the replies."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import secrets
import selectors
import socket
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from trl_rlsp.errors import ConfigError
from trl_rlsp.verification.workers.fork_server import MAX_LINE
from trl_rlsp.verification.workers.server_process import ServerGone

_logger = logging.getLogger(__name__)

FIRST_SLICE = 1 / 8
"""Share of the limit that each item has at first, where the time of the batch may not be enough for all."""
SHARED = 0.9
"""Share of the time left that is divided between the items; the rest is for ending and replacing workers."""

Outcome = Literal["value", "timeout", "crash", "error", "not_run"]


@dataclass(frozen=True)
class Reply:
    """What became of one item.

    Attributes:
        outcome: `value` the handler returned; `timeout` it ran past the limit, or past its fair share of a batch in
            which many items are slow; `crash` its process died or ran out of memory or stack; `error` it raised;
            `not_run` the batch's deadline came before its turn or cut it short.
        value: what the handler returned, or the text of its error.
    """

    outcome: Outcome
    value: Any = None


@dataclass(eq=False)
class Worker:
    """A worker process and the item it has."""

    pid: int
    channel: socket.socket
    buffer: bytearray = field(default_factory=bytearray)
    item: int = -1  # index in the batch
    expires: float = 0.0
    allowed: float = 0.0  # seconds
    nonce: str = ""  # of the request: what an earlier item left in the channel is not a reply to it


class Workers(Protocol):
    """What a batch needs of its pool."""

    workers: int

    def take(self) -> Worker:
        """An idle worker."""

    def give(self, worker: Worker) -> None:
        """Take back a healthy worker."""

    def kill(self, worker: Worker) -> None:
        """End a worker at once."""

    def check(self) -> None:
        """Raise `ServerGone` if no worker can be alive."""


class Batch:
    """The state of one `WorkerPool.run`; after `ServerGone` it may be run again for what is left.

    Slow items cannot take the time of others. While the time left would not let every item have its whole limit,
    each first gets a slice of it, the short ones first; those that were not done share what is left then.
    """

    def __init__(self, pool: Workers, items: Sequence[Any], limit: float, ends: float, fresh: bool = False) -> None:
        self.pool = pool
        self.lines = [json.dumps(item) for item in items]
        self.limit = limit
        self.ends = ends
        self.fresh = fresh  # a worker serves one item
        self.replies: list[Reply] = [Reply("not_run")] * len(items)
        self.waiting = deque(sorted(range(len(items)), key=lambda index: len(self.lines[index])))
        self.busy: set[Worker] = set()
        self.died: set[int] = set()  # items whose worker died once
        self.slow: set[int] = set()  # items that ran out of their first slice

    def run(self) -> list[Reply]:
        """Replies to all items, in order."""
        self.selector = selectors.DefaultSelector()
        try:
            while (self.waiting or self.busy) and time.monotonic() < self.ends:
                while self.waiting and len(self.busy) < self.pool.workers:
                    self._assign(self.pool.take(), self.waiting.popleft())
                self._collect()
            for worker in list(self.busy):  # cut short by the batch, not by its own limit
                self._finish(worker, Reply("not_run"), healthy=False)
        finally:
            for worker in self.busy:  # an interrupt, or the server's end
                self.waiting.append(worker.item)
                with contextlib.suppress(ServerGone):
                    self.pool.kill(worker)
            self.busy.clear()
            self.selector.close()
        self._log()
        return self.replies

    def _log(self) -> None:
        left = sum(reply.outcome == "not_run" for reply in self.replies)
        cut = sum(self.replies[index].outcome == "timeout" for index in self.slow)
        if left or cut:
            _logger.warning(
                "%d of %d answers were not checked in the batch's time and have no score; %d slow ones ended early",
                left,
                len(self.replies),
                cut,
            )

    def _allowance(self, index: int) -> float:
        """Seconds that an item may take now."""
        rounds = math.ceil((len(self.waiting) + 1) / self.pool.workers)
        share = SHARED * (self.ends - time.monotonic()) / rounds
        if share >= self.limit:
            return self.limit
        return share if index in self.slow else min(FIRST_SLICE * self.limit, share / 2)

    def _assign(self, worker: Worker, index: int) -> None:
        worker.item = index
        worker.allowed = self._allowance(index)
        worker.expires = time.monotonic() + worker.allowed
        worker.channel.settimeout(self.limit)
        self.busy.add(worker)
        self.selector.register(worker.channel, selectors.EVENT_READ, worker)
        worker.nonce = secrets.token_hex(8)
        line = f'{{"nonce": "{worker.nonce}", "item": {self.lines[index]}}}\n'.encode()
        try:
            if len(line) >= MAX_LINE:
                raise ConfigError(f"an item of {len(line)} bytes is over the limit of {MAX_LINE} bytes")
            worker.channel.sendall(line)
        except OSError:  # the worker died while idle (killed from outside): the item gets another one
            self.waiting.append(index)
            self._finish(worker, Reply("not_run"), healthy=False)

    def _expire(self, worker: Worker) -> None:
        """An item used up its time: it is slow, or gets a second try with what is left of the batch."""
        index = worker.item
        if worker.allowed < self.limit and index not in self.slow:
            self.slow.add(index)
            self.waiting.append(index)
            self._finish(worker, Reply("not_run"), healthy=False)
        else:
            fair = worker.allowed >= FIRST_SLICE * self.limit
            self._finish(worker, Reply("timeout" if fair else "not_run"), healthy=False)

    def _collect(self) -> None:
        """Wait for the next reply or the next limit, whichever comes first."""
        if not self.busy:
            return
        next_limit = min(self.ends, *(worker.expires for worker in self.busy))
        for key, _ in self.selector.select(max(0.0, next_limit - time.monotonic())):
            self._read(key.data)
        now = time.monotonic()
        for worker in [w for w in self.busy if w.expires <= now]:
            self._expire(worker)

    def _read(self, worker: Worker) -> None:
        try:
            data = worker.channel.recv(1 << 16)
        except OSError:
            data = b""
        worker.buffer += data
        if not data:
            self._retry_once(worker)
        elif len(worker.buffer) > MAX_LINE:
            self._finish(worker, Reply("crash"), healthy=False)
        elif worker.buffer.endswith(b"\n"):
            message = _decode(bytes(worker.buffer))
            worker.buffer.clear()
            if message.get("nonce") == worker.nonce:
                self._finish(worker, _reply(message), healthy="value" in message)
            else:
                self._retry_once(worker)

    def _retry_once(self, worker: Worker) -> None:
        """A worker died, or spoke out of turn: this item's doing only if it happens again."""
        self.pool.check()
        if worker.item not in self.died:
            self.died.add(worker.item)
            self.waiting.append(worker.item)
        self._finish(worker, Reply("crash"), healthy=False)

    def _finish(self, worker: Worker, reply: Reply, *, healthy: bool) -> None:
        self.replies[worker.item] = reply
        self.busy.discard(worker)
        self.selector.unregister(worker.channel)
        if healthy and not self.fresh:
            self.pool.give(worker)
        else:
            self.pool.kill(worker)


def _decode(line: bytes) -> dict[str, Any]:
    """What a worker wrote; empty if it is not one well-formed message."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return message if isinstance(message, dict) else {}


def _reply(message: dict[str, Any]) -> Reply:
    if "value" in message:
        return Reply("value", message["value"])
    return Reply("error", message["error"]) if "error" in message else Reply("crash")
