"""Landlock rules: which files a confined process may still read.

Nothing may be written, created, removed or executed. Reading is limited to Python's own files, shared
libraries and time zones; so tests, data sets, keys and home folders cannot be read. `stat` is not covered by
Landlock: the existence and size of a file can still be seen. Bindings: `landlockpy`.
Source: kernel.org/doc/html/latest/userspace-api/landlock.html.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

try:
    import landlockpy
except ImportError:  # not Linux, or not installed: `landlock_abi` says 0
    landlockpy = None  # type: ignore[assignment]

_LIBRARY_FOLDERS = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib")
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


def python_folders(*, packages: bool = False) -> list[str]:
    """Folders and files the interpreter reads when it runs or imports.

    Args:
        packages: also those of installed packages and of this one.

    Returns:
        Existing paths, without the current folder and whatever else `sys.path` holds.
    """
    base = {"base": sys.base_prefix, "platbase": sys.base_exec_prefix}  # not the virtual environment's
    paths = {sysconfig.get_path(name, vars=base) for name in ("stdlib", "platstdlib")}
    paths |= {
        sysconfig.get_config_var("LIBDIR"),
        *_LIBRARY_FOLDERS,
        *_SHARED_FILES,
        *_loaded_library_folders(),
    }
    if packages:
        paths |= {path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")}
        paths.add(str(Path(__file__).parents[2]))
    return sorted(path for path in paths if path and path != "/" and os.path.exists(path))


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


def _loaded_library_folders() -> set[str]:
    """Where the interpreter's own libraries lie, on systems that keep them elsewhere."""
    try:
        lines = Path("/proc/self/maps").read_text(errors="replace").splitlines()
    except OSError:
        return set()
    mapped = {Path(line.split(maxsplit=5)[-1]) for line in lines if ".so" in line}
    return {str(path.parent) for path in mapped if path.is_absolute() and path.name.startswith(_OWN_LIBRARIES)}
