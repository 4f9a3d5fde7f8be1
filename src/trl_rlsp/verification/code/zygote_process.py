"""One running `zygote.py`, seen from the trainer: start it, hand it open files, read the answer."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import IO, get_args

from trl_rlsp.errors import WorkerError
from trl_rlsp.verification.code.bubblewrap import bubblewrap_command
from trl_rlsp.verification.code.run_result import MESSAGE_BYTES, Limits, RunResult, RunStatus
from trl_rlsp.verification.workers.confine import threads_of_user

_HELLO_SECONDS = 30.0
_GRACE_SECONDS = 10.0  # beyond a program's own limit, before the zygote itself is taken for dead
_CLOSE_SECONDS = 2.0
_REPLY_BYTES = 256


class ZygoteProcess:
    """The process and the socket to it; for one caller at a time.

    Attributes:
        layers: what each program will be confined by, as the zygote itself reports.
    """

    def __init__(self, layers: Sequence[str], packages: Sequence[str]) -> None:
        """Start the process and wait until it has confined itself.

        Args:
            layers: of `"namespaces"`, `"landlock"`, `"seccomp"`.
            packages: folders programs may import from besides the standard library.

        Raises:
            WorkerError: it cannot be started, or a layer cannot be applied.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        owner_fd = -1
        with suppress(OSError):  # Linux before 5.3; then the closed socket alone tells that we are gone
            owner_fd = os.pidfd_open(os.getpid())
        inherited = [fd for fd in (theirs.fileno(), owner_fd) if fd >= 0]
        config = {
            "control_fd": theirs.fileno(),
            "owner_fd": owner_fd,
            "layers": list(layers),
            "readable": list(packages),
            "packages": list(packages),
            "import_path": _binding_folders(),
        }
        with theirs, tempfile.TemporaryFile() as errors:
            try:
                self._process = subprocess.Popen(
                    [*_prefix(layers, packages), *_python(), json.dumps(config)],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=errors,
                    pass_fds=inherited,
                    env={"PYTHONHASHSEED": "0"},
                    start_new_session=True,
                )
            except OSError as error:
                ours.close()
                raise WorkerError(f"the process that runs programs cannot be started: {error}") from error
            finally:
                if owner_fd >= 0:
                    os.close(owner_fd)
            theirs.close()
            self._socket = ours
            self._await_hello(errors)

    def run(self, program: str, stdin: str, limits: Limits) -> RunResult:
        """Run one program.

        Args:
            program: Python source text.
            stdin: what it reads from standard input.
            limits: what it may use.

        Returns:
            How it ended and what it wrote.

        Raises:
            ConnectionError: this zygote is of no more use.
        """
        with ExitStack() as stack:
            files = [stack.enter_context(_file(text)) for text in (program, stdin, "", "")]
            request = asdict(limits) | ({} if "threads" in self.layers else {"threads": _threads_now()})
            self._socket.settimeout(limits.seconds + _GRACE_SECONDS)
            try:
                socket.send_fds(self._socket, [json.dumps(request).encode()], [file.fileno() for file in files])
                status = self._socket.recv(_REPLY_BYTES).decode()
            except OSError as error:  # TimeoutError is one too
                raise ConnectionError(str(error)) from error
            if status not in get_args(RunStatus):
                raise ConnectionError(f"ended without an answer {status!r}")
            stdout = os.pread(files[2].fileno(), limits.output_bytes, 0)
            return RunResult(status, stdout, _tail(files[3].fileno()))  # type: ignore[arg-type]

    def close(self) -> None:
        """Let go; the zygote and what it runs end by themselves when the socket closes."""
        self._socket.close()
        try:
            self._process.wait(_CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def forget(self) -> None:
        """Close our copy of the socket without waiting for a process that is not ours."""
        self._socket.close()
        self._process.returncode = 0  # tells Popen not to look for it

    def _await_hello(self, errors: IO[bytes]) -> None:
        self._socket.settimeout(_HELLO_SECONDS)
        hello = b""
        with suppress(OSError):
            hello = self._socket.recv(_REPLY_BYTES)
        if not hello:
            self._process.kill()
            self.close()
            errors.seek(0)
            said = errors.read().decode(errors="replace").strip()[-500:]
            raise WorkerError(f"the process that runs programs did not start: {said or 'no message'}")
        self.layers = json.loads(hello)


_counted: tuple[float, int] = (float("-inf"), 0)


def _threads_now() -> int:
    """Threads of this user, counted at most once a second."""
    global _counted
    if time.monotonic() - _counted[0] > 1:
        _counted = time.monotonic(), threads_of_user()
    return _counted[1]


def _python() -> list[str]:
    zygote = Path(__file__).with_name("zygote.py")
    return [os.path.realpath(sys.executable), "-s", "-S", "-P", "-B", str(zygote)]


def _prefix(layers: Sequence[str], packages: Sequence[str]) -> list[str]:
    if "namespaces" not in layers:
        return []
    bindings = [str(Path(folder) / name) for folder in _binding_folders() for name in ("landlockpy", "seccompy")]
    return bubblewrap_command([str(Path(__file__).parents[1]), *bindings, *packages])


def _binding_folders() -> list[str]:
    specs = [find_spec(name) for name in ("landlockpy", "seccompy")]
    return sorted({str(Path(spec.origin).parents[1]) for spec in specs if spec and spec.origin})


def _tail(fd: int) -> bytes:
    size = os.fstat(fd).st_size
    return os.pread(fd, MESSAGE_BYTES, max(0, size - MESSAGE_BYTES))


def _file(text: str) -> IO[bytes]:
    """An open file without a name, at its start: the kernel holds the data, no pipe can fill up."""
    file: IO[bytes] = os.fdopen(os.memfd_create("sandbox"), "r+b", buffering=0)
    data = text.encode("utf-8", errors="surrogatepass")
    view = memoryview(data)
    while view:
        view = view[file.write(view) or 0 :]
    file.seek(0)
    return file
