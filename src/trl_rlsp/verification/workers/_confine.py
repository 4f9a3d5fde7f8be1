"""Confine a process irrevocably, in the layers listed in `docs/code_sandbox.md`. Must be importable in bare Python.

Sources: kernel.org/doc/html/latest/userspace-api/landlock.html and seccomp_filter.html.
"""

from __future__ import annotations

import ctypes
import errno
import os
import secrets
import signal
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

if sys.platform != "win32":
    import resource

# `None` if not on Linux or not installed; see `available_layers`
landlockpy: Any = import_module("landlockpy") if find_spec("landlockpy") else None
seccompy: Any = import_module("seccompy") if find_spec("seccompy") else None
MEGABYTE = 1024 * 1024
_BARE_INTERPRETER_BYTES = 64 * MEGABYTE
_MAIN_STACK_BYTES = 64 * MEGABYTE  # deep recursion is common in contest programs
_MAX_OPEN_FILES = 64  # also bounds the memory in pipes and socket pairs: about 0.5 MB each
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_KEEPCAPS, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 1, 4, 8, 36, 38
_CAPABILITY_VERSION_3 = 0x20080522
_READING_CAPABILITIES = (1 << 2, 1 << 1)  # CAP_DAC_READ_SEARCH; containers have only CAP_DAC_OVERRIDE
_CLONE_NEWUSER = 0x10000000

LIBRARY_FOLDERS = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib")
NOT_THE_LIBRARY = ("site-packages", "dist-packages", "test", "idlelib", "ensurepip", "turtledemo", "lib2to3", "tkinter")
_OWN_LIBRARIES = ("ld-", "libc.", "libc-", "libm.", "libpython", "libz.", "libffi.", "libssl.", "libcrypto.")
_SHARED_FILES = ("/etc/ld.so.cache", "/etc/localtime", "/usr/share/zoneinfo")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
_LANDLOCK_GUARDS_TRUNCATION = 3  # first Landlock version that restricts truncation

_ALLOWED = """
    read write readv writev pread64 pwrite64 preadv pwritev lseek close dup dup2 dup3 pipe pipe2 stat fstat lstat
    newfstatat statx access faccessat faccessat2 readlink readlinkat getdents getdents64 getcwd chdir open openat
    umask fsync fdatasync mmap mprotect munmap brk mremap madvise msync membarrier rt_sigaction rt_sigprocmask
    rt_sigreturn rt_sigpending rt_sigtimedwait rt_sigsuspend sigaltstack restart_syscall pause alarm setitimer
    getitimer select pselect6 poll ppoll epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait eventfd2
    recvfrom nanosleep clock_nanosleep clock_gettime clock_getres gettimeofday time times sched_yield
    sched_getaffinity getpid getppid gettid getuid geteuid getgid getegid getgroups getpgrp getpgid getsid getresuid
    getresgid getcpu uname sysinfo getrandom getrlimit setrlimit getrusage getpriority futex set_robust_list
    get_robust_list rseq set_tid_address arch_prctl exit exit_group
"""
# System calls allowed depending on the value of an argument: name, argument, values, mask.
_INT = 0xFFFFFFFF
_ALLOWED_BY_ARGUMENT: tuple[tuple[str, int, tuple[int, ...], int], ...] = (
    ("close_range", 2, (0,), 2),  # CLOSE_RANGE_UNSHARE would give a thread its own file table
    # F_DUPFD F_GETFD F_SETFD F_GETFL F_SETFL F_DUPFD_CLOEXEC F_GETPIPE_SZ: no locks or leases that could block other
    # processes, no signals on our behalf, no larger pipes
    ("fcntl", 1, (0, 1, 2, 3, 4, 1030, 1032), _INT),
    ("ioctl", 1, (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451), _INT),  # TCGETS TIOCGWINSZ FIO(NREAD NBIO (N)CLEX)
    ("prctl", 0, (15, 16, 0x53564D41), _INT),  # PR_SET_NAME PR_GET_NAME PR_SET_VMA
    ("prlimit64", 0, (0,), _INT),  # its own limits only
    ("socketpair", 0, (1,), _INT),  # AF_UNIX: asyncio wakes itself up through one
    ("sendto", 4, (0,), 0xFFFFFFFFFFFFFFFF),  # only to the other end, not to an address
)
# Flags of clone as passed by pthread_create (memory, files, signals and the rest are shared with the process), and a
# mask of all flags except CLONE_DETACHED, which has no effect today but is still passed by musl.
_THREAD_BY_ARGUMENT = ("clone", 0, (0x003D0F00,), 0xFFFFFFFFFFBFFFFF)
_RISKS = {
    "landlock": "read and write this user's files (no Landlock)",
    "seccomp": "use the network and start processes (no seccomp)",
    "threads": "start any number of threads (root may not take another user id)",
}


