"""Verdicts on completions that are programs: run in a sandbox, compared outside it.

A completion is right on a test if its program, given the input alone, writes or returns what is expected.
Failing, crashing and running out of time are the program's; a sandbox that fails is ours and gives no score.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from trl_rlsp.errors import ConfigError, DataError
from trl_rlsp.text import Completion, Reading, read
from trl_rlsp.verification.code.compare import is_true, same_output, same_value
from trl_rlsp.verification.code.run_result import Limits, RunResult
from trl_rlsp.verification.code.sandbox import Runner, Sandbox, find_sandbox, runner_of
from trl_rlsp.verification.code.schedule import Job, Schedule
from trl_rlsp.verification.code.tests import CodeTest, hidden_tests, read_tests
from trl_rlsp.verification.verdict import Reason, Verdict
from trl_rlsp.verification.workers.cores import fitting_workers, share_of_cores

MAX_WORKERS = 16
_SPARE_OUTPUT = 64 * 1024
_OUTPUT_FACTOR = 4
_JUDGED_OUTPUT = 256 * 1024
_JUDGE_SECONDS = 5.0
_ROUNDS = 4  # of calls that need the answers of others, such as `f(f(1))`

__all__ = ["verify_code"]

_log = logging.getLogger(__name__)


def verify_code(
    items: Sequence[tuple[Completion | Reading | None, list[Any] | dict[str, Any] | str]],
    *,
    prompts: Sequence[str] | None = None,
    all_or_nothing: bool = False,
    time_limit: float = 5.0,
    batch_seconds: float | None = None,
    memory_mb: int = 512,
    workers: int | None = None,
    end_of_thinking: str | None = "</think>",
    thinking_required: bool = False,
    sandbox: Sandbox | Runner | None = None,
    allow_unsandboxed: bool = False,
) -> list[Verdict]:
    """Run the programs of completions against tests.

    Args:
        items: completions as TRL gives them, or their readings, each with its row's tests in a form `read_tests` knows.
        prompts: text of each prompt; tests whose input it shows are not counted.
        all_or_nothing: 1.0 only if all tests pass, else 0.0, instead of the share passed.
        time_limit: wall-clock seconds for each test.
        batch_seconds: wall-clock seconds for the whole call. Every program gets its turn: those that have used the
            least time go first.
        memory_mb: MiB a program may map.
        workers: programs at a time; by default as many as there are cores, at most 16. Each rank of a distributed
            run has at most its share of the cores.
        end_of_thinking: closes the reasoning; see `trl_rlsp.text.read`.
        thinking_required: a completion without `end_of_thinking` has no program.
        sandbox: where programs run; by default the strongest this machine has.
        allow_unsandboxed: where it has none, run with resource limits only.

    Returns:
        A verdict for each item: `match` with 1.0; `mismatch`, `timeout` or `worker_crash` (the reason for the
        first test not passed) with the share passed; `no_answer` with 0.0 where there is no program;
        `gold_unparseable` with `None` where there is no test that can be read and counts; `scorer_error` with
        `None` where the sandbox failed or the deadline came first. Programs that ran out of time on a test have no
        such excuse: what they left counts as not passed.

    Raises:
        ConfigError: an argument that cannot work.
        MissingDependencyError: no sandbox on this machine.
    """
    _check_arguments(len(items), prompts, time_limit, batch_seconds, memory_mb, workers)
    programs: dict[tuple[object, ...], _Program] = {}
    answers: list[Verdict | _Program] = []
    for index, (completion, tests) in enumerate(items):
        prompt = prompts[index] if prompts is not None else None
        reading = completion
        if not isinstance(reading, Reading):
            reading = read(reading, "code", end_of_thinking=end_of_thinking, thinking_required=thinking_required)
        answer = _prepare(reading.answer, tests, prompt)
        if isinstance(answer, _Program):
            answer = programs.setdefault((answer.text, *answer.tests), answer)  # one run for equal programs
        answers.append(answer)
    if programs:
        runner = runner_of(sandbox if sandbox is not None else find_sandbox(allow_unsandboxed))
        schedule = Schedule(_TestRunner(runner, memory_mb), time_limit, batch_seconds, all_or_nothing)
        schedule.run(list(programs.values()), fitting_workers(workers or min(share_of_cores(), MAX_WORKERS)))
    verdicts = [item.verdict(all_or_nothing) if isinstance(item, _Program) else item for item in answers]
    failed = sum(verdict.reason == "scorer_error" for verdict in verdicts)
    if failed:
        _log.warning("%d of %d programs have no score: the sandbox failed, or the time was up", failed, len(items))
    return verdicts


class _Program(Job):
    """A program and its tests."""

    def __init__(self, text: str, tests: list[CodeTest]) -> None:
        super().__init__(len(tests))
        self.text = text
        self.tests = tests

    def verdict(self, all_or_nothing: bool) -> Verdict:
        """The verdict on the whole."""
        if "gold_unparseable" in self.reasons:
            return Verdict(None, "gold_unparseable")
        if "scorer_error" in self.reasons or (None in self.reasons and not self.gave_up):
            return Verdict(None, "scorer_error")
        passed = self.reasons.count("match")
        if passed == len(self.tests):
            return Verdict(1.0, "match")
        reason = next(reason for reason in self.reasons if reason not in ("match", None))
        return Verdict(0.0 if all_or_nothing else passed / len(self.tests), reason or "mismatch")


class _TestRunner:
    """Runs one test of one program."""

    def __init__(self, runner: Runner, memory_mb: int) -> None:
        self.runner = runner
        self.memory_mb = memory_mb
        self._first_calls: dict[CodeTest, Any] = {}

    def __call__(self, program: Job, index: int, seconds: float) -> Reason:
        """`match`, or why not; whatever the sandbox raises is its own failure."""
        assert isinstance(program, _Program)
        test = program.tests[index]
        room = _OUTPUT_FACTOR * len(test.expected.encode("utf-8", "surrogatepass")) + _SPARE_OUTPUT
        limits = Limits(seconds, self.memory_mb, room)
        try:
            if test.statements:
                return self._judge(program.text, test, limits)
            if test.stdin is None:
                found = self._ask({"program": program.text, "calls": [[test.function, test.arguments]]}, limits)
                return "match" if _returned_right(found[0], test) else "mismatch"
            result = self.runner(program.text, test.stdin, limits)
            _require_finished(result)
            return "match" if same_output(result.stdout, test.expected) else "mismatch"
        except _NotPassedError as error:
            return error.reason
        except Exception as error:  # another process or a remote service failed, in whatever way
            _log.debug("the sandbox failed: %r", error)
            return "scorer_error"

    def _judge(self, program: str, test: CodeTest, limits: Limits) -> Reason:
        """Run the test's statements without the program, and the program for the calls that lack an answer."""
        limits = replace(limits, output_bytes=_JUDGED_OUTPUT)
        judging = replace(limits, seconds=max(limits.seconds, _JUDGE_SECONDS))
        request = {"statements": test.statements, "functions": json.loads(test.functions)}
        answers: list[tuple[Any, Any]] = []
        for _ in range(_ROUNDS):
            if not answers and test in self._first_calls:
                said = self._first_calls[test]
            else:
                said = self._ask({**request, "answers": answers}, judging)
            if not answers:
                self._first_calls[test] = said
            if "calls" not in said:
                verdicts: dict[bool | None, Reason] = {True: "match", False: "mismatch", None: "gold_unparseable"}
                return verdicts[said["passed"]] if answers else "gold_unparseable"
            calls = [call for call, _ in answers] + said["calls"]
            found = self._ask({"program": program, "calls": calls}, limits)
            if len(found) != len(calls):
                return "mismatch"
            answers = list(zip(calls, found, strict=True))
        return "gold_unparseable"

    def _ask(self, request: dict[str, Any], limits: Limits) -> Any:
        """The harness's answer.

        Raises:
            _NotPassedError: it did not end well, or did not give one.
        """
        marker = secrets.token_hex(16)
        result = self.runner(_harness(), json.dumps({**request, "marker": marker}) + "\n", limits)
        _require_finished(result)
        _, framed, rest = result.stdout.rpartition(marker.encode())
        try:
            answer = json.loads(rest) if framed else None
        except (ValueError, RecursionError):  # not JSON, or nested without end
            answer = None
        if not answer:
            raise _NotPassedError("mismatch")
        return answer


