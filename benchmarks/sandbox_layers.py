"""Which layer of the sandbox stops what: `python benchmarks/sandbox_layers.py`, prints a Markdown table.

Runs a mild form of each attempt (one fork, signal 0, one file) under limits only, under each layer alone, and
under what each backend uses.
"""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path

from trl_rlsp.verification import Limits, LocalSandbox
from trl_rlsp.verification.code.sandbox import bubblewrap_privileges
from trl_rlsp.verification.workers._confine import available_layers, landlock_abi

LIMITS = Limits(seconds=1.0, memory_mb=256, output_bytes=100_000)
COLUMNS = {
    "limits only": (),
    "Landlock": ("landlock",),
    "seccomp": ("seccomp",),
    "namespaces": ("namespaces",),
    "Landlock backend": ("landlock", "seccomp"),
    "bubblewrap backend": ("namespaces", "landlock", "seccomp"),
}
ATTEMPTS = {
    "read a file of tests": "open({secret!r}).read()",
    "see that it exists": "os.stat({secret!r})",
    "list a folder": "os.listdir({folder!r})",
    "write a file": "open({folder!r} + '/new', 'w')",
    "delete a file": "os.remove({victim!r})",
    "change a file's mode": "os.chmod({victim!r}, 0o600)",
    "read the environment of the parent": "open(f'/proc/{{os.getppid()}}/environ').read()",
    "read the memory of the parent": "open(f'/proc/{{os.getppid()}}/mem', 'rb')",
    "trace the parent": "check(libc.ptrace(16, os.getppid(), 0, 0) == 0)",
    "signal the parent": "os.kill(os.getppid(), 0)",
    "connect over TCP": "socket.create_connection(('127.0.0.1', {port}), 1)",
    "send over UDP": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', {port}))",
    "start a process": "os._exit(0) if os.fork() == 0 else os.wait()",
    "run a command": "os.posix_spawn('/bin/true', ['true'], {{}})",
    "start a thread (allowed)": "threading.Thread(target=print).start()",
    "allocate 10 GB": "bytearray(10 << 30)",
    "write 1 MB of output": "check(os.write(1, b'x' * 10 ** 6) == 10 ** 6)",
    "write 1 MB to shared memory": "os.write(os.memfd_create('x'), b'x' * 10 ** 6)",
}
PROGRAM = """
import ctypes, os, socket, sys, threading
libc = ctypes.CDLL(None)
def check(worked):
    if not worked:
        raise OSError
try:
    {action}
except (OSError, MemoryError):
    sys.exit(7)
"""


def main() -> None:
    """Try everything and print who stopped it."""
    columns = {name: layers for name, layers in COLUMNS.items() if _possible(layers)}
    print(f"Linux {os.uname().release}, Landlock version {landlock_abi()}, user {os.geteuid()}\n")
    print("| attempt | " + " | ".join(columns) + " |")
    print("|---|" + "---|" * len(columns))
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as server:
        boxes = {name: LocalSandbox("unsandboxed", layers=layers) for name, layers in columns.items()}
        for name, action in ATTEMPTS.items():
            cells = [_outcome(box, action, Path(folder), server.getsockname()[1]) for box in boxes.values()]
            print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def _outcome(box: LocalSandbox, action: str, folder: Path, port: int) -> str:
    for name in ("secret", "victim"):
        (folder / name).write_text("[]")
    paths = {name: str(folder / name) for name in ("secret", "victim")}
    program = PROGRAM.format(action=action.format(folder=str(folder), port=port, **paths))
    result = box.run(program, "", LIMITS)
    if result.status == "finished":
        return "works"
    stopped = result.status == "failed" and not result.stderr
    return "stopped" if stopped else f"{result.status} {result.stderr[-60:]!r}"


def _possible(layers: tuple[str, ...]) -> bool:
    there = [*available_layers(), *(["namespaces"] if bubblewrap_privileges() else [])]
    return set(layers) <= set(there)


if __name__ == "__main__":
    main()
