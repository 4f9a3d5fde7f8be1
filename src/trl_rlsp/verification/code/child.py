"""How a forked process gives up its rights and becomes the program it was asked to run."""

from __future__ import annotations

import _sitebuiltins
import atexit
import builtins
import importlib
import os
import resource
import sys
import threading
import traceback
import types
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from trl_rlsp.verification.workers.confine import (
    LANDLOCK_TRUNCATE_ABI,
    MEGABYTE,
    die_with_parent,
    drop_capabilities,
    hide_from_others,
    mapped_bytes,
    set_limit,
    set_no_new_privs,
    set_subreaper,
)
from trl_rlsp.verification.workers.landlock import landlock_abi, python_folders, read_only_ruleset
from trl_rlsp.verification.workers.seccomp import seccomp_available, thread_filter

# Loaded once so that programs, and the harness that calls a function, find them loaded.
PRELOADED = "ast bisect collections functools heapq io itertools json math re string"

MAIN_STACK_BYTES = 64 * MEGABYTE  # deep recursion is common in programs for contests
BARE_INTERPRETER_BYTES = 64 * MEGABYTE
MAX_OPEN_FILES = 64
MAX_PROCESSES = 64  # threads included; counted per user, in a user namespace of its own where there is one
_STARTED_FD = 3
_NAME = "main.py"


class Confinement:
    """The layers that apply, prepared once in the zygote so that each child only has to put them on.

    Attributes:
        no_new_processes: whether a child can start processes.
    """

    def __init__(self, layers: list[str], readable: list[str]) -> None:
        """Prepare.

        Args:
            layers: of `"landlock"`, `"seccomp"`, `"namespaces"`; the first two are applied here.
            readable: folders programs may read besides Python's own.
        """
        self._paths = [*python_folders(), *readable] if "landlock" in layers else None
        self._own_namespace = "namespaces" in layers
        self.no_new_processes = "seccomp" in layers
        self._filter: Any = None
        if self.no_new_processes:
            if not seccomp_available():  # also makes the binding load what it needs, which no child could
                raise OSError("this kernel has no seccomp filters")
            self._filter = thread_filter(allow_truncate=landlock_abi() >= LANDLOCK_TRUNCATE_ABI)
            self._filter.program  # noqa: B018 - compiled here once, used by every child
        self._ruleset: Any = None
        for name in PRELOADED.split():
            importlib.import_module(name)
        self._mapped = mapped_bytes() or BARE_INTERPRETER_BYTES  # children cannot look it up

    def confine_zygote(self) -> list[str]:
        """Apply to the zygote what its children need not undo.

        Returns:
            Names of the layers that each child will have.

        Raises:
            OSError: the kernel refused a layer that was promised.
        """
        _volunteer_for_the_oom_killer()
        set_no_new_privs()
        drop_capabilities()
        hide_from_others()
        set_subreaper()
        os.chdir("/")
        if self._paths is not None:
            self._ruleset = read_only_ruleset(self._paths)  # the children's; ours is a second, equal one
            read_only_ruleset(self._paths).restrict()
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        names = {"landlock": self._ruleset, "seccomp": self._filter}
        return ["limits", *[name for name, layer in names.items() if layer is not None]]

    def run_program(self, files: Sequence[int], started_fd: int, limits: Mapping[str, Any]) -> None:
        """Become the program; never returns.

        Args:
            files: open files: the source text (UTF-8), the input, for the output, for error messages.
            started_fd: pipe told when all layers are on, so that a failure before is not the program's.
            limits: the fields of `Limits`.
        """
        os.setsid()
        die_with_parent()
        with os.fdopen(files[0], "rb") as file:
            source = file.read()
        for standard, file_fd in enumerate(files[1:]):
            os.dup2(file_fd, standard)
        if self._ruleset is not None:
            self._ruleset.restrict()
        os.dup2(started_fd, _STARTED_FD)
        os.closerange(_STARTED_FD + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        self._limit(limits)
        if self._filter is not None:
            self._filter.load()
        os.write(_STARTED_FD, b"1")
        os.close(_STARTED_FD)
        execute(source)

    def _limit(self, limits: Mapping[str, Any]) -> None:
        cpu_seconds = int(limits["seconds"]) + 1
        set_limit("RLIMIT_CPU", cpu_seconds, cpu_seconds + 1)
        set_limit("RLIMIT_FSIZE", limits["output_bytes"])
        set_limit("RLIMIT_CORE", 0)
        set_limit("RLIMIT_NOFILE", MAX_OPEN_FILES)
        set_limit("RLIMIT_STACK", MAIN_STACK_BYTES)
        set_limit("RLIMIT_MEMLOCK", 0)
        set_limit("RLIMIT_MSGQUEUE", 0)
        if self._own_namespace or not self.no_new_processes:
            others = 0 if self._own_namespace else threads_of_user()
            if others is not None:
                set_limit("RLIMIT_NPROC", others + MAX_PROCESSES)
        set_limit("RLIMIT_AS", self._mapped + limits["memory_mb"] * MEGABYTE)


def execute(source: bytes) -> None:
    """Run source text as `__main__` with fresh standard streams, and end as an interpreter would.

    Taking the interpreter down tidily would cost most of the time of a short run, so its visible parts only
    are done: wait for threads, call exit handlers, write what is buffered.

    Args:
        source: the program, UTF-8.
    """
    sys.argv = [_NAME]
    sys.stdin = sys.__stdin__ = _stream(0, "r")  # type: ignore[misc]
    stdout = sys.stdout = sys.__stdout__ = _stream(1, "w")  # type: ignore[misc]
    for name in ("exit", "quit"):  # `site` makes these, and is not loaded
        setattr(builtins, name, _sitebuiltins.Quitter(name, "end of file"))
    module = types.ModuleType("__main__")
    module.__dict__["__builtins__"] = builtins
    sys.modules["__main__"] = module
    code = _exit_code(lambda: exec(compile(source, _NAME, "exec", dont_inherit=True), module.__dict__))
    for last_step in (threading._shutdown, atexit._run_exitfuncs):  # type: ignore[attr-defined]
        _exit_code(last_step)
    os._exit(_exit_code(lambda: _flush(stdout, sys.stdout)) or code)


def _stream(fd: int, mode: str) -> Any:
    return open(fd, mode, encoding="utf-8", errors="surrogateescape", closefd=False)


def _flush(*streams: Any) -> None:
    for stream in streams:
        if not stream.closed:
            stream.flush()


def _exit_code(run: Callable[[], object]) -> int:
    """What the interpreter's exit code would be; the broad `except` is the end of the process."""
    try:
        run()
    except SystemExit as leaving:
        code = leaving.code
        return code & 0xFF if isinstance(code, int) else int(code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def threads_of_user() -> int | None:
    """Threads this user has now, which is what `RLIMIT_NPROC` counts.

    Returns:
        The number; `None` where the system does not tell.
    """
    try:
        processes = [entry for entry in os.listdir("/proc") if entry.isdigit()]
    except OSError:
        return None
    total = 0
    for process in processes:
        with suppress(OSError):  # it ended meanwhile
            if os.stat(f"/proc/{process}").st_uid == os.getuid():
                total += len(os.listdir(f"/proc/{process}/task"))
    return total


def _volunteer_for_the_oom_killer() -> None:
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")
    except OSError:
        pass  # no /proc here; the limits still hold
