"""Verdicts on completions that are programs: run in a sandbox, compared outside it.

A completion is right on a test if its program, given the input alone, writes or returns what is expected.
Failing, crashing and running out of time are the program's; a sandbox that fails is ours and gives no score.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from trl_rlsp.errors import ConfigError, DataError
from trl_rlsp.text.completion import read
from trl_rlsp.verification.code.compare import as_set, same_output, same_value
from trl_rlsp.verification.code.run_result import Limits, RunResult
from trl_rlsp.verification.code.sandbox import Runner, Sandbox, find_sandbox, runner_of
from trl_rlsp.verification.code.tests import CodeTest, read_tests, without_visible
from trl_rlsp.verification.verdict import Reason, Verdict
from trl_rlsp.verification.workers.cores import fitting_workers, share_of_cores

GIVE_UP_AFTER = 3
"""Tests a program may run out of time on; the rest then counts as not passed, without being run."""

MAX_WORKERS = 16
_SPARE_OUTPUT = 64 * 1024
_OUTPUT_FACTOR = 4

__all__ = ["verify_code"]


def verify_code(
    items: Sequence[tuple[str | None, list[Any] | dict[str, Any] | str]],
    *,
    prompts: Sequence[str] | None = None,
    all_or_nothing: bool = False,
    timeout: float = 5.0,
    memory_mb: int = 512,
    workers: int | None = None,
    sandbox: Sandbox | Runner | None = None,
    allow_unsandboxed: bool = False,
) -> list[Verdict]:
    """Run the programs of completions against tests.

    Args:
        items: for each completion its text and the tests of its row, in any form `read_tests` knows.
        prompts: text of each prompt; tests whose input it shows are not counted.
        all_or_nothing: 1.0 only if all tests pass, else 0.0, instead of the share passed.
        timeout: wall-clock seconds for each test.
        memory_mb: MiB a program may map.
        workers: programs at a time; by default as many as there are cores, at most 16. Each rank of a distributed
            run has at most its share of the cores.
        sandbox: where programs run; by default the strongest this machine has.
        allow_unsandboxed: where it has none, run with resource limits only.

    Returns:
        A verdict for each item: `match` with 1.0; `mismatch`, `timeout` or `worker_crash` (the reason for the
        first test not passed) with the share passed; `no_answer` with 0.0 where there is no program;
        `gold_unparseable` with `None` where there is no test that can be read and counts; `scorer_error` with
        `None` where the sandbox failed.

    Raises:
        ConfigError: an argument that cannot work.
        MissingDependencyError: no sandbox on this machine.
    """
    _check_arguments(len(items), prompts, timeout, memory_mb, workers)
    jobs: dict[tuple[object, ...], _Job] = {}
    answers: list[Verdict | _Job] = []
    for index, (completion, tests) in enumerate(items):
        prompt = prompts[index] if prompts is not None else None
        answer = _prepare(completion, tests, prompt)
        if isinstance(answer, _Job):
            answer = jobs.setdefault((answer.program, *answer.tests), answer)  # one run for equal programs
        answers.append(answer)
    if jobs:
        runner = runner_of(sandbox if sandbox is not None else find_sandbox(allow_unsandboxed))
        batch = _Batch(runner, timeout, memory_mb, all_or_nothing)
        batch.run(list(jobs.values()), fitting_workers(workers or min(share_of_cores(), MAX_WORKERS)))
    return [item.verdict(all_or_nothing) if isinstance(item, _Job) else item for item in answers]


@dataclass
class _Job:
    """One program, its tests, and how each went: `None` not run, else the reason."""

    program: str
    tests: list[CodeTest]
    reasons: list[Reason | None] = field(default_factory=list)
    timeouts: int = 0
    stopped: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def record(self, index: int, reason: Reason, *, all_or_nothing: bool) -> None:
        """Note the result of a test, and whether the others still matter."""
        with self.lock:
            self.reasons[index] = reason
            self.timeouts += reason == "timeout"
            hopeless = all_or_nothing and reason != "match"
            self.stopped |= hopeless or reason == "scorer_error" or self.timeouts >= GIVE_UP_AFTER

    def verdict(self, all_or_nothing: bool) -> Verdict:
        """The verdict on the whole."""
        if "scorer_error" in self.reasons:
            return Verdict(None, "scorer_error")
        passed = self.reasons.count("match")
        if passed == len(self.tests):
            return Verdict(1.0, "match")
        reason = next(reason for reason in self.reasons if reason not in ("match", None))
        return Verdict(0.0 if all_or_nothing else passed / len(self.tests), reason or "mismatch")


@dataclass
class _Batch:
    """What all tests of one call have in common."""

    runner: Runner
    timeout: float
    memory_mb: int
    all_or_nothing: bool

    def run(self, jobs: list[_Job], workers: int) -> None:
        """Run all tests of all jobs, `workers` at a time."""
        tasks = [(job, index) for job in jobs for index in range(len(job.tests))]
        pool = ThreadPoolExecutor(min(workers, len(tasks)), thread_name_prefix="sandbox")
        try:
            for _ in pool.map(self._run_test, tasks):
                pass
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _run_test(self, task: tuple[_Job, int]) -> None:
        job, index = task
        if not job.stopped:
            reason = self._reason(job.program, job.tests[index])
            job.record(index, reason, all_or_nothing=self.all_or_nothing)

    def _reason(self, program: str, test: CodeTest) -> Reason:
        room = _OUTPUT_FACTOR * len(test.expected.encode("utf-8", "surrogatepass")) + _SPARE_OUTPUT
        limits = Limits(self.timeout, self.memory_mb, room)
        marker = secrets.token_hex(16)
        try:
            if test.stdin is not None:
                result = self.runner(program, test.stdin, limits)
            else:
                result = self.runner(_harness(), _request(program, test, marker), limits)
        except Exception:  # another process or a remote service failed, in whatever way
            return "scorer_error"
        if result.status == "timeout":
            return "timeout"
        if result.status == "killed":
            return "worker_crash"
        passed = result.status == "finished" and _passes(result, test, marker)
        return "match" if passed else "mismatch"


def _prepare(completion: str | None, tests: Any, prompt: str | None) -> Verdict | _Job:
    try:
        counted = read_tests(tests)
    except DataError:
        return Verdict(None, "gold_unparseable")
    if prompt is not None:
        counted = without_visible(counted, prompt)
    if not counted:
        return Verdict(None, "gold_unparseable")
    program = read(completion, "code").answer
    if program is None:
        return Verdict(0.0, "no_answer")
    return _Job(program, counted, [None] * len(counted))


def _passes(result: RunResult, test: CodeTest, marker: str) -> bool:
    if test.stdin is not None:
        return same_output(result.stdout, test.expected)
    _, framed, rest = result.stdout.rpartition(marker.encode())
    if not framed:
        return False
    try:
        value, expected = json.loads(rest), json.loads(test.expected)
        if test.unordered:
            value = as_set(value)
        return same_value(value, expected, rel_tol=test.rel_tol, abs_tol=test.abs_tol)
    except (ValueError, RecursionError):  # not JSON, or nested without end
        return False


def _request(program: str, test: CodeTest, marker: str) -> str:
    request = {"program": program, "function": test.function, "arguments": test.arguments, "marker": marker}
    return json.dumps(request) + "\n"


@cache
def _harness() -> str:
    return Path(__file__).with_name("call_harness.py").read_text(encoding="utf-8")


def _check_arguments(
    count: int, prompts: Sequence[str] | None, timeout: float, memory_mb: int, workers: int | None
) -> None:
    if prompts is not None and len(prompts) != count:
        raise ConfigError(f"prompts must be as many as items ({count}), got {len(prompts)}")
    if not timeout > 0:
        raise ConfigError(f"timeout must be more than 0 seconds, got {timeout}")
    if memory_mb < 1:
        raise ConfigError(f"memory_mb must be at least 1 MiB, got {memory_mb}")
    if workers is not None and workers < 1:
        raise ConfigError(f"workers must be at least 1, got {workers}")