class _NotPassedError(Exception):
    def __init__(self, reason: Reason) -> None:
        self.reason = reason


def _require_finished(result: RunResult) -> None:
    reasons: dict[str, Reason] = {"timeout": "timeout", "killed": "worker_crash", "failed": "mismatch"}
    if result.status in reasons:
        raise _NotPassedError(reasons[result.status])


def _returned_right(value: Any, test: CodeTest) -> bool:
    """Whether data that a program returned, or wrote in the place of it, is what the test asks for."""
    expected = json.loads(test.expected)
    try:
        if test.relation in ("true", "false"):
            return is_true(value) == (test.relation == "true")
        if test.relation == "is":
            return type(value) is type(expected) and value == expected
        return same_value(value, expected, exact=test.exact)
    except (ValueError, TypeError, AttributeError, RecursionError):  # no data that the harness would have written
        return False


def _prepare(program: str | None, tests: Any, prompt: str | None) -> Verdict | _Program:
    try:
        counted = hidden_tests(read_tests(tests, prompt or ""), prompt or "")
    except DataError as error:
        _log.debug("%s", error)
        return Verdict(None, "gold_unparseable")
    return Verdict(0.0, "no_answer") if program is None else _Program(program, counted)


@cache
def _harness() -> str:
    return Path(__file__).with_name("call_harness.py").read_text(encoding="utf-8")


def _check_arguments(
    count: int,
    prompts: Sequence[str] | None,
    time_limit: float,
    batch_seconds: float | None,
    memory_mb: int,
    workers: int | None,
) -> None:
    if prompts is not None and len(prompts) != count:
        raise ConfigError(f"prompts must be as many as items ({count}), got {len(prompts)}")
    if not time_limit > 0:
        raise ConfigError(f"time_limit must be more than 0 seconds, got {time_limit}")
    if batch_seconds is not None and not batch_seconds > 0:
        raise ConfigError(f"batch_seconds must be more than 0, got {batch_seconds}")
    if memory_mb < 1:
        raise ConfigError(f"memory_mb must be at least 1 MiB, got {memory_mb}")
    if workers is not None and workers < 1:
        raise ConfigError(f"workers must be at least 1, got {workers}")
