"""Who runs next and what the deadline leaves, with a clock that only runs of tests move."""

from __future__ import annotations

import threading

import pytest

from trl_rlsp.verification import Reason
from trl_rlsp.verification.code.tests import CodeTest
from trl_rlsp.verification.code.verifier import GIVE_UP_AFTER, Program
from trl_rlsp.verification.workers import schedule
from trl_rlsp.verification.workers.schedule import Schedule


class Programs:
    """Tests that take given seconds on a clock of their own; those that have the time match."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *seconds: float, tests: int = 4) -> None:
        self.now = 100.0
        self.jobs = [Program("", [CodeTest("")] * tests) for _ in seconds]
        self.seconds = dict(zip(map(id, self.jobs), seconds, strict=True))
        self.order: list[int] = []
        monkeypatch.setattr(schedule.time, "monotonic", lambda: self.now)

    def __call__(self, job: Program, index: int, seconds: float) -> Reason:
        self.order.append(self.jobs.index(job))
        needed = self.seconds[id(job)]
        self.now += min(needed, seconds)
        return "match" if needed <= seconds else "timeout"

    def run(
        self, time_limit: float, batch_seconds: float | None, *, all_or_nothing: bool = False
    ) -> list[list[Reason | None]]:
        for job in self.jobs:
            job.all_or_nothing = all_or_nothing
        Schedule(self, time_limit, batch_seconds).run(self.jobs, workers=1)
        return [job.outcomes for job in self.jobs]


def test_quick_programs_are_through_before_slow_ones_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    programs = Programs(monkeypatch, 5.0, 1.0, 0.25, tests=3)
    assert programs.run(5.0, None) == [["match"] * 3] * 3
    # One test of each; then the last has used 0.25 + 0.25 + 0.25, the second 1 + 1 + 1, both less than the first's 5.
    assert programs.order == [0, 1, 2, 2, 2, 1, 1, 0, 0]


def test_many_endless_programs_do_not_starve_the_one_behind_them(monkeypatch: pytest.MonkeyPatch) -> None:
    programs = Programs(monkeypatch, *[1000.0] * 60, 0.1)
    found = programs.run(5.0, 60.0)
    # First tries are cut to 60 s / 4 / 61 = 0.25 s: 60 of them take 15 s. In whole turns they would take 300 s.
    assert programs.order[:61] == list(range(61))
    assert found[60] == ["match"] * 4
    assert programs.now == pytest.approx(160.0)
    ran_out = [job for job in programs.jobs if "timeout" in job.outcomes]
    assert len(ran_out) == 8  # (60 - 15 - 0.4) / 5 = 8.9 whole turns
    assert all(job.verdict().score == 0.0 for job in ran_out)
    unreached = [job for job in programs.jobs[:60] if job not in ran_out]
    assert all(job.outcomes == [None] * 4 and job.verdict().score is None for job in unreached)


def test_a_slow_but_right_program_has_its_whole_time(monkeypatch: pytest.MonkeyPatch) -> None:
    programs = Programs(monkeypatch, 4.9, 0.1)
    assert programs.run(5.0, 40.0) == [["match"] * 4] * 2  # first tries are cut to 40 / 4 / 2 = 5 s
    programs = Programs(monkeypatch, 4.9, 0.1)
    assert programs.run(5.0, 24.0) == [["match"] * 4] * 2  # cut to 3 s: 3 + 0.4 + 4 * 4.9 = 23 s


def test_gives_up_on_a_program_that_keeps_running_out_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    programs = Programs(monkeypatch, 1000.0, tests=50)
    assert programs.run(5.0, None) == [["timeout"] * GIVE_UP_AFTER + [None] * (50 - GIVE_UP_AFTER)]
    assert programs.jobs[0].verdict().score == 0.0


def test_one_test_not_passed_settles_all_or_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    programs = Programs(monkeypatch, 1000.0, tests=50)
    assert programs.run(5.0, None, all_or_nothing=True) == [["timeout"] + [None] * 49]


def test_an_interrupt_ends_the_other_threads_too() -> None:
    main = threading.current_thread()

    def interrupted(job: Program, index: int, seconds: float) -> Reason:
        if threading.current_thread() is main:
            raise KeyboardInterrupt
        return "match"

    jobs = [Program("", [CodeTest("")] * 1_000_000)]
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        Schedule(interrupted, 5.0).run(jobs, workers=3)
    while threading.active_count() > before:
        pass
    assert None in jobs[0].outcomes