class Confinement:
    """The restrictions of a fork, prepared before the fork so that applying them is fast.

    A confined process keeps its open pipes and sockets; it cannot write files, read files other than `readable`, open
    sockets, start processes or send signals. `OSError` if the kernel lacks one of the `layers` (`"landlock"`,
    `"seccomp"`; others are ignored).
    """

    def __init__(self, layers: Sequence[str], readable: Sequence[str], *, threads: bool = False) -> None:
        self.layers = [layer for layer in layers if layer in ("landlock", "seccomp")]
        self._filter: Any = None
        if "seccomp" in self.layers:
            if "seccomp" not in available_layers():  # also loads the binding's dependencies, which a fork cannot
                raise OSError("this kernel has no seccomp filters")
            self._filter = _system_call_filter(threads)
            self._filter.program  # noqa: B018 - compiled here once
        self._ruleset: Any = _read_only_ruleset(readable) if "landlock" in self.layers else None
        self._mapped = mapped_bytes() or _BARE_INTERPRETER_BYTES

    def put_on(
        self, memory_mb: int, *, output_bytes: int = 0, processes: int = 0, seconds: float | None = None
    ) -> None:
        """Confine the calling process and its future threads irrevocably; `OSError` if the kernel refuses a layer.

        Limits: `memory_mb` MiB of address space on top of the current one, files of `output_bytes` bytes, `seconds` of
        CPU time, and `processes` threads of its user, including this one.
        """
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        limits = {"CORE": 0, "MEMLOCK": 0, "MSGQUEUE": 0, "FSIZE": output_bytes, "NOFILE": _MAX_OPEN_FILES}
        limits |= {"NPROC": processes, "AS": (mapped_bytes() or self._mapped) + memory_mb * MEGABYTE}
        limits |= {"STACK": _MAIN_STACK_BYTES} if processes else {}
        limits |= {} if seconds is None else {"CPU": int(seconds) + 1}
        for name, value in limits.items():
            _set_limit(name, value)
        _prctl(_PR_SET_NO_NEW_PRIVS, 1)
        if not processes:  # otherwise its separate user has only the rights it needs
            _drop_capabilities()
        if self._ruleset is not None:
            self._ruleset.restrict()
        if self._filter is not None:
            self._filter.load()


def confine_server(readable: Sequence[str], packages: Sequence[str]) -> bool:
    """Apply the restrictions shared by a program server and its forks; returns whether its threads count separately."""
    ruleset = _read_only_ruleset(readable) if readable else None  # the forks get a second, equal one
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)  # orphaned descendants become its children, so it can find and kill them
    os.chdir("/")
    counted = _own_user([os.__file__, *packages])
    _prctl(_PR_SET_DUMPABLE, 0)  # other processes of the same user cannot read its memory and open files
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    if ruleset is not None:
        ruleset.restrict()
    return counted


def landlock_abi() -> int:
    """The kernel's Landlock ABI version; 0 if the kernel lacks Landlock or the binding is not installed."""
    with suppress(OSError):
        return landlockpy.abi_version() if landlockpy else 0
    return 0


