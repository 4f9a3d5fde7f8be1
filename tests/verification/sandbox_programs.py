"""Programs for the tests of the sandbox, and how they are wrapped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CASES = json.loads((Path(__file__).parents[1] / "data" / "verifier_code.json").read_text())
STDIN_TESTS = [{"input": given, "output": wanted} for given, wanted in CASES["stdin_tests"]]
FUNCTION_TESTS = [
    {"function": "add_up", "arguments": [given], "output": wanted} for given, wanted in CASES["function_tests"]
]
SUM_TESTS = [{"input": f"{a} {b}", "output": str(a + b)} for a, b in ((1, 2), (30, 4), (-5, 5))]
SUM_PROGRAM = "a, b = map(int, input().split())\nprint(a + b)\n"


def completion(program: str, reasoning: str = "") -> str:
    """A completion with one program."""
    return f"<think>{reasoning}</think>\nHere it is:\n```python\n{program}\n```\n"


def row_tests(kind: str) -> list[dict[str, Any]]:
    """The tests of a case of the corpus."""
    return FUNCTION_TESTS if kind == "function" else STDIN_TESTS


# Each would be right on SUM_TESTS if what it tries succeeded, or hurts what runs it; none may score.
HOSTILE = {
    "endless_loop": "while True: pass",
    "sleeps": "import time; time.sleep(60)",
    "ignores_signals": "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: pass",
    "exit_0": "import sys; sys.exit(0)",
    "os_exit_0": "import os; os._exit(0)",
    "kill_parent": "import os, signal; os.kill(os.getppid(), signal.SIGKILL)",
    "kill_group": "import os, signal; os.killpg(0, signal.SIGKILL)",
    "close_stdout": "import sys, os; sys.stdout.close(); os.close(1); print(3)",
    "flood": "while True: print('3' * 1000)",
    "flood_stderr": "import sys\nwhile True: sys.stderr.write('3' * 1000)",
    "binary": "import sys; sys.stdout.buffer.write(bytes(range(256)) * 100)",
    "not_utf8": "import sys; sys.stdout.buffer.write(b'3\\n\\xff\\xfe')",
    "patches_builtins": "import builtins\nbuiltins.print = builtins.len = builtins.open = lambda *a, **k: 3",
    "deep_recursion": "import sys\nsys.setrecursionlimit(10 ** 9)\nclass A:\n  __repr__ = lambda s: repr(s)\nrepr(A())",
    "segfault": "import ctypes; ctypes.string_at(0)",
    "syntax_error": "print((3",
    "null_bytes": "print(3)\x00",
    "nested_brackets": "x = " + "(" * 5000 + ")" * 5000,
    "lone_surrogate": "print('\ud800')",
    "many_threads": "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(60,)).start()",
    "thread_stays": "import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()\nprint('no')",
}
