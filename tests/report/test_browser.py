"""Data of the browser of completions."""

from __future__ import annotations

import pytest

from trl_rlsp.behaviours import KINDS, Behaviour
from trl_rlsp.report._page import Source, browser_data, choose, parts
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


class TestParts:
    TEXT = "Alternatively, factor it."

    def test_pieces_and_their_kinds(self):
        found = parts(f"So. {self.TEXT}")
        assert "".join(piece for piece, _ in found) == f"So. {self.TEXT}"
        assert found[0] == ("So. ", None)
        assert [(piece, KINDS[kind]) for piece, kind in found if kind is not None] == [
            ("Alternatively", "alternatives")
        ]

    def test_characters_that_take_two_units_move_nothing(self):
        assert parts("😀 " + self.TEXT) == [("😀 ", None), *parts(self.TEXT)]

    def test_an_overlap_is_the_earlier_ones(self, monkeypatch):
        found = [Behaviour(0, 4, "verification"), Behaviour(2, 6, "alternatives"), Behaviour(3, 4, "verification")]
        monkeypatch.setattr("trl_rlsp.report._page.find_behaviours", lambda text: found)
        first, second = KINDS.index("verification"), KINDS.index("alternatives")
        assert parts("abcdefgh") == [("abcd", first), ("ef", second), ("gh", None)]

    def test_hidden_characters_are_shown(self):
        assert parts("a\u202eb") == [("a⟨U+202E⟩b", None)]
        assert parts("") == []


class TestData:
    def test_an_item(self, make_run):
        completion = Completion(
            "Factor it.", "7", "why\x00 ?", None, "timeout", 5, False, 3, 2, "hard", {"a": 0.5}, gold="8", answer="7"
        )
        data = browser_data([make_run(completions=[completion])])
        (source,) = data["sources"]
        assert (source["run"], source["name"], source["of"]) == ("run", "training", 1)
        assert source["items"] == [
            {
                **{"problem": "7", "prompt": "why⟨U+0000⟩ ?", "reason": "timeout", "level": "hard"},
                **{"compared": "compared 7 with 8", "score": None, "tokens": 5, "finished": False, "step": 3},
                **{"sample": 2, "rewards": [("a", 0.5)], "parts": [("Factor it.", None)]},
            }
        ]

    def test_long_texts_leave_room_for_fewer(self, make_run):
        evaluated = Evaluated("e", {}, {}, [Completion("a" * 1000, str(i), score=1.0) for i in range(10)])
        data = browser_data([make_run(evaluations=[evaluated])], characters=5000)
        assert [item["problem"] for item in data["sources"][0]["items"]] == ["0", "2", "4", "6", "8"]


@pytest.mark.parametrize("limit", [1, 7, 50, 10_000])
def test_no_source_is_left_empty(limit):
    kept = choose([source("a", range(30)), source("b", range(30)), training(3, 2, 4)], limit)
    assert all(kept)
