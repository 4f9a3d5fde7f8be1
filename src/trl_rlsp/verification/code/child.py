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
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NoReturn

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
PRELOADED = "ast bisect collections copy datetime functools heapq io itertools json math operator random re typing"

MAIN_STACK_BYTES = 64 * MEGABYTE  # deep recursion is common in programs for contests
MAX_PROCESSES = 64  # of the user, threads and the server included
_NAME = "main.py"


class Program:
    """Work of a fork server: a program that nobody trusts, in a process of its own.

    The server never sees a program or its input: only the fork reads the open files that hold them, so that none
    inherits what another was given, and it gives up its rights before it compiles the program.

    Args:
        layers: of `"namespaces"`, `"landlock"`, `"seccomp"`; the last two are applied here.
        packages: folders programs may read besides the standard library.

    Raises:
        OSError: the kernel refused a layer that was promised.
    """

    waits = True

    def __init__(self, layers: list[str], packages: list[str]) -> None:
        for name in PRELOADED.split():
            importlib.import_module(name)
        importlib.util.find_spec("no_such_module")  # every folder of sys.path has been listed once
        paths = [*standard_library(), *packages] if "landlock" in layers else []
        self.confinement = Confinement(layers, paths, threads=True)
        self.leaves_processes = "seccomp" not in layers
        self._confine_server(packages, read_only_ruleset(paths) if paths else None)

    def _confine_server(self, packages: list[str], ruleset: Any) -> None:
        """Apply to the server what its forks need not undo."""
        with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")
        set_subreaper()
        os.chdir("/")
        counted = own_user([os.__file__, *packages])
        hide_from_others()
        set_no_new_privs()
        if ruleset is not None:  # the forks' is a second, equal one
            ruleset.restrict()
        self.layers = ["limits", *self.confinement.layers, *(["threads"] if counted else [])]

    def prepare(self, value: str) -> None:
        """Nothing to prepare."""

    def run(self, request: dict[str, Any], files: Sequence[int]) -> NoReturn:
        """Become the program.

        Args:
            request: the fields of `Limits`, and `threads`, the number of others' threads that count.
            files: the source text (UTF-8), the input, for the output, for messages; and a pipe to be told when all
                layers are on, so that a failure before is not the program's.
        """
        os.setsid()
        with os.fdopen(files[0], "rb") as file:
            source = file.read()
        for standard, file_fd in enumerate(files[1:4]):
            os.dup2(file_fd, standard)
        set_limit("RLIMIT_STACK", MAIN_STACK_BYTES)
        self.confinement.put_on(
            request["memory_mb"],
            output_bytes=request["output_bytes"],
            processes=MAX_PROCESSES + request.get("threads", 0),
            seconds=request["seconds"],
        )
        os.write(files[4], b"1")
        os.closerange(3, 1 << 16)
        execute(source)


def execute(source: bytes) -> NoReturn:
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