def available_layers() -> list[str]:
    """Which of `"landlock"`, `"seccomp"` this kernel, processor and installation support."""
    layers = ["landlock"] if landlock_abi() else []
    with suppress(OSError):
        if seccompy and seccompy.supported() and seccompy.arch() in ("x86_64", "aarch64"):
            layers.append("seccomp")
    return layers


def missing_protection(layers: Sequence[str], expected: Sequence[str] = ("landlock", "seccomp")) -> str:
    """A sentence on what untrusted text could do because layers are missing; `""` if none is."""
    missing = [_RISKS[layer] for layer in expected if layer not in layers]
    install = "" if landlockpy else "; pip install landlockpy seccompy"
    return f"text that took over a worker could {' and '.join(missing)}{install}" if missing else ""


def threads_of_user() -> int:
    """Number of threads of this user, as counted by `RLIMIT_NPROC`; 0 if unknown."""
    total = 0
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # the process has ended
            if process.stat().st_uid == os.getuid():
                total += len(os.listdir(process / "task"))
    return total


def mapped_bytes() -> int:
    """Address space of this process in bytes; 0 if unknown."""
    with suppress(OSError):
        return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def library_folders() -> list[str]:
    """Folders of the standard library, without those of a virtual environment."""
    base = {"base": sys.base_prefix, "platbase": sys.base_exec_prefix}
    return sorted({sysconfig.get_path(name, vars=base) for name in ("stdlib", "platstdlib")})


