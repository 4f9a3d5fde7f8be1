"""How many programs a second the sandbox runs: `python benchmarks/code_sandbox.py [--runs 200]`.

Prints a Markdown table: one line for each backend this machine has and each number of workers, for a trivial
program reading its input and for a call of a function, beside starting a fresh interpreter without any isolation.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from trl_rlsp.verification import Limits, LocalSandbox, verify_code
from trl_rlsp.verification.code.sandbox import bubblewrap_command, bubblewrap_privileges
from trl_rlsp.verification.workers._confine import available_layers

PROGRAM = "a, b = map(int, input().split())\nprint(a + b)\n"
FUNCTION = "def add(a, b):\n    return a + b\n"
WORKERS = (1, 2, 4)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200, help="programs in each measurement")
    runs = parser.parse_args().runs
    print(f"{len(os.sched_getaffinity(0))} processors, Python {sys.version.split()[0]}, {runs} programs a line\n")
    print("| what | workers | programs/s | ms each, median | first, ms |")
    print("|---|---|---|---|---|")
    python = [os.path.realpath(sys.executable), "-I", "-S", "-c", PROGRAM]
    report("fresh interpreter, no isolation", lambda: _fresh(python), runs, (1, 2))
    if bubblewrap_privileges():
        report("fresh bubblewrap each", lambda: _fresh([*bubblewrap_command(()), *python]), runs, (1, 2))
    for backend in ("landlock", "bubblewrap"):
        if backend == "landlock" and len(available_layers()) < 2:
            continue
        if backend == "bubblewrap" and not bubblewrap_privileges():
            continue
        for workers in WORKERS:
            with LocalSandbox(backend) as sandbox:
                report(f"{backend} sandbox", lambda box=sandbox: box.run(PROGRAM, "1 2", Limits()), runs, (workers,))
        for kind, items in (("programs", _programs(runs)), ("function calls", _calls(runs))):
            with LocalSandbox(backend) as sandbox:
                _report_verdicts(f"verify_code, {kind}, {backend}", items, sandbox)


def report(name: str, run: Callable[[], object], runs: int, workers: tuple[int, ...]) -> None:
    """Time `run`, `runs` times over some threads, and print a line for each number of them."""
    for count in workers:
        start = time.perf_counter()
        run()
        first = time.perf_counter() - start

        def timed(_: int) -> float:
            begin = time.perf_counter()
            run()
            return time.perf_counter() - begin

        with ThreadPoolExecutor(count) as pool:
            start = time.perf_counter()
            each = list(pool.map(timed, range(runs)))
            total = time.perf_counter() - start
        print(
            f"| {name} | {count} | {runs / total:.0f} | {1000 * statistics.median(each):.1f} | {1000 * first:.0f} |",
            flush=True,
        )


def _report_verdicts(name: str, items: list[tuple[str | None, list[dict[str, object]]]], sandbox: LocalSandbox) -> None:
    start = time.perf_counter()
    verdicts = verify_code(items, sandbox=sandbox, workers=2)
    total = time.perf_counter() - start
    if any(verdict.score != 1.0 for verdict in verdicts):
        raise SystemExit(f"wrong verdicts: {set(verdicts)}")
    print(f"| {name} | 2 | {len(items) / total:.0f} | | |", flush=True)


def _fresh(command: list[str]) -> None:
    subprocess.run(command, input=b"1 2", stdout=subprocess.PIPE, check=True)


def _programs(runs: int) -> list[tuple[str | None, list[dict[str, object]]]]:
    return [(f"```python\n{PROGRAM}# {i}\n```", [{"input": f"1 {i}", "output": str(1 + i)}]) for i in range(runs)]


def _calls(runs: int) -> list[tuple[str | None, list[dict[str, object]]]]:
    return [
        (f"```python\n{FUNCTION}\n```", [{"function": "add", "arguments": [1, i], "output": 1 + i}])
        for i in range(runs)
    ]


if __name__ == "__main__":
    main()
