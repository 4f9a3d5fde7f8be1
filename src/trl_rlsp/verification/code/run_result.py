"""The two values a sandbox exchanges: the limits of a run, and its result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

RunStatus = Literal[
    "finished",  # ended by itself with exit code 0
    "failed",  # ended by itself with another exit code, such as 1 after an exception
    "killed",  # ended by a signal: out of CPU seconds, out of stack, a crash of the interpreter
    "timeout",  # still ran at the wall-clock limit
]


MESSAGE_BYTES = 2000


@dataclass(frozen=True)
class Limits:
    """What one run of a program may use.

    Attributes:
        seconds: wall-clock time; CPU time is limited to one second more.
        memory_mb: address space it may add to the bare interpreter's, in MiB.
        output_bytes: standard output; writing more fails.
    """

    seconds: float = 5.0
    memory_mb: int = 512
    output_bytes: int = 1024 * 1024


@dataclass(frozen=True)
class RunResult:
    """How a run ended.

    Attributes:
        status: how the program ended.
        stdout: what it wrote, at most `Limits.output_bytes` bytes, not necessarily text.
        stderr: the end of its messages, at most `MESSAGE_BYTES` bytes; for people, never for scoring.
    """

    status: RunStatus
    stdout: bytes = b""
    stderr: bytes = b""
