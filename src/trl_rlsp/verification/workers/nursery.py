"""The worker side of the pool, run as `python -m trl_rlsp.verification.workers.nursery HANDLER`.

The nursery imports the handler's module once, then forks a ready worker whenever the pool asks for one: a
replacement costs a fork (about 10 ms), not an import of sympy (about a second). It dies with the process that
started it, and takes its workers along, however that process ends.

A worker reads one JSON line, runs the handler on it, writes one JSON line. Before its first line it gives up every
right it does not need (see `confine.py`): no network, no files but Python's, no processes, no signals, bounded memory.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from trl_rlsp.verification.workers.confine import Confinement, available_layers
from trl_rlsp.verification.workers.landlock import python_folders

NUMBER = 8  # bytes of a process id or a length on the control socket
MAX_LINE = 4 << 20  # bytes of one request or reply


def main(argv: list[str]) -> int:
    """Serve forks on the control socket until its other end closes."""
    handler_name, control_fd, memory_mb = argv[0], int(argv[1]), int(argv[2])
    parent = os.getppid()
    control = socket.socket(fileno=control_fd)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        handler = load(handler_name)
        getattr(sys.modules[handler.__module__], "warm_up", lambda: None)()
    except Exception as error:  # the process boundary: whatever it is, the pool must hear of it
        control.sendall(json.dumps({"error": f"{type(error).__name__}: {error}"}).encode() + b"\n")
        return 1
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # from here on it ends in order, when the control socket closes
    confinement = Confinement(available_layers(), python_folders(packages=True))
    control.sendall(json.dumps({"ready": confinement.layers}).encode() + b"\n")
    gc.collect()
    gc.freeze()  # shared pages stay shared
    children: set[int] = set()

    def confine() -> None:
        confinement.put_on(memory_mb)

    try:
        while os.getppid() == parent and _serve(control, handler, confine, children):
            _reap(children)
    finally:
        _kill_all(children)
    return 0


def load(name: str) -> Callable[[Any], Any]:
    """The object behind `package.module:attribute`."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _serve(
    control: socket.socket, handler: Callable[[Any], Any], confine: Callable[[], None], children: set[int]
) -> bool:
    """One command from the pool: `F`ork a worker, `K`ill one, `P`repare. False when the pool is gone."""
    watch = select.poll()
    watch.register(control, select.POLLIN)
    if not watch.poll(500):  # ms; then see whether the parent still lives
        return True
    command = control.recv(1)
    if command == b"F":
        children.add(_fork_worker(control, handler, confine))
    elif command == b"K":
        pid = _number(control)
        if pid in children:
            os.kill(pid, signal.SIGKILL)
    elif command == b"P":
        value = control.recv(_number(control), socket.MSG_WAITALL).decode()
        with contextlib.suppress(Exception):  # the process boundary: what was not prepared fails in the worker
            sys.modules[handler.__module__].prepare(value)
    return bool(command)


def _number(control: socket.socket) -> int:
    return int.from_bytes(control.recv(NUMBER, socket.MSG_WAITALL), "big")


def _fork_worker(control: socket.socket, handler: Callable[[Any], Any], confine: Callable[[], None]) -> int:
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        try:
            control.close()
            theirs.close()
            _work(ours, handler, confine)
        finally:
            os._exit(1)
    ours.close()
    socket.send_fds(control, [pid.to_bytes(NUMBER, "big")], [theirs.fileno()])
    theirs.close()
    return pid


def _reap(children: set[int]) -> None:
    while children:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            children.clear()
            return
        if pid == 0:
            return
        children.discard(pid)


def _kill_all(children: set[int]) -> None:
    _reap(children)
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    for pid in children:
        os.waitpid(pid, 0)


def _work(channel: socket.socket, handler: Callable[[Any], Any], confine: Callable[[], None]) -> NoReturn:
    """Answer requests until the pool closes the channel. Never returns."""
    confine()
    stream = channel.makefile("rb")
    while line := stream.readline(MAX_LINE):
        reply, healthy = _answer(handler, line)
        channel.sendall(reply)
        if not healthy:
            break
    os._exit(0)


def _answer(handler: Callable[[Any], Any], line: bytes) -> tuple[bytes, bool]:
    """(reply line, whether this worker may go on). A fault of the item leaves a worker that is not trusted again."""
    request = json.loads(line)
    try:
        outcome = {"value": handler(request["item"])}
    except (MemoryError, RecursionError):
        outcome = {"fault": "resources"}
    except Exception as error:  # the process boundary: a handler's error is reported, not raised
        outcome = {"error": f"{type(error).__name__}: {error}"[:500]}
    return json.dumps(outcome | {"nonce": request["nonce"]}).encode() + b"\n", "value" in outcome


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
