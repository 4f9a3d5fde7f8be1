"""Data of the browser of completions."""

from __future__ import annotations

import pytest

from trl_rlsp.behaviours import KINDS
from trl_rlsp.report._page import Source, browser_data, choose, shortened, spans
from trl_rlsp.runs import Completion, Evaluated


def source(name, problems, problem_set="s"):
    return Source("run", name, problem_set, [Completion("t", str(p), score=1.0) for p in problems])


def training(steps, groups, size):
    return Source(
        "run",
        "training",
        "training",
        [Completion("t", f"{g}", score=1.0, step=s) for s in range(steps) for g in range(groups) for _ in range(size)],
    )


class TestChoose:
    def test_everything_fits(self):
        kept = choose([source("a", range(5)), training(2, 2, 4)], 100)
        assert [len(completions) for completions in kept] == [5, 16]

    def test_the_same_problems_on_both_sides(self):
        # 20 completions into 10: every second problem, although the right side has them in another order
        kept = choose([source("a", range(10)), source("b", reversed(range(10)))], 10)
        assert [{c.problem for c in completions} for completions in kept] == [{"0", "2", "4", "6", "8"}] * 2

    def test_training_gets_what_is_left_in_whole_groups_over_all_steps(self):
        # 4 of evaluation leave 12 of 16 for 6 steps x 2 groups x 4 = 48: every 4th group
        kept = choose([source("a", range(4)), training(6, 2, 4)], 16)
        assert len(kept[0]) == 4
        assert [(c.step, c.problem) for c in kept[1]] == [(s, "0") for s in (0, 2, 4) for _ in range(4)]

    def test_evaluations_leave_a_quarter_to_training(self):
        kept = choose([source("a", range(1000)), training(10, 1, 10)], 100)
        assert (len(kept[0]), len(kept[1])) == (72, 30)  # every 14th of 1000; every 4th group of the 10
        # 102: a group is never split, so the limit is nearly kept


class TestTextLimit:
    def test_the_middle_goes(self):
        assert shortened("abcdefghij", 4) == ("ab\n[...]\nij", 6)
        assert shortened("abcd", 4) == ("abcd", 0)


class TestSpans:
    TEXT = "Alternatively, factor it."

    def test_offsets_count_utf16_units(self):
        ((start, end, kind),) = spans(self.TEXT)
        assert KINDS[kind] == "alternatives"
        assert spans("😀 " + self.TEXT) == [(start + 3, end + 3, kind)]  # an emoji is two units

    def test_behind_the_text(self):
        assert spans(self.TEXT + " 😀") == spans(self.TEXT)


class TestData:
    def test_an_item(self, make_run):
        completion = Completion(
            "Alternatively, factor it.", "7", "why ?", None, "timeout", 5, False, 3, 2, "hard", gold="8", answer="7"
        )
        data = browser_data([make_run(completions=[completion])])
        (source,) = data["sources"]
        assert (source["run"], source["name"], source["of"]) == ("run", "training", 1)
        (item,) = source["items"]
        names = data["strings"]
        assert (names[item[0]], names[item[1]], names[item[4]]) == ("7", "why ?", "timeout")
        assert item[2:4] == ["Alternatively, factor it.", None]
        assert item[5:11] == [5, False, 3, 2, "hard", []]
        assert item[11][2] == KINDS.index("alternatives")
        assert item[12] == 0
        assert names[item[13]] == "compared 7 with 8"

    def test_long_texts_lose_their_middle(self, make_run):
        long = "a" * 3000 + "b" * 3000
        evaluated = Evaluated("e", {}, {}, [Completion(long, "0", score=1.0), Completion("short", "1", score=1.0)])
        data = browser_data([make_run(evaluations=[evaluated])], characters=4001)  # 2,000 for each of two
        first, second = data["sources"][0]["items"]
        assert (first[2], first[12]) == ("a" * 1000 + "\n[...]\n" + "b" * 1000, 4000)
        assert second[2] == "short"


@pytest.mark.parametrize("limit", [1, 7, 50, 10_000])
def test_no_source_is_left_empty(limit):
    kept = choose([source("a", range(30)), source("b", range(30)), training(3, 2, 4)], limit)
    assert all(kept)
