"""What a rank of a distributed run says when another one is gone, and that it then ends.

The launcher (`accelerate launch`, `torchrun`) ends all ranks when one ends, and names that one with its exit code.
What it cannot say is what to do. A rank that survives learns of it in one of two ways: the launcher's SIGTERM, while
it generates or scores, or an error of the collective operation that it waits in.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

GRACE_SECONDS = 10.0
"""A rank whose collective failed waits so long for the launcher, which else may take it for the one that failed."""

TERMINATED = 128 + signal.SIGTERM
"""Exit status of a rank that was told to end, as a shell gives it."""

_watching = False


@contextlib.contextmanager
def rank_watch(way_out: Callable[[], str], *, signals: bool = True) -> Iterator[None]:
    """End in order when another rank is gone: say what happened and the way out, once on each machine.

    In a run of one process it does nothing.

    Args:
        way_out: what to do now; asked when it happens.
        signals: also when told to end by SIGTERM; off where something else handles that signal.

    Raises:
        SystemExit: with status 2, a collective operation failed and no launcher ended this process.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield
        return
    name = f"rank {os.environ.get('RANK', '?')} of {world}"
    try:
        with _sigterm_calls(lambda: _end(name, way_out)) if signals else contextlib.nullcontext():
            yield
    except RuntimeError as error:
        if not is_collective(error):
            raise
        _say(f"{name} lost contact with another rank, or waited for it too long: {first_sentence(error)}", way_out)
        time.sleep(GRACE_SECONDS)
        raise SystemExit(2) from error


def is_collective(error: BaseException) -> bool:
    """Whether an error comes from a collective operation: gloo's, NCCL's, or that of the store behind them."""
    distributed = sys.modules.get("torch.distributed")
    kinds = getattr(distributed, "DistError", ())
    return isinstance(error, kinds) or (isinstance(error, RuntimeError) and "gloo" in str(error))


def first_sentence(error: BaseException) -> str:
    """What an error of a collective operation says, without the place in gloo's source and its advice.

    Example:
        >>> first_sentence(RuntimeError("[/gloo/tcp/pair.cc:537] Read error [::1]:20: Connection reset. This is often"))
        'Read error [::1]:20: Connection reset'
    """
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return re.sub(r"^\[[^\]]*\] ", "", lines[0]).partition(". ")[0][:300]


def _end(name: str, way_out: Callable[[], str]) -> None:
    """After SIGTERM: say so and end this process from whatever thread, with what else it is doing."""
    _say(f"{name} was told to end: another rank ended, or the run was stopped", way_out)
    os._exit(TERMINATED)


def _say(what: str, way_out: Callable[[], str]) -> None:
    if not _first_here():
        return
    print(
        f"\nrlsp: {what}.\nThe launcher's summary has the rank that ended first, as root cause, and its exit code "
        f"(-9: killed, often for lack of memory).\n{way_out()}\n",
        file=sys.stderr,
        flush=True,
    )


def _first_here() -> bool:
    """Whether no other rank on this machine has spoken; the launcher gives each run a folder."""
    errors = os.environ.get("TORCHELASTIC_ERROR_FILE", "")
    with contextlib.suppress(OSError):
        if errors:
            Path(errors).parents[1].joinpath("rlsp_said").touch(exist_ok=False)
        return True
    return not Path(errors).parents[1].joinpath("rlsp_said").exists()


@contextlib.contextmanager
def _sigterm_calls(act: Callable[[], None]) -> Iterator[None]:
    """SIGTERM calls `act` in a thread: the main thread may be in a collective that never returns to Python."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    receiver, sender = socket.socketpair()
    sender.setblocking(False)
    threading.Thread(target=_wait_for_sigterm, args=(receiver, act), name="sigterm", daemon=True).start()
    previous = signal.signal(signal.SIGTERM, lambda *_: None)
    before = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    _set_watching(True)
    try:
        yield
    finally:
        _set_watching(False)
        signal.set_wakeup_fd(before)
        signal.signal(signal.SIGTERM, previous)
        sender.close()


def _wait_for_sigterm(receiver: socket.socket, act: Callable[[], None]) -> None:
    with receiver:
        while number := receiver.recv(1):
            if number[0] == signal.SIGTERM:
                act()


def _set_watching(on: bool) -> None:
    global _watching
    _watching = on


def _before_fork() -> None:
    if _watching:  # or a signal to the child could reach the parent's thread, until the child has let go of it
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])


def _in_parent() -> None:
    if _watching:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])


def _in_child() -> None:
    """A forked child, such as a data loader's worker, dies of SIGTERM as usual and wakes no thread of its parent."""
    if _watching:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _in_parent()
        _set_watching(False)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)
