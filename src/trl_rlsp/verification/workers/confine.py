"""Taking rights away from a process, for good: what untrusted text may cost is bounded by the kernel.

Layers, each applied where the kernel has it: resource limits, a user of its own, dropped privileges, Landlock (files),
seccomp (system calls). A `Confinement` is prepared once in the process that forks, and put on by each fork: before it
works on an answer (workers) or runs a completion's program (sandbox).
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from trl_rlsp.verification.workers.landlock import landlock_abi, read_only_ruleset
from trl_rlsp.verification.workers.seccomp import seccomp_available, system_call_filter

if sys.platform != "win32":
    import resource

MEGABYTE = 1024 * 1024
LANDLOCK_TRUNCATE_ABI = 3
BARE_INTERPRETER_BYTES = 64 * MEGABYTE
MAX_OPEN_FILES = 64  # also bounds what a process holds in pipes and socket pairs: about 0.5 MB each
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_KEEPCAPS, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 1, 4, 8, 36, 38
_CAPABILITY_VERSION_3 = 0x20080522
_READING_CAPABILITIES = (1 << 2, 1 << 1)  # CAP_DAC_READ_SEARCH; CAP_DAC_OVERRIDE is all that containers have
_CLONE_NEWUSER = 0x10000000


class Confinement:
    """What a fork may still do, prepared before the fork so that putting it on costs little.

    Afterwards the process can use the pipes and sockets it has open; it cannot open a file for writing, read files
    other than the given ones, open sockets, start processes or send signals.

    Args:
        layers: of `"landlock"`, `"seccomp"`; others are ignored.
        readable: files and folders that may be read.
        threads: whether threads may be started.

    Attributes:
        layers: those that apply.

    Raises:
        OSError: the kernel does not have one of the layers.
    """

    def __init__(self, layers: Sequence[str], readable: Sequence[str], *, threads: bool = False) -> None:
        self.layers = [layer for layer in layers if layer in ("landlock", "seccomp")]
        self._filter: Any = None
        if "seccomp" in self.layers:
            if not seccomp_available():  # also makes the binding load what it needs, which no fork could
                raise OSError("this kernel has no seccomp filters")
            self._filter = system_call_filter(allow_truncate=landlock_abi() >= LANDLOCK_TRUNCATE_ABI, threads=threads)
            self._filter.program  # noqa: B018 - compiled here once
        self._ruleset: Any = read_only_ruleset(readable) if "landlock" in self.layers else None
        self._mapped = mapped_bytes() or BARE_INTERPRETER_BYTES

    def put_on(
        self, memory_mb: int, *, output_bytes: int = 0, processes: int = 0, seconds: float | None = None
    ) -> None:
        """Confine the calling process and its threads to come, for good.

        Args:
            memory_mb: address space it may add to what it has now, in MiB.
            output_bytes: the size of any file it writes.
            processes: threads and processes its user may have, this one included.
            seconds: CPU time, if limited.

        Raises:
            OSError: the kernel refused a layer.
        """
        die_with_parent()
        if seconds is not None:
            set_limit("RLIMIT_CPU", int(seconds) + 1, int(seconds) + 2)
        limits = {
            "FSIZE": output_bytes,
            "CORE": 0,
            "NOFILE": MAX_OPEN_FILES,
            "MEMLOCK": 0,
            "MSGQUEUE": 0,
            "NPROC": processes,
        }
        for name, value in limits.items():
            set_limit(f"RLIMIT_{name}", value)
        set_limit("RLIMIT_AS", (mapped_bytes() or self._mapped) + memory_mb * MEGABYTE)
        set_process_option(_PR_SET_NO_NEW_PRIVS, 1)
        if not processes:  # else the user of its own has only the right it needs
            drop_capabilities()
        if self._ruleset is not None:
            self._ruleset.restrict()
        if self._filter is not None:
            self._filter.load()


def available_layers() -> list[str]:
    """Which of `"landlock"`, `"seccomp"` this kernel and this installation have."""
    return [name for name, there in (("landlock", landlock_abi() > 0), ("seccomp", seccomp_available())) if there]


def missing_protection(layers: Sequence[str], expected: Sequence[str] = ("landlock", "seccomp")) -> str:
    """A sentence on what untrusted text could do without the layers that are not there, `""` if all are."""
    risks = {
        "landlock": "read and write this user's files (no Landlock)",
        "seccomp": "use the network and start processes (no seccomp)",
        "threads": "start any number of threads (root may not take another user id)",
    }
    missing = [risks[layer] for layer in expected if layer not in layers]
    install = "" if importlib.util.find_spec("landlockpy") else "; pip install landlockpy seccompy"
    return f"text that took over a worker could {' and '.join(missing)}{install}" if missing else ""


def own_user(paths: Sequence[str]) -> bool:
    """Have this process's threads counted apart from all others, so that their number can be limited.

    Root becomes a user id that no other process has (root's threads are never limited), and keeps the right to read
    if `paths` need it; anybody else enters a user namespace of its own. All other privileges are given up.

    Args:
        paths: files and folders that must stay readable.

    Returns:
        Whether the kernel let it; if not, only `threads_of_user()` says how many there are.
    """
    if sys.platform != "linux":
        return False
    if os.geteuid() != 0:
        alone = ctypes.CDLL(None).unshare(_CLONE_NEWUSER) == 0
        drop_capabilities()
        return alone
    keep, alone = 0, True
    if any(map(_needs_rights, paths)):
        keep = next((right for right in _READING_CAPABILITIES if right & _capabilities()), 0)
        alone = keep > 0 and set_process_option(_PR_SET_KEEPCAPS, 1)
    user = _unused_user()
    try:
        if alone:
            os.setgroups([])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
    except OSError:
        alone = False
    drop_capabilities(keep if alone else 0)
    return alone


def _needs_rights(path: str) -> bool:
    """Whether only its owner, or root, may get at a file."""
    whole = Path(os.path.realpath(path))
    with suppress(OSError):
        return not whole.stat().st_mode & 0o4 or not all(parent.stat().st_mode & 0o1 for parent in whole.parents)
    return False


def _unused_user() -> int:
    """A user id of this process alone, drawn from the upper half of those there are."""
    first, count = 0, 65536
    with suppress(OSError, ValueError):
        first, _, count = map(int, Path("/proc/self/uid_map").read_text().splitlines()[-1].split())
    return (
        first + count - 3 - int.from_bytes(os.urandom(8), "big") % (count // 2)
    )  # the last two stand for "none" and "nobody"


def threads_of_user() -> int:
    """Threads this user has now, which is what `RLIMIT_NPROC` counts; 0 where the system does not tell."""
    total = 0
    with suppress(OSError):
        for process in filter(str.isdigit, os.listdir("/proc")):
            with suppress(OSError):  # it ended meanwhile
                if os.stat(f"/proc/{process}").st_uid == os.getuid():
                    total += len(os.listdir(f"/proc/{process}/task"))
    return total


def mapped_bytes() -> int:
    """Address space of this process in bytes; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def set_limit(name: str, value: int, hard: int | None = None) -> bool:
    """Lower a resource limit.

    Args:
        name: name in the module `resource`, such as `"RLIMIT_AS"`.
        value: the soft limit, in the unit `setrlimit(2)` gives for it.
        hard: the hard limit; `value` if not given.

    Returns:
        Whether it was set; a limit is never raised above the hard limit in force.
    """
    number = getattr(resource, name, None)
    if number is None:
        return False
    ceiling = resource.getrlimit(number)[1]
    wanted = value if hard is None else hard
    top = wanted if ceiling == resource.RLIM_INFINITY else min(wanted, ceiling)
    try:
        resource.setrlimit(number, (min(value, top), top))
    except (ValueError, OSError):
        return False
    return True


def set_process_option(option: int, value: int) -> bool:
    """Call `prctl(option, value)`; whether the kernel took it."""
    return sys.platform == "linux" and ctypes.CDLL(None).prctl(option, value, 0, 0, 0) == 0


def die_with_parent() -> bool:
    """Be killed when the thread that forked this process ends; whether the kernel took it."""
    return set_process_option(_PR_SET_PDEATHSIG, signal.SIGKILL)


def hide_from_others() -> bool:
    """Make memory and open files unreadable to other processes of the same user; whether the kernel took it."""
    return set_process_option(_PR_SET_DUMPABLE, 0)


def set_subreaper() -> bool:
    """Become the parent of orphaned descendants, to find and end them; whether the kernel took it."""
    return set_process_option(_PR_SET_CHILD_SUBREAPER, 1)


def set_no_new_privs() -> bool:
    """No program started from here gains rights from its file; whether the kernel took it."""
    return set_process_option(_PR_SET_NO_NEW_PRIVS, 1)


def _capabilities() -> int:
    """Bit mask of the first 32 capabilities that this process may use."""
    header, sets = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0), (ctypes.c_uint32 * 6)()
    return sets[1] if ctypes.CDLL(None).capget(header, sets) == 0 else 0


def drop_capabilities(keep: int = 0) -> bool:
    """Give up the special powers of root but those in a bit mask; whether the process has no others now."""
    if sys.platform != "linux":
        return False
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)(keep, keep)  # effective, permitted, inheritable; then the same for numbers from 32
    libc = ctypes.CDLL(None)
    return bool(hasattr(libc, "capset") and libc.capset(header, sets) == 0)
