"""How a forked process gives up its rights and becomes the program it was asked to run."""

from __future__ import annotations

import _sitebuiltins
import atexit
import builtins
import importlib.util
import os
import sys
import threading
import traceback
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trl_rlsp.verification.workers.confine import (
    MEGABYTE,
    Confinement,
    hide_from_others,
    own_user,
    set_limit,
    set_no_new_privs,
    set_subreaper,
)
from trl_rlsp.verification.workers.landlock import read_only_ruleset, standard_library

# Loaded once so that programs, and the harness that calls a function, find them loaded.
PRELOADED = "ast bisect collections functools heapq io itertools json math re string"

MAIN_STACK_BYTES = 64 * MEGABYTE  # deep recursion is common in programs for contests
MAX_PROCESSES = 64  # of the user, threads and the zygote included
_NAME = "main.py"


class ProgramConfinement:
    """The layers that apply, prepared once in the zygote so that each child only has to put them on.

    Attributes:
        no_new_processes: whether a child can start processes.
        counted: whether the limit on threads is the zygote's own, so that nobody else's threads count.
    """

    def __init__(self, layers: list[str], readable: list[str]) -> None:
        self.no_new_processes = "seccomp" in layers
        self._own_namespace = "namespaces" in layers
        self._packages = readable
        for name in PRELOADED.split():
            importlib.import_module(name)
        importlib.util.find_spec("no_such_module")  # every folder of sys.path has been listed once
        paths = [*standard_library(), *readable] if "landlock" in layers else []
        self._confinement = Confinement(layers, paths, threads=True)
        self._paths = paths

    def confine_zygote(self) -> list[str]:
        """Apply to the zygote what its children need not undo.

        Returns:
            Names of the layers that each child will have; `"threads"` if their number is limited by themselves.

        Raises:
            OSError: the kernel refused a layer that was promised.
        """
        _volunteer_for_the_oom_killer()
        set_subreaper()
        os.chdir("/")
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        own = read_only_ruleset(self._paths) if self._paths else None  # the children's is a second, equal one
        self.counted = own_user([os.__file__, *self._packages])
        hide_from_others()
        set_no_new_privs()
        if own is not None:
            own.restrict()
        return ["limits", *self._confinement.layers, *(["threads"] if self.counted else [])]

    def run_program(self, files: Sequence[int], started_fd: int, limits: Mapping[str, Any]) -> None:
        """Become the program; never returns.

        Args:
            files: open files: the source text (UTF-8), the input, for the output, for error messages.
            started_fd: pipe told when all layers are on, so that a failure before is not the program's.
            limits: the fields of `Limits`, and `threads`, the number of others' threads that count.
        """
        os.setsid()
        with os.fdopen(files[0], "rb") as file:
            source = file.read()
        for standard, file_fd in enumerate(files[1:]):
            os.dup2(file_fd, standard)
        set_limit("RLIMIT_STACK", MAIN_STACK_BYTES)
        self._confinement.put_on(
            limits["memory_mb"],
            output_bytes=limits["output_bytes"],
            processes=MAX_PROCESSES + limits.get("threads", 0),
            seconds=limits["seconds"],
        )
        os.write(started_fd, b"1")
        os.closerange(3, 1 << 16)
        execute(source)


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


def _volunteer_for_the_oom_killer() -> None:
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")
    except OSError:
        pass  # no /proc here; the limits still hold
