"""Bubblewrap: sandbox processes in namespaces of their own, with only Python's files mounted, read-only.

Adds to Landlock and seccomp what those lack: other files do not exist, there are no other processes to see,
and the limit on processes is the sandbox's own. Needs `bwrap` and a system that lets this user make user
namespaces. Source: bwrap(1).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from functools import cache

from trl_rlsp.verification.workers.landlock import python_folders

_NAMESPACES = ("--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts")
_PROBE_SECONDS = 10.0


def bubblewrap_command(readable: Iterable[str]) -> list[str]:
    """The part of a command line that puts what follows into the sandbox.

    Args:
        readable: files and folders to mount besides Python's own; those that do not exist are left out.

    Returns:
        Arguments that start with the path of `bwrap`.
    """
    command = [shutil.which("bwrap") or "bwrap", *_NAMESPACES, "--unshare-cgroup-try", "--cap-drop", "ALL"]
    command += ["--clearenv", "--new-session", "--dev", "/dev", "--proc", "/proc"]
    for path in dict.fromkeys([*python_folders(), os.path.realpath(sys.executable), *readable]):
        command += ["--ro-bind-try", path, path]
    return [*command, "--remount-ro", "/", "--chdir", "/", "--setenv", "PYTHONHASHSEED", "0"]


@cache
def bubblewrap_works() -> bool:
    """Whether `bwrap` is installed and can start Python here; tried once for each process.

    Returns:
        `False` also where user namespaces are forbidden to this user.
    """
    if shutil.which("bwrap") is None:
        return False
    command = [*bubblewrap_command(()), os.path.realpath(sys.executable), "-I", "-S", "-c", "pass"]
    try:
        probe = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PROBE_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return probe.returncode == 0
