"""What runs a program nobody trusts, and what comes back.

A sandbox is anything with `run(program, stdin, limits) -> RunResult`: the local one of `local_sandbox.py`, or
a remote service. It is told neither the tests nor the expected output, and returns what the program wrote;
whoever asked compares. `find_sandbox` picks the strongest local one this machine allows.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from functools import cache
from typing import Literal, Protocol, runtime_checkable

from trl_rlsp.errors import MissingDependencyError
from trl_rlsp.verification.code.bubblewrap import bubblewrap_works
from trl_rlsp.verification.code.local_sandbox import LocalSandbox
from trl_rlsp.verification.code.run_result import Limits, RunResult
from trl_rlsp.verification.workers.landlock import landlock_abi
from trl_rlsp.verification.workers.seccomp import seccomp_available

__all__ = [
    "Backend",
    "Limits",
    "RunResult",
    "Runner",
    "Sandbox",
    "available_backend",
    "find_sandbox",
    "require_sandbox",
    "runner_of",
]

Backend = Literal["bubblewrap", "landlock", "unsandboxed"]
Runner = Callable[[str, str, Limits], RunResult]


@runtime_checkable
class Sandbox(Protocol):
    """Runs one program with one input; safe to call from several threads."""

    def run(self, program: str, stdin: str, limits: Limits) -> RunResult:
        """Run a Python program in a fresh process.

        Args:
            program: Python source text.
            stdin: what it reads from standard input.
            limits: what it may use.

        Returns:
            How it ended and what it wrote to standard output.

        Raises:
            WorkerError: the sandbox itself failed; the program is not to blame.
        """
        ...


def runner_of(sandbox: Sandbox | Runner) -> Runner:
    """The callable behind a sandbox object or a bare callable `(program, stdin, limits) -> RunResult`.

    Args:
        sandbox: either form.

    Returns:
        The callable.
    """
    return sandbox.run if isinstance(sandbox, Sandbox) else sandbox


def available_backend() -> Backend | None:
    """The strongest isolation this machine offers to this user.

    Returns:
        `"bubblewrap"` where `bwrap` is installed and may make user namespaces, else `"landlock"` where the
        kernel has both Landlock and seccomp filters, else `None`.
    """
    if bubblewrap_works():
        return "bubblewrap"
    return "landlock" if landlock_abi() and seccomp_available() else None


def require_sandbox(columns: Iterable[str]) -> None:
    """Refuse problems whose programs could not be run here, before a model is loaded for them.

    Args:
        columns: the columns of the problems; those with `tests` need a sandbox.

    Raises:
        MissingDependencyError: this machine has none; the message says how to get one.
    """
    if "tests" in columns and available_backend() is None:
        raise MissingDependencyError(_no_sandbox())


@cache
def find_sandbox(allow_unsandboxed: bool = False) -> LocalSandbox:
    """The local sandbox shared by this process; it closes itself at exit.

    Args:
        allow_unsandboxed: where there is no isolation, run programs with resource limits only, and warn once.

    Returns:
        A sandbox with its processes not yet started.

    Raises:
        MissingDependencyError: no isolation is available and `allow_unsandboxed` is false.
    """
    backend = available_backend()
    if backend is not None:
        return LocalSandbox(backend)
    if not allow_unsandboxed:
        raise MissingDependencyError(_no_sandbox())
    warnings.warn(
        "programs of completions run WITHOUT a sandbox: they can read and delete your files",
        RuntimeWarning,
        stacklevel=2,
    )
    return LocalSandbox("unsandboxed")


def _no_sandbox() -> str:
    return (
        "programs of completions run only inside a sandbox, and this machine offers none "
        f"(Landlock version {landlock_abi()}, seccomp {seccomp_available()}, bubblewrap not usable). "
        "Install one: `apt-get install bubblewrap`, or `pip install landlockpy seccompy` on a kernel "
        ">= 5.13 with Landlock enabled; or pass a remote sandbox; or, for programs you trust, "
        "allow_unsandboxed=True"
    )
