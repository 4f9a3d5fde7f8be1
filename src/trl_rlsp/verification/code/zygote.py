"""A small process that waits, already confined, and forks once for each program to run.

A script of its own (`python -S -P zygote.py CONFIG`), so that nothing of the trainer is in its memory. It
never sees a program or an input itself: it hands the open files to the child, and only the child reads them. Each
child gives up its rights before the program is compiled, and one child never sees another's data.

Requests come over a socket as JSON limits with four open files (program, input, output, messages); the answer
is how the child ended. The process ends when the socket closes or the trainer's process ends.
"""

from __future__ import annotations

import array
import gc
import json
import os
import select
import signal
import socket
import sys
import time
import types
from contextlib import suppress

REQUEST_BYTES = 4096
_FILES = 4


def main() -> None:
    """Confine this process, say hello, and serve until the trainer is gone."""
    config = json.loads(sys.argv[1])
    _import_confinement(config["import_path"])
    from trl_rlsp.verification.code.child import ProgramConfinement

    control = socket.socket(fileno=config["control_fd"])
    confinement = ProgramConfinement(layers=config["layers"], readable=config["readable"])
    control.send(json.dumps(confinement.confine_zygote()).encode())
    for name in [name for name in sys.modules if name.split(".")[0] in ("trl_rlsp", "landlockpy", "seccompy")]:
        del sys.modules[name]
    sys.path[:] = [path for path in sys.path if path not in config["import_path"]] + config["packages"]
    gc.collect()
    gc.freeze()  # children then share the pages of what is loaded now
    serve(control, config["owner_fd"], confinement)


def serve(control: socket.socket, owner_fd: int, confinement) -> None:  # type: ignore[no-untyped-def]
    """Answer requests, one at a time.

    Args:
        control: socket to the trainer.
        owner_fd: readable once the trainer's process has ended; -1 where the system has no such thing.
        confinement: applied by each child to itself.
    """
    gone = select.poll()
    gone.register(control, select.POLLIN)
    if owner_fd >= 0:
        gone.register(owner_fd, select.POLLIN)
    while True:
        if any(fd == owner_fd for fd, _ in gone.poll()):
            return
        message, files = _receive(control)
        if not message:
            return
        limits = json.loads(message)
        started, tell_started = os.pipe()
        pid = os.fork()
        if pid == 0:
            control.detach()
            confinement.run_program(files, tell_started, limits)
        for file in (*files, tell_started):
            os.close(file)
        status = wait_for(pid, limits["seconds"], gone)
        if not confinement.no_new_processes:
            end_descendants(pid)
        control.send((status if _has_data(started) else "not started").encode())
        os.close(started)


def _has_data(pipe: int) -> bool:
    os.set_blocking(pipe, False)
    try:
        return os.read(pipe, 1) != b""
    except BlockingIOError:
        return False


def wait_for(pid: int, seconds: float, gone: select.poll) -> str:
    """Wait for a child, and kill it at the deadline or when the trainer is gone.

    Args:
        pid: the child.
        seconds: wall-clock limit.
        gone: ready when nobody waits for the answer.

    Returns:
        How it ended, a `RunStatus`.
    """
    deadline = time.monotonic() + seconds
    ended = _end_of(pid)
    while True:
        done, code = os.waitpid(pid, os.WNOHANG)
        if done:
            return _status(code)
        left = deadline - time.monotonic()
        if left <= 0 or gone.poll(0):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return "timeout"
        ended(left)


def _end_of(pid: int):  # type: ignore[no-untyped-def]
    """A function that sleeps until the child ends, or for a while."""
    try:
        pidfd = os.fdopen(os.pidfd_open(pid), "rb", buffering=0)
    except OSError:  # Linux before 5.3
        return lambda seconds: time.sleep(min(seconds, 0.005))
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    # At most 0.2 s, to notice that the trainer is gone; the file closes with the function.
    return lambda seconds, _keep=pidfd: poll.poll(min(seconds, 0.2) * 1000 + 1)


def _status(code: int) -> str:
    if os.WIFSIGNALED(code):
        return "killed"
    return "finished" if os.WEXITSTATUS(code) == 0 else "failed"


def end_descendants(pid: int) -> None:
    """Kill what a child left behind; only needed where it could start processes.

    Args:
        pid: the child, leader of a session of its own; daemons that left it have become our children.
    """
    for _ in range(1000):
        with suppress(OSError):
            os.killpg(pid, signal.SIGKILL)
        for orphan in _children():
            with suppress(OSError):
                os.kill(orphan, signal.SIGKILL)
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.002)
        except ChildProcessError:
            return


def _children() -> list[int]:
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            return [int(pid) for pid in file.read().split()]
    except OSError:
        return []


def _receive(control: socket.socket) -> tuple[bytes, list[int]]:
    files = array.array("i")
    room = socket.CMSG_LEN(_FILES * files.itemsize)
    message, ancillary, _, _ = control.recvmsg(REQUEST_BYTES, room)
    for _, _, data in ancillary:
        files.frombytes(data[: len(data) - len(data) % files.itemsize])
    return message, list(files)


def _import_confinement(import_path: list[str]) -> None:
    """Make `trl_rlsp.verification` importable without the packages' `__init__`, which may need torch."""
    sys.path[:0] = import_path
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    for name, folder in (("trl_rlsp", os.path.dirname(here)), ("trl_rlsp.verification", here)):
        package = types.ModuleType(name)
        package.__path__ = [folder]
        sys.modules[name] = package


if __name__ == "__main__":
    main()
