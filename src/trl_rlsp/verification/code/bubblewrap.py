"""Bubblewrap: sandbox processes in namespaces of their own, with only Python's files mounted, read-only.

Adds to Landlock and seccomp what those lack: other files do not exist, there are no other processes to see,
and the limit on processes is the sandbox's own. Needs `bwrap` and a system that lets this user make user
namespaces. Source: bwrap(1).
"""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from functools import cache

from trl_rlsp.verification.workers.landlock import LIBRARY_FOLDERS, NOT_THE_LIBRARY, library_folders, python_folders

_NAMESPACES = ("--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try")
_USER_NAMESPACE = ("--unshare-user", "--cap-drop", "ALL")
_ROOT = ("--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", "--cap-add", "CAP_DAC_READ_SEARCH")
_PROBE_SECONDS = 10.0


def bubblewrap_command(readable: Iterable[str]) -> list[str]:
    """The part of a command line that puts what follows into the sandbox.

    Args:
        readable: files and folders to mount besides Python's own; those that do not exist are left out.

    Returns:
        Arguments that start with the path of `bwrap`.
    """
    return _command(readable, _privileges() or _USER_NAMESPACE)


def bubblewrap_works() -> bool:
    """Whether `bwrap` is installed and can start Python here; tried once for each process.

    Returns:
        `False` also where user namespaces are forbidden to this user.
    """
    return _privileges() is not None


@cache
def _privileges() -> tuple[str, ...] | None:
    """How this user gets namespaces. Root without one for users, so that the sandbox can take a user id of its own."""
    if shutil.which("bwrap") is None:
        return None
    for options in (_ROOT, _USER_NAMESPACE) if os.geteuid() == 0 else (_USER_NAMESPACE,):
        command = [*_command((), options), os.path.realpath(sys.executable), "-I", "-S", "-c", "pass"]
        with suppress(OSError, subprocess.SubprocessError):
            subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PROBE_SECONDS, check=True)
            return options
    return None


def _command(readable: Iterable[str], privileges: Iterable[str]) -> list[str]:
    command = [shutil.which("bwrap") or "bwrap", *_NAMESPACES, *privileges]
    command += ["--clearenv", "--new-session", "--dev", "/dev", "--proc", "/proc"]
    for path in dict.fromkeys([*python_folders(), os.path.realpath(sys.executable), *readable]):
        command += ["--ro-bind-try", path, path]
    for path in _not_the_library():
        command += ["--tmpfs", path, "--remount-ro", path]
    command += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/"]
    return [*command, "--setenv", "PYTHONHASHSEED", "0"]


def _not_the_library() -> list[str]:
    """Folders below those mounted that hold installed packages."""
    library = library_folders()
    packages = [os.path.join(folder, name) for folder in library for name in NOT_THE_LIBRARY]
    others = [path for folder in LIBRARY_FOLDERS for path in glob.glob(f"{os.path.realpath(folder)}/python*/")]
    others = [path.rstrip("/") for path in others if path.rstrip("/") not in library]
    return sorted({path for path in [*packages, *others] if os.path.isdir(path)})
