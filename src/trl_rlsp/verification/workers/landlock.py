"""Landlock rules: which files a confined process may still read.

Nothing may be written, created, removed or executed. Reading is limited to Python's own files, shared
libraries and time zones; so tests, data sets, keys and home folders cannot be read. `stat` is not covered by
Landlock: the existence and size of a file can still be seen. Bindings: `landlockpy`.
Source: kernel.org/doc/html/latest/userspace-api/landlock.html.
"""

from __future__ import annotations

import ctypes
import os
import sys
import sysconfig
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

try:
    import landlockpy
except ImportError:  # not Linux, or not installed: `landlock_abi` says 0
    landlockpy = None  # type: ignore[assignment]

LIBRARY_FOLDERS = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib")
NOT_THE_LIBRARY = ("site-packages", "dist-packages", "test", "idlelib", "ensurepip", "turtledemo", "lib2to3", "tkinter")
_OWN_LIBRARIES = ("ld-", "libc.", "libc-", "libm.", "libpython", "libz.", "libffi.", "libssl.", "libcrypto.")
_SHARED_FILES = ("/etc/ld.so.cache", "/etc/localtime", "/usr/share/zoneinfo")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")


def landlock_abi() -> int:
    """Version of Landlock's interface the kernel offers.

    Returns:
        1 to 11, or 0 where the kernel or the binding is missing. Signals to other processes are stopped from
        6 on, TCP from 4 on, truncating from 3 on; the seccomp filter covers all three anyway.
    """
    try:
        return landlockpy.abi_version() if landlockpy else 0
    except OSError:
        return 0


def library_folders() -> list[str]:
    """Folders of the standard library, not those of a virtual environment."""
    base = {"base": sys.base_prefix, "platbase": sys.base_exec_prefix}
    return sorted({sysconfig.get_path(name, vars=base) for name in ("stdlib", "platstdlib")})


def python_folders(*, packages: bool = False) -> list[str]:
    """Folders and files the interpreter reads when it runs or imports, with what else is in these folders.

    Args:
        packages: also those of installed packages and of this one.

    Returns:
        Existing paths, without the current folder and whatever else `sys.path` holds.
    """
    paths = {*library_folders(), sysconfig.get_config_var("LIBDIR"), *LIBRARY_FOLDERS, *_SHARED_FILES}
    paths |= {str(path.parent) for path in _loaded_libraries() if path.name.startswith(_OWN_LIBRARIES)}
    if packages:
        paths |= {path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")}
        paths.add(str(Path(__file__).parents[2]))
    return sorted(path for path in paths if path and path != "/" and os.path.exists(path))


def standard_library() -> list[str]:
    """The files of the standard library and the shared libraries that its modules load, and nothing beside them.

    Installed packages lie inside the standard library's folder or next to the system's libraries, so these folders
    are not listed themselves: their files can be read, their contents not be seen.
    """
    paths = set(_SHARED_FILES)
    for folder in library_folders():
        with suppress(OSError):
            paths |= {entry.path for entry in os.scandir(folder) if entry.name not in NOT_THE_LIBRARY}
    return sorted(path for path in {*paths, *_needed_libraries()} if os.path.exists(path))


def read_only_ruleset(readable: Iterable[str]) -> landlockpy.Ruleset:
    """Rules that allow reading `readable` and using /dev/null, and nothing else.

    Args:
        readable: files and folders; those that do not exist are left out.

    Returns:
        A ruleset; its `restrict()` confines the calling thread and its children for good.

    Raises:
        OSError: the kernel has no Landlock.
    """
    access = landlockpy.AccessFS
    ruleset = landlockpy.Ruleset(scoped=landlockpy.Scope.SIGNAL | landlockpy.Scope.ABSTRACT_UNIX_SOCKET)
    for path in readable:
        if os.path.isdir(path):
            ruleset.allow_path(path, access.READ_FILE | access.READ_DIR)
        elif os.path.exists(path):
            ruleset.allow_path(path, access.READ_FILE)
    for device in _DEVICES:
        if os.path.exists(device):
            ruleset.allow_path(device, access.READ_FILE | access.WRITE_FILE)
    return ruleset


def _loaded_libraries() -> set[Path]:
    """Shared libraries in this process's memory."""
    try:
        lines = Path("/proc/self/maps").read_text(errors="replace").splitlines()
    except OSError:
        return set()
    mapped = {Path(line.split(maxsplit=5)[-1]) for line in lines if ".so" in line}
    return {path for path in mapped if path.is_absolute()}


def _needed_libraries() -> set[str]:
    """Shared libraries in memory once all extension modules of the standard library are; found out in a fork."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        with suppress(BaseException):
            os.close(read_end)
            for folder in library_folders():
                for module in Path(folder, "lib-dynload").glob("*.so"):
                    with suppress(OSError):  # its library is not installed
                        ctypes.CDLL(str(module), os.RTLD_LAZY)
            with os.fdopen(write_end, "w") as pipe:
                pipe.write("\n".join(map(str, _loaded_libraries())))
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end) as pipe:
        found = set(pipe.read().split("\n"))
    os.waitpid(pid, 0)
    return found - {""}
