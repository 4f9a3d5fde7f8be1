"""Scheduling: every job gets its turn before the deadline, regardless of the other jobs."""

from __future__ import annotations

import heapq
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

_FIRST_TRIES = 0.25  # fraction of the deadline for the first piece of every job
_SHORTEST_TRY = 0.1  # seconds
_SHARED = 0.9  # fraction of the time left that slow jobs share; the rest is for ending and replacing processes
_PERHAPS_OURS = ("crash", "not_run", "scorer_error")  # outcomes that are attributed to a piece only if they recur


class Job:
    """Numbered pieces of work and their outcomes, `None` for pieces not run."""

    def __init__(self, pieces: int = 1) -> None:
        self.outcomes: list[Any] = [None] * pieces
        self.waiting = deque(range(pieces))
        self.retried: set[int] = set()
        self.slow = False  # whether a piece exceeded its first, shorter time
        self.running = 0
        self.seconds = 0.0  # used so far

    def turn(self) -> tuple[bool, int, float]:
        """Sort key: the job with the smallest value goes first."""
        return self.slow, self.running, self.seconds

    def is_settled(self) -> bool:
        """Whether the waiting pieces need not run."""
        return False


@dataclass
class Schedule:
    """Runs pieces of jobs on threads: `run_piece(job, number, seconds)` returns an outcome, for example `"timeout"`.

    The job that has used the least time goes first. First tries are short, so that all jobs are tried within a fraction
    of the deadline. After them, a slow job gets its whole `limit`, or a fair share of at least `least` if there is not
    enough time for all slow jobs. All times are wall-clock seconds.
    """

    run_piece: Callable[[Any, int, float], Any]
    limit: float
    seconds: float | None = None
    least: float = math.inf

    def run(self, jobs: Sequence[Job], workers: int) -> None:
        """Run pieces, `workers` at a time, until all have run or the deadline has passed."""
        seconds = math.inf if self.seconds is None else self.seconds
        self._jobs, self._workers, self._running = jobs, workers, 0
        self._turns = [(job.turn(), number) for number, job in enumerate(jobs) if job.waiting]
        self._changed, self._deadline = threading.Condition(), time.monotonic() + seconds
        first = _FIRST_TRIES * seconds * workers / max(len(jobs), 1)
        self._first_limit = min(self.limit, max(first, _SHORTEST_TRY))
        threads = [threading.Thread(target=self._work, name="schedule", daemon=True) for _ in range(workers - 1)]
        with suppress(RuntimeError):  # no more threads available: the existing ones, at least this one, run everything
            for thread in threads:
                thread.start()
        try:
            self._work()
        finally:  # also if interrupted: the other threads then end after their current piece
            with self._changed:
                self._deadline = 0.0
                self._changed.notify_all()
        for thread in threads:
            if thread.ident is not None:
                thread.join()

    def _work(self) -> None:
        while (task := self._next()) is not None:
            job, piece, seconds = task
            start, outcome = time.monotonic(), None
            try:
                outcome = self.run_piece(self._jobs[job], piece, seconds)
            finally:
                with self._changed:
                    self._running -= 1
                    self._record(self._jobs[job], piece, outcome, seconds, time.monotonic() - start)
                    self._queue(job)
                    self._changed.notify_all()

    def _next(self) -> tuple[int, int, float] | None:
        """The next job and piece, by number, and the seconds it may take."""
        with self._changed:
            while (left := self._deadline - time.monotonic()) > 0 and (self._turns or self._running):
                if not self._turns:
                    self._changed.wait(min(left, threading.TIMEOUT_MAX))  # a running piece may have to run again
                    continue
                share = _SHARED * left * self._workers / len(self._turns)
                turn, number = heapq.heappop(self._turns)
                job, task = self._jobs[number], None
                if job.waiting and turn == job.turn():  # otherwise the entry is outdated
                    limit = min(self.limit, max(self.least, share)) if job.slow else self._first_limit
                    task = number, job.waiting.popleft(), min(limit, left)
                    job.running += 1
                    self._running += 1
                self._queue(number)
                if task:
                    return task
        return None

    def _queue(self, number: int) -> None:
        if self._jobs[number].waiting:
            heapq.heappush(self._turns, (self._jobs[number].turn(), number))

    def _record(self, job: Job, piece: int, outcome: Any, given: float, used: float) -> None:
        job.running -= 1
        job.seconds += used
        again = outcome == "timeout" and given < (min(self.least, self.limit) if job.slow else self.limit)
        if outcome in _PERHAPS_OURS and piece not in job.retried:
            job.retried.add(piece)
            again = True
        if again:
            job.slow = True
            job.waiting.appendleft(piece)
        else:
            job.outcomes[piece] = outcome
        if job.is_settled():
            job.waiting.clear()
