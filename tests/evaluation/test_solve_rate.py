"""Solve rates, the band, and rows that are read back as they were."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trl_rlsp.errors import ConfigError, DataError
from trl_rlsp.evaluation._dataset import Band, keep_band, stored_row
from trl_rlsp.evaluation._metrics import ScoredSample
from trl_rlsp.files import write_lines
from trl_rlsp.problems import load_problems

BAND = Band(0.1, 0.9)
RATE = {"solve_rate": 0.5, "scored_samples": 8}


def samples(problem, *scores):
    return [
        ScoredSample(problem, "", 1, True, score, "scorer_error" if score is None else "match", index)
        for index, score in enumerate(scores)
    ]


def row(number):
    return {"prompt": [{"role": "user", "content": f"What is {number}?"}], "solution": str(number)}


class TestSolveRates:
    def test_by_hand(self):
        rows, _ = keep_band([row(0), row(1)], [*samples(1, 1.0, 0.0, 1.0, 0.0), *samples(0, 0.5, 0.0)], Band(0, 1))
        # (0.5 + 0) / 2: a share of the tests
        assert [(r["answer"], r["solve_rate"], r["scored_samples"]) for r in rows] == [("0", 0.25, 2), ("1", 0.5, 4)]

    def test_what_has_no_score_is_no_zero(self):
        rows, counts = keep_band([row(0), row(1)], [*samples(0, 1.0, None, None), *samples(1, None, None)], Band(0, 1))
        assert [(r["solve_rate"], r["scored_samples"]) for r in rows] == [(1.0, 1)]
        assert counts["not_scorable"] == {"1": ["scorer_error"]}


class TestBand:
    @pytest.mark.parametrize(
        ("rate", "verdict"),
        [
            (0.0, "solved too rarely"),
            (0.125, None),  # 1 of 8
            (0.1, None),  # both ends belong to it
            (0.9, None),
            (0.95, "solved too often"),
            (1.0, "solved too often"),
            (None, "not scorable"),
        ],
    )
    def test_verdict(self, rate, verdict):
        assert BAND.verdict(rate) == verdict

    def test_kept_and_counted(self):
        scored = [
            *samples(0, 0, 0),
            *samples(1, 1, 0),
            *samples(2, 1, 1),
            *samples(3, None, None),
            *samples(4, 0, None),
        ]
        rows, figures = keep_band([row(i) for i in range(5)], scored, BAND)
        assert [(r["answer"], r["solve_rate"], r["scored_samples"]) for r in rows] == [("1", 0.5, 2)]
        assert figures["dropped"] == {"solved too rarely": 2, "solved too often": 1, "not scorable": 1}
        assert (figures["problems"], figures["kept"]) == (5, 1)
        assert figures["mean_solve_rate"] == 0.375  # (0 + 0.5 + 1 + 0) / 4, the unscorable one left out
        assert figures["solve_rates"] == {"0.000": 2, "0.500": 1, "1.000": 1}
        assert figures["not_scorable"] == {"3": ["scorer_error"]}

    def test_nothing_left(self):
        with pytest.raises(DataError, match=r"no problem of 2 has a solve rate from 0.1 to 0.9 \(1 solved too rarely"):
            keep_band([row(0), row(1)], [*samples(0, 0.0), *samples(1, 1.0)], BAND)

    def test_a_problem_without_samples(self):
        with pytest.raises(DataError, match="problem 1 has no samples"):
            keep_band([row(0), row(1)], samples(0, 1.0), BAND)

    @given(st.lists(st.lists(st.sampled_from([0.0, 0.5, 1.0, None]), min_size=1, max_size=4), min_size=1, max_size=8))
    def test_every_problem_is_kept_or_counted_once(self, scores):
        scored = [sample for index, values in enumerate(scores) for sample in samples(index, *values)]
        try:
            rows, counts = keep_band([row(i) for i in range(len(scores))], scored, BAND)
        except DataError:
            return
        assert len(rows) + sum(counts["dropped"].values()) == len(scores) == counts["problems"]
        assert sum(counts["solve_rates"].values()) + len(counts["not_scorable"]) == len(scores)
        assert all(BAND.verdict(kept["solve_rate"]) is None for kept in rows)


PROGRAM = "print(int(input()) + 1)\n"
SOURCES = {
    "text": [{"problem": "Half of 1?", "answer": "\\frac{1}{2}", "level": "Level 1", "id": "a"}],
    "messages": [
        {"problem": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "1 + 1?"}], "answer": 2}
    ],
    "program": [{"problem": "Add 1.", "tests": [{"input": "1\n", "output": "2\n"}], "solutions": [PROGRAM]}],
    "function": [{"problem": "Add 1.", "tests": json.dumps([{"function": "f", "arguments": [1], "output": 2}])}],
}


class TestReadBack:
    @pytest.mark.parametrize("name", SOURCES)
    def test_the_same_rows(self, tmp_path, name):
        (tmp_path / "source.jsonl").write_text("".join(json.dumps(line) + "\n" for line in SOURCES[name]))
        problems = load_problems(tmp_path / "source.jsonl").to_list()
        write_lines(tmp_path / "kept.jsonl", [{**stored_row(problem), **RATE} for problem in problems])
        assert load_problems(tmp_path / "kept.jsonl").to_list() == problems
        assert json.loads((tmp_path / "kept.jsonl").read_text())["solve_rate"] == 0.5

    def test_generated_problems(self, tmp_path):
        pytest.importorskip("reasoning_gym")
        problems = load_problems("reasoning_gym:countdown?size=2&seed=3", prompt_style="compact").to_list()
        write_lines(tmp_path / "kept.jsonl", [{**stored_row(problem), **RATE} for problem in problems])
        assert load_problems(tmp_path / "kept.jsonl", system_prompt=None).to_list() == problems


def test_band():
    with pytest.raises(ConfigError, match=r"0 <= low <= high <= 1, got 0\.9 to 0\.1"):
        Band(0.9, 0.1)
