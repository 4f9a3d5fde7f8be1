from __future__ import annotations

import json
from pathlib import Path

import pytest

from countdown.many import MANY, N, curves, newly_solved, passed, read_counts
from countdown.runner import Run


def counts(right, known=None):
    return {"seed": 0, "right": right, "known": known or [N] * len(right)}


def test_pass_at_k_by_hand():
    # 2 of 4 right: pass@2 = 1 - C(2,2)/C(4,2) = 5/6; 0 of 4: 0; 3 known only: pass@4 is not known
    own = counts([2, 0, 3], [4, 4, 3])
    assert passed(own, 2) == pytest.approx([5 / 6, 0, 1])
    assert passed(own, 4) == [1, 0, None]


def test_curves_end_at_the_largest_k_that_is_known():
    found = curves({"sft": counts([1, 1], [4, 4])})["sft"]
    assert list(found["pass_at"]) == ["1", "2", "4"]
    assert found["pass_at"]["4"] == [1, 1, 1]
    assert found["problems"] == 2


def test_newly_solved_looks_only_at_what_the_start_never_solved():
    start = counts([0, 0, 5, 0], [N, N, N, N - 1])  # the last one is not known to be unsolved in N samples
    found = newly_solved({"sft": start, "rl": counts([N, 0, 0, N])}, "sft")
    assert (found["problems"], found["of"]) == (2, 4)
    assert found["upper_bound"] == pytest.approx(0.0116, abs=1e-4)  # 1 - 0.05^(1/256)
    assert found["arms"] == {
        "rl": {"pass_at_1": [0.5, 0, 1], "pass_at_8": [0.5, 0, 1], "solved_once": 0.5},
    }


def test_without_the_start_or_without_unsolved_problems():
    assert newly_solved({"rl": counts([1])}, "sft") == {}
    assert newly_solved({"sft": counts([1]), "rl": counts([1])}, "sft")["arms"] == {}


def test_counts_of_other_settings_are_not_read(tmp_path):
    def run(fingerprint):
        return Run("rl", 3, "test", 1e-3, 1, tmp_path, tmp_path, fingerprint)

    (Path(tmp_path) / MANY).write_text(json.dumps({"fingerprint": "a", "right": [1], "known": [4]}))
    assert read_counts([run("a")]) == {"rl": {"seed": 3, "right": [1], "known": [4]}}
    assert read_counts([run("b")]) == {}