def python_folders(*, packages: bool = False) -> list[str]:
    """Folders the interpreter reads to run and import; with `packages`, also those of installed packages."""
    paths = {*library_folders(), sysconfig.get_config_var("LIBDIR"), *LIBRARY_FOLDERS, *_SHARED_FILES}
    paths |= {str(path.parent) for path in _loaded_libraries() if path.name.startswith(_OWN_LIBRARIES)}
    if packages:
        paths |= {path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")}
        paths.add(str(Path(__file__).parents[2]))
    return sorted(path for path in paths if path and path != "/" and os.path.exists(path))


def standard_library() -> list[str]:
    """Files of the standard library and the shared libraries it loads, without the folders shared with others."""
    paths = {*_SHARED_FILES, *_needed_libraries()}
    for folder in library_folders():
        with suppress(OSError):
            paths |= {entry.path for entry in os.scandir(folder) if entry.name not in NOT_THE_LIBRARY}
    return sorted(filter(os.path.exists, paths))


def _loaded_libraries() -> set[Path]:
    """Shared libraries loaded in this process."""
    with suppress(OSError):
        lines = Path("/proc/self/maps").read_text(errors="replace").splitlines()
        return {Path(line[line.index("/") :]) for line in lines if ".so" in line and "/" in line}
    return set()


def _needed_libraries() -> set[str]:
    """Shared libraries loaded after importing all extension modules of the standard library, determined in a fork."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        with suppress(BaseException), os.fdopen(write_end, "w") as pipe:
            for module in [file for folder in library_folders() for file in Path(folder, "lib-dynload").glob("*.so")]:
                with suppress(OSError):  # its library is not installed
                    ctypes.CDLL(str(module), os.RTLD_LAZY)
            pipe.write("\n".join(map(str, _loaded_libraries())))
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end) as pipe:
        found = set(pipe.read().split("\n"))
    os.waitpid(pid, 0)
    return found - {""}


def _read_only_ruleset(readable: Iterable[str]) -> Any:
    """Landlock rules that allow only reading `readable` and using /dev/null and similar devices."""
    access = landlockpy.AccessFS
    ruleset = landlockpy.Ruleset(scoped=landlockpy.Scope.SIGNAL | landlockpy.Scope.ABSTRACT_UNIX_SOCKET)
    for path in filter(os.path.exists, (*readable, *_DEVICES)):
        more = access.WRITE_FILE if path in _DEVICES else access.READ_DIR if os.path.isdir(path) else access.READ_FILE
        ruleset.allow_path(path, access.READ_FILE | more)
    return ruleset


def _system_call_filter(threads: bool) -> Any:
    """The seccomp filter; its `load()` irrevocably confines the process and its current threads."""
    rules = seccompy.Filter(default=seccompy.Action.ERRNO | errno.EPERM, flags=seccompy.FilterFlag.TSYNC)
    masked = seccompy.CmpOp.MASKED_EQ
    if landlock_abi() < _LANDLOCK_GUARDS_TRUNCATION:  # then `open` must not truncate
        for name, argument in (("open", 1), ("openat", 2)):
            if _is_known(name):
                rules.errno(name, errno.EPERM, args=[(argument, masked, os.O_TRUNC, os.O_TRUNC)])
    for name, argument, values, mask in (*_ALLOWED_BY_ARGUMENT, *([_THREAD_BY_ARGUMENT] if threads else [])):
        for value in values:
            rules.allow(name, args=[(argument, masked, value, mask)])
    for name in filter(_is_known, _ALLOWED.split()):
        rules.allow(name)
    rules.errno("clone3", errno.ENOSYS)  # not EPERM as for the others: the C library then uses clone
    return rules


def _is_known(name: str) -> bool:
    """Whether this processor has a system call: arm64 lacks `open`, `fork` and `pipe`."""
    with suppress(ValueError):
        return seccompy.syscall_nr(name) >= 0
    return False


def _own_user(paths: Sequence[str]) -> bool:
    """Count this process's threads separately, to limit their number; returns whether the kernel allowed it.

    Root takes an unused user id (root's threads are never limited), and keeps the right to read if `paths` need it;
    other users enter a separate user namespace. All other privileges are dropped.
    """
    if sys.platform != "linux":
        return False
    keep, alone = 0, True
    if os.geteuid() != 0:
        alone = ctypes.CDLL(None).unshare(_CLONE_NEWUSER) == 0
    else:
        if any(map(_needs_rights, paths)):
            sets = (ctypes.c_uint32 * 6)()  # the second is the permitted set
            ctypes.CDLL(None).capget((ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0), sets)
            keep = next((right for right in _READING_CAPABILITIES if right & sets[1]), 0)
            alone = keep > 0 and _prctl(_PR_SET_KEEPCAPS, 1)
        try:
            if alone:
                user = _unused_user()
                os.setgroups([])
                os.setresgid(user, user, user)
                os.setresuid(user, user, user)
        except OSError:
            alone = False
    _drop_capabilities(keep if alone else 0)
    return alone


def _needs_rights(path: str) -> bool:
    """Whether only the owner or root may access a file."""
    whole = Path(path).resolve()
    with suppress(OSError):
        return not whole.stat().st_mode & 0o4 or not all(parent.stat().st_mode & 0o1 for parent in whole.parents)
    return False


def _unused_user() -> int:
    """A user id used by this process only, drawn from the upper half of the available ones."""
    first, count = 0, 65536
    with suppress(OSError, ValueError):
        first, _, count = map(int, Path("/proc/self/uid_map").read_text().splitlines()[-1].split())
    return first + count - 3 - secrets.randbelow(count // 2)  # the last two mean "none" and "nobody"


def _drop_capabilities(keep: int = 0) -> None:
    """Drop all root capabilities except those in a bit mask."""
    sets = (ctypes.c_uint32 * 6)(keep, keep)  # effective, permitted, inheritable; then the same for those from 32
    if sys.platform == "linux":
        ctypes.CDLL(None).capset((ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0), sets)


def _set_limit(name: str, value: int) -> None:
    """Lower a resource limit, in the unit of `setrlimit(2)`; never above the current hard limit."""
    with suppress(AttributeError, ValueError, OSError):  # not every system has every limit
        number = getattr(resource, f"RLIMIT_{name}")
        ceiling = resource.getrlimit(number)[1]
        top = value if ceiling == resource.RLIM_INFINITY else min(value, ceiling)
        resource.setrlimit(number, (top, top))


def _prctl(option: int, value: int) -> bool:
    """Set a process option; returns whether the kernel accepted it."""
    return sys.platform == "linux" and ctypes.CDLL(None).prctl(option, value, 0, 0, 0) == 0
