"""Which test of which program runs next: every program gets its turn, whatever the others do, until the deadline.

The program that has used the least time goes first. A program's first tries are cut short so that all programs are
tried within a part of the deadline; one that needs longer has its whole time when the others are through.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from trl_rlsp.verification.verdict import Reason

GIVE_UP_AFTER = 3
"""Tests a program may run out of time on; the rest then counts as not passed, without being run."""

UNSCORABLE: tuple[Reason, ...] = ("scorer_error", "gold_unparseable")

_FIRST_TRIES = 0.25  # of the deadline, for the first test of every program
_SHORTEST_TRY = 0.1  # seconds


@dataclass(eq=False)
class Job:
    """One program's tests, by index, and how each went.

    Attributes:
        count: number of tests.
        reasons: for each test `None` (not run) or the reason.
        gave_up: what was not run counts as not passed.
    """

    count: int
    reasons: list[Reason | None] = field(init=False)
    gave_up: bool = False
    _waiting: deque[int] = field(init=False)
    _running: int = 0
    _seconds: float = 0.0
    _slow: bool = False
    _retried: bool = False

    def __post_init__(self) -> None:
        self.reasons = [None] * self.count
        self._waiting = deque(range(self.count))


@dataclass
class Schedule:
    """Runs the tests of many jobs.

    Attributes:
        run_test: `(job, index of the test, seconds) -> reason`; `timeout` if those seconds did not suffice.
        time_limit: wall-clock seconds for a test.
        batch_seconds: wall-clock seconds for all jobs; `None`: as long as it takes.
        all_or_nothing: whether one test not passed settles a job.
    """

    run_test: Callable[[Job, int, float], Reason]
    time_limit: float
    batch_seconds: float | None
    all_or_nothing: bool

    def run(self, jobs: list[Job], workers: int) -> None:
        """Run tests, `workers` at a time, until all have run or the deadline has passed.

        A test that was not reached stays `None`. Where no thread can be started this thread runs them all.
        """
        self._jobs, self._turn = list(jobs), threading.Condition()
        self._deadline = float("inf") if self.batch_seconds is None else time.monotonic() + self.batch_seconds
        fair = float("inf") if self.batch_seconds is None else _FIRST_TRIES * self.batch_seconds * workers / len(jobs)
        self._first_limit = min(self.time_limit, max(fair, _SHORTEST_TRY))
        threads = [threading.Thread(target=self._work, name="sandbox", daemon=True) for _ in range(workers - 1)]
        started = []
        for thread in threads:
            with suppress(RuntimeError):  # the system has no threads left
                thread.start()
                started.append(thread)
        try:
            self._work()
        except BaseException:  # interrupted: the other threads end after the test they run
            self._deadline = 0.0
            with self._turn:
                self._turn.notify_all()
            raise
        for thread in started:
            thread.join()
        for job in jobs:  # it ran out of time itself: no test of it is excused by the deadline
            job.gave_up |= "timeout" in job.reasons

    def _work(self) -> None:
        while (task := self._next()) is not None:
            job, index, seconds = task
            start, reason = time.monotonic(), "scorer_error"  # type: float, Reason
            try:
                reason = self.run_test(job, index, seconds)
            finally:
                with self._turn:
                    job._running -= 1
                    job._seconds += time.monotonic() - start
                    self._record(job, index, reason, seconds)
                    self._turn.notify_all()

    def _next(self) -> tuple[Job, int, float] | None:
        with self._turn:
            while (left := self._deadline - time.monotonic()) > 0:
                self._jobs = [job for job in self._jobs if job._waiting or job._running]
                waiting = [job for job in self._jobs if job._waiting]
                if waiting:
                    job = min(waiting, key=lambda job: (job._slow, job._running, job._seconds))
                    job._running += 1
                    return job, job._waiting.popleft(), min(self.time_limit if job._slow else self._first_limit, left)
                if not self._jobs:
                    break
                self._turn.wait(min(left, threading.TIMEOUT_MAX))  # what runs now may have to run again
        return None

    def _record(self, job: Job, index: int, reason: Reason, seconds: float) -> None:
        again = reason == "timeout" and seconds < self.time_limit
        if reason == "scorer_error" and not job._retried:  # perhaps another program used up what it needed
            again = job._retried = True
        if again:
            job._slow = True
            if not job.gave_up:
                job._waiting.appendleft(index)
            return
        job.reasons[index] = reason
        settled = reason in UNSCORABLE or (self.all_or_nothing and reason != "match")
        if settled or job.reasons.count("timeout") >= GIVE_UP_AFTER:
            job.gave_up = True
            job._waiting.clear()
