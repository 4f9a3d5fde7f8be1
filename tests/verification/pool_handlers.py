"""What the pool's tests have its workers do."""

import os
import signal
import socket
import time
from pathlib import Path

PREPARED: list[str] = []


def prepare(value):
    """Called in the workers' ancestor."""
    PREPARED.append(value)


def misbehave(item):
    """Do what the item says; return it if it says nothing known."""
    match item:
        case "hang":
            while True:
                pass
        case "sleep":
            time.sleep(60)
        case "hang in C":
            return len(str(9 ** (9**9)))
        case "die":
            os._exit(3)
        case "memory":
            return len("x" * (1 << 34))
        case "recursion":
            return misbehave_again()
        case "raise":
            raise ValueError("said so")
        case "pid" | "pid, of the other":
            return os.getpid()
        case "pid, after a while":
            time.sleep(0.3)
            return os.getpid()
        case "prepared":
            return PREPARED
        case "environment":
            return sorted(os.environ)
        case "flood":
            return "x" * (8 << 20)
    return item


def misbehave_again():
    """Endless recursion."""
    return misbehave_again()


def forge(item):
    """Write what looks like a reply on the worker's channel, before the true one."""
    for fd in range(3, 64):
        try:
            os.write(fd, item["line"].encode())
        except OSError:
            continue
    return item


def reach_out(item):
    """Try what a worker has no right to; the names of what worked."""
    worked = []
    attempts = {
        "read": lambda: Path(item["file"]).read_text(),
        "write": lambda: Path(item["file"] + ".new").touch(),
        "connect": lambda: socket.create_connection(("127.0.0.1", item["port"]), 1),
        "fork": os.fork,
        "signal": lambda: os.kill(item["pid"], signal.SIGTERM),
        "list": lambda: os.listdir(os.path.dirname(item["file"])),
    }
    for name, attempt in attempts.items():
        try:
            attempt()
            worked.append(name)
        except OSError:
            pass
    return worked
