"""Taking rights away from a process, for good: what untrusted text may cost is bounded by the kernel.

Four layers, each applied where the kernel has it: resource limits, dropped privileges, Landlock (files),
seccomp (system calls). Used by worker processes on themselves after their imports, and by the code sandbox on
each process that runs a completion's program.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from trl_rlsp.verification.workers.landlock import landlock_abi, python_folders, read_only_ruleset
from trl_rlsp.verification.workers.seccomp import seccomp_available, thread_filter

if sys.platform != "win32":
    import resource

MEGABYTE = 1024 * 1024
LANDLOCK_TRUNCATE_ABI = 3
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 1, 4, 36, 38
_CAPABILITY_VERSION_3 = 0x20080522


def confine_this_process(memory_mb: int) -> list[str]:
    """Confine the calling process for good; call it after the imports and before the first untrusted text.

    Afterwards the process can use the pipes and sockets it has open, import installed packages and start
    threads; it cannot open a file for writing, read files that are not Python's, open sockets, start
    processes or send signals. Threads that run already are covered by all layers but Landlock and the
    capabilities, so call it before there are any.

    Args:
        memory_mb: address space the process may add to what it has now, in MiB.

    Returns:
        What was applied, of `"memory"`, `"core"`, `"no_new_privs"`, `"capabilities"`, `"landlock"`,
        `"seccomp"`. A feature this kernel does not have is left out; nothing is raised for it.
    """
    landlock, seccomp = _prepared_landlock(), _prepared_seccomp()  # before any layer: preparing opens files
    layers: dict[str, Callable[[], object]] = {
        "memory": lambda: limit_address_space(memory_mb),
        "core": lambda: set_limit("RLIMIT_CORE", 0),
        "no_new_privs": set_no_new_privs,
        "capabilities": drop_capabilities,
        "landlock": landlock,
        "seccomp": seccomp,
    }
    return [name for name, apply in layers.items() if _applied(apply)]


def limit_address_space(memory_mb: int) -> bool:
    """Limit what the process may map from now on.

    Args:
        memory_mb: MiB on top of what is mapped now.

    Returns:
        Whether the limit holds.
    """
    return set_limit("RLIMIT_AS", mapped_bytes() + memory_mb * MEGABYTE)


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
    """Call `prctl(option, value)`.

    Args:
        option: number from `linux/prctl.h`.
        value: its argument.

    Returns:
        Whether the kernel took it.
    """
    if sys.platform != "linux":
        return False
    return bool(ctypes.CDLL(None).prctl(option, value, 0, 0, 0) == 0)


def set_no_new_privs() -> bool:
    """No program started from here gains rights from its file, and filters may be installed without root.

    Returns:
        Whether the kernel took it.
    """
    return set_process_option(_PR_SET_NO_NEW_PRIVS, 1)


def die_with_parent() -> bool:
    """Be killed when the thread that forked this process ends.

    Returns:
        Whether the kernel took it.
    """
    return set_process_option(_PR_SET_PDEATHSIG, signal.SIGKILL)


def hide_from_others() -> bool:
    """Make memory and open files unreadable to other processes of the same user.

    Returns:
        Whether the kernel took it.
    """
    return set_process_option(_PR_SET_DUMPABLE, 0)


def set_subreaper() -> bool:
    """Become the parent of orphaned descendants, so that they can be found and ended.

    Returns:
        Whether the kernel took it.
    """
    return set_process_option(_PR_SET_CHILD_SUBREAPER, 1)


def drop_capabilities() -> bool:
    """Give up the special powers of root, such as raising limits; an ordinary user has none.

    Returns:
        Whether the process has none now.
    """
    if sys.platform != "linux":
        return False
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    nothing = (ctypes.c_uint32 * 6)()
    libc = ctypes.CDLL(None)
    return bool(hasattr(libc, "capset") and libc.capset(header, nothing) == 0)


def _applied(apply: Callable[[], object]) -> bool:
    try:
        return apply() is not False
    except OSError:  # the kernel knows the feature and refuses it, as in some containers
        return False


def _absent() -> bool:
    return False


def _prepared_landlock() -> Callable[[], object]:
    return read_only_ruleset(python_folders(packages=True)).restrict if landlock_abi() else _absent


def _prepared_seccomp() -> Callable[[], object]:
    if not seccomp_available():
        return _absent
    return thread_filter(allow_truncate=landlock_abi() >= LANDLOCK_TRUNCATE_ABI, all_threads=True).load
