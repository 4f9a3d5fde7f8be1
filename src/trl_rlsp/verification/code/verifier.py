"""Verdicts on completions that are programs: run in a sandbox, compared outside it.

A completion passes a test if its program, given only the input, writes or returns the expected result. A program
that fails, crashes or times out does not pass; a failure of the sandbox gives no score.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from trl_rlsp.errors import ConfigError, DataError
from trl_rlsp.text import Completion, Reading, read
from trl_rlsp.verification.code._compare import same_output, same_value
from trl_rlsp.verification.code.sandbox import Limits, LocalSandbox, Runner, RunResult, find_sandbox
from trl_rlsp.verification.code.tests import CodeTest, hidden_tests, read_tests
from trl_rlsp.verification.verdict import Reason, Verdict
from trl_rlsp.verification.workers._server import fitting_workers
from trl_rlsp.verification.workers.schedule import Job, Schedule

GIVE_UP_AFTER = 3  # timeouts, after which the remaining tests count as not passed without being run
_MAX_WORKERS = 16
_SPARE_OUTPUT = 64 * 1024
_OUTPUT_FACTOR = 4
_JUDGED_OUTPUT = 256 * 1024
_JUDGE_SECONDS = 5.0
_ROUNDS = 3  # of calls that depend on the answers of other calls, such as `f(f(1))`

_HARNESS = Path(__file__).with_name("_harness.py").read_text(encoding="utf-8")
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
    sandbox: LocalSandbox | Runner | None = None,
    allow_unsandboxed: bool = False,
) -> list[Verdict]:
    """Run the programs of completions against tests: the fraction passed, or 1.0 and 0.0 with `all_or_nothing`.

    Args:
        items: completions as TRL passes them, or their readings, each with its row's tests in a form of `read_tests`.
        prompts: text of each prompt; tests whose input it shows are not counted.
        all_or_nothing: 1.0 only if all tests pass.
        time_limit: wall-clock seconds for each test.
        batch_seconds: wall-clock seconds for the whole call; programs that have used the least time run first.
        memory_mb: MiB of address space that a program may add.
        workers: programs run at once; by default the cores of this rank, at most 16.
        end_of_thinking: tag that closes the reasoning; with `thinking_required`, there is no program without it.
        sandbox: where programs run; by default the strongest on this machine, or `MissingDependencyError` if none.
        allow_unsandboxed: without a sandbox on this machine, run with resource limits only.

    The verdict is `scorer_error` with score `None` if the sandbox failed or the deadline passed first. If a program
    timed out on a test before, its remaining tests count as not passed instead.
    """
    prompts = [""] * len(items) if prompts is None else prompts
    if len(prompts) != len(items):
        raise ConfigError(f"there must be one prompt per item ({len(items)}), got {len(prompts)}")
    positive = {"time_limit": time_limit, "batch_seconds": batch_seconds, "memory_mb": memory_mb, "workers": workers}
    for name, value in positive.items():
        if value is not None and not value > 0:
            raise ConfigError(f"{name} must be more than 0, got {value}")
    programs: dict[tuple[object, ...], Program] = {}
    answers: list[Verdict | Program] = []
    for (completion, tests), prompt in zip(items, prompts, strict=True):
        reading = read(completion, "code", end_of_thinking=end_of_thinking, thinking_required=thinking_required)
        answer = _program(reading, tests, prompt or "", all_or_nothing)
        if isinstance(answer, Program):  # equal programs run once
            answer = programs.setdefault((answer.text, *answer.tests), answer)
        answers.append(answer)
    if programs:
        box: Any = sandbox if sandbox is not None else find_sandbox(allow_unsandboxed)
        runner = _TestRunner(getattr(box, "run", box), memory_mb)
        at_once = fitting_workers(workers) if workers else min(fitting_workers(), _MAX_WORKERS)
        Schedule(runner, time_limit, batch_seconds).run(list(programs.values()), at_once)
    verdicts = [item.verdict() if isinstance(item, Program) else item for item in answers]
    if failed := sum(verdict.reason == "scorer_error" for verdict in verdicts):
        _log.warning("%d of %d programs have no score: the sandbox failed or time ran out", failed, len(items))
    return verdicts


def _program(reading: Reading, tests: Any, prompt: str, all_or_nothing: bool) -> Program | Verdict:
    """What is to be run, or the verdict if there is no program or its tests cannot be parsed."""
    try:
        counted = hidden_tests(read_tests(tests, prompt), prompt)
    except DataError as error:
        _log.debug("%s", error)
        return Verdict(None, "gold_unparseable")
    return Verdict(0.0, "no_answer") if reading.answer is None else Program(reading.answer, counted, all_or_nothing)


class Program(Job):
    """A program and its tests."""

    def __init__(self, text: str, tests: list[CodeTest], all_or_nothing: bool = False) -> None:
        super().__init__(len(tests))
        self.text, self.tests, self.all_or_nothing = text, tests, all_or_nothing

    def is_settled(self) -> bool:
        """Whether the outcomes decide: a test that cannot be scored, one not passed if all must, or many timeouts."""
        found = set(self.outcomes) - {None}
        decided = not found <= {"match"} if self.all_or_nothing else found & {"scorer_error", "gold_unparseable"}
        return bool(decided) or self.outcomes.count("timeout") >= GIVE_UP_AFTER

    def verdict(self) -> Verdict:
        """The verdict on the program; the reason is that of the first test not passed.

        If the program itself timed out, tests not run before the deadline count as not passed.
        """
        if "gold_unparseable" in self.outcomes:
            return Verdict(None, "gold_unparseable")
        excused = None in self.outcomes and "timeout" not in self.outcomes and not self.is_settled()
        if excused or "scorer_error" in self.outcomes:
            return Verdict(None, "scorer_error")
        share = self.outcomes.count("match") / len(self.tests)
        reason: Reason = next((outcome for outcome in self.outcomes if outcome not in (None, "match")), "match")
        return Verdict(0.0 if self.all_or_nothing and share < 1 else share, reason)


class _NotPassedError(Exception):
    """Carries the reason of the verdict."""


@dataclass
class _TestRunner:
    runner: Runner
    memory_mb: int
    first_calls: dict[CodeTest, Any] = field(default_factory=dict)

    def __call__(self, program: Program, index: int, seconds: float) -> Reason:
        """`match`, or the reason why not; any exception of the sandbox is a failure of the sandbox."""
        test = program.tests[index]
        room = _OUTPUT_FACTOR * len(test.expected.encode("utf-8", "surrogatepass")) + _SPARE_OUTPUT
        limits = Limits(seconds, self.memory_mb, room)
        try:
            if test.statements:
                return self._judge(program.text, test, limits)
            if test.stdin is None:
                [found] = self._returned(program.text, [[test.function, test.arguments]], limits)
                return "match" if _returned_right(found, test) else "mismatch"
            output = self._finished(program.text, test.stdin, limits).stdout
            return "match" if same_output(output, test.expected) else "mismatch"
        except _NotPassedError as error:
            return error.args[0]  # type: ignore[no-any-return]
        except RecursionError:  # the program's data is nested too deeply to be sent
            return "mismatch"
        except Exception as error:  # another process or a remote service failed, in any way
            _log.debug("the sandbox failed: %r", error)
            return "scorer_error"

    def _judge(self, program: str, test: CodeTest, limits: Limits) -> Reason:
        """Run the test's statements without the program, and the program for calls that lack an answer."""
        limits = replace(limits, output_bytes=_JUDGED_OUTPUT)
        judging = replace(limits, seconds=max(limits.seconds, _JUDGE_SECONDS))
        request = {"statements": test.statements, "functions": json.loads(test.functions)}
        answers: list[tuple[Any, Any]] = []
        judged = self.first_calls[test] = self.first_calls.get(test) or self._ask({**request, "answers": []}, judging)
        for _ in range(_ROUNDS):
            if not (asked := judged.get("calls")):
                break
            found = self._returned(program, [call for call, _ in answers] + asked, limits)
            answers += zip(asked, found[len(answers) :], strict=True)  # earlier answers are kept
            judged = self._ask({**request, "answers": answers}, judging)
        passed = judged.get("passed") if answers else None
        return "gold_unparseable" if passed is None else "match" if passed else "mismatch"

    def _returned(self, program: str, calls: list[Any], limits: Limits) -> list[Any]:
        """Return values of a program's functions, one per call; the program may have forged the frame."""
        found = self._ask({"program": program, "calls": calls}, limits)
        if not isinstance(found, list) or len(found) != len(calls):
            raise _NotPassedError("mismatch")
        return found

    def _ask(self, request: dict[str, Any], limits: Limits) -> Any:
        """The harness's answer, if it finished and gave one."""
        marker = secrets.token_hex(16)
        result = self._finished(_HARNESS, json.dumps({**request, "marker": marker}) + "\n", limits)
        _, framed, rest = result.stdout.rpartition(marker.encode())
        with suppress(ValueError, RecursionError):  # not JSON, or nested without end
            if framed and (answer := json.loads(rest)):
                return answer
        raise _NotPassedError("mismatch")

    def _finished(self, program: str, stdin: str, limits: Limits) -> RunResult:
        result = self.runner(program, stdin, limits)
        reasons: dict[str, Reason] = {"timeout": "timeout", "killed": "worker_crash", "failed": "mismatch"}
        if result.status in reasons:
            raise _NotPassedError(reasons[result.status])
        return result


def _returned_right(value: Any, test: CodeTest) -> bool:
    """Whether the data that a program returned, or forged, is the result the test expects."""
    try:
        return same_value(value, json.loads(test.expected), exact=test.exact)
    except (ValueError, TypeError, AttributeError, RecursionError):  # not data that the harness would have written
        return False
