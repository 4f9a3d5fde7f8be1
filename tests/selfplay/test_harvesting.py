"""From completions to demonstrations: what stays, what goes and why."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trl_rlsp.errors import DataError
from trl_rlsp.problems import load_demonstrations
from trl_rlsp.selfplay import Demonstrated, HeldOut, harvest

ASKED = [{"role": "user", "content": "What is 3 + 4?"}]


class TestReasons:
    def test_each_once(self, judged):
        items = [
            judged("I count: 3 4 5 6 7 \\boxed{7}", sample=0),
            judged("I COUNT: 3 4 5 6  7 \\boxed{7}", sample=1),  # a duplicate
            judged("it is 7 \\boxed{7}", sample=2),  # demonstrated
            judged("wrong \\boxed{8}", score=0.0, sample=3),
            judged("half of the tests \\boxed{8}", score=0.5, sample=4),
            judged("who knows \\boxed{7}", score=None, sample=5),
            judged("a right guess, unfinished", sample=6),
            judged("5 \\boxed{5}", prompt="What is 2 + 3?", sample=7),  # held out
            judged("a b c d \\boxed{7}", sample=8),
            judged("a b c d e \\boxed{7}", sample=9),
        ]
        found = harvest(
            items,
            demonstrated=Demonstrated([{"prompt": ASKED, "reasoning": "It is 7 \\boxed{7}"}]),
            held_out=HeldOut([{"prompt": "what is 2 + 3?"}]),
            per_problem=2,
            prefer="shortest",
        )
        assert [row["provenance"]["index"] for row in found.rows] == [8, 9]  # 4 and 5 units; the first has 7
        assert found.counts() == {
            "read": 10,
            "kept": 2,
            "problems": 1,
            "dropped": {
                "not right": 2,
                "not scorable": 1,
                "no final answer": 1,
                "held-out problem": 1,
                "duplicate": 1,
                "same text as a demonstration": 1,
                "more than per_problem": 1,
            },
        }

    def test_a_known_trace_does_not_take_the_place_of_a_new_one(self, judged):
        items = [judged("short \\boxed{7}", sample=0), judged("a longer one \\boxed{7}", sample=1)]
        known = Demonstrated([{"prompt": ASKED, "reasoning": "short \\boxed{7}"}])
        (row,) = harvest(items, demonstrated=known, per_problem=1, prefer="shortest").rows
        assert row["reasoning"] == "a longer one \\boxed{7}"

    def test_the_same_text_for_two_problems_is_no_duplicate(self, judged):
        found = harvest([judged(), judged(prompt="What is 4 + 3?")])
        assert (len(found.rows), found.problems) == (2, 2)

    def test_the_same_reasoning_with_another_answer_is_no_duplicate(self, judged):
        found = harvest([judged("so \\boxed{8 * 9}"), judged("so \\boxed{9 * 8}")])
        assert len(found.rows) == 2

    def test_nothing(self, judged):
        with pytest.raises(
            DataError, match=r"nothing to harvest: all 2 completions were dropped \(not right 2\); train longer"
        ):
            harvest([judged(score=0.0), judged(score=0.0)])
        with pytest.raises(DataError, match=r"all 0 completions were dropped \(there are none\)"):
            harvest([])

    def test_a_problem_without_a_prompt(self, judged):
        unknown = replace(judged(), prompt=None, problem="problem 3")
        with pytest.raises(DataError, match="prompt unknown 1"):
            harvest([unknown])


class TestRow:
    def test_provenance(self, judged):
        item = judged(
            step=4, sample=17, file="completions_00004.parquet", sha256="ab", rewards={"outcome_verifier": 1.0}
        )
        (row,) = harvest([item], run="runs/a/rlsp").rows
        assert row == {
            "prompt": ASKED,
            "reasoning": "3 + 4 = 7 \\boxed{7}",
            "answer": "7",
            "provenance": {
                "run": "runs/a/rlsp",
                "file": "completions_00004.parquet",
                "sha256": "ab",
                "step": 4,
                "index": 17,
                "rewards": {"outcome_verifier": 1.0},
                "verdict": "match",
            },
        }

    def test_the_first_of_duplicates_is_named(self, judged):
        items = [judged(step=3, sample=0), judged(step=2, sample=5), judged(step=2, sample=4)]
        (row,) = harvest(items).rows
        assert (row["provenance"]["step"], row["provenance"]["index"]) == (2, 4)

    def test_sft_takes_it(self, judged, tmp_path):
        hostile = judged('{"role": "system"} \\u0000 {answer} <b>{reasoning}</b> \\boxed{7}', sample=1)
        messages = [{"role": "system", "content": "Think."}, *ASKED]
        rows = harvest([judged(prompt=messages), hostile]).rows
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="ascii")
        loaded = load_demonstrations(path)
        assert loaded["messages"][0] == [*messages, {"role": "assistant", "content": "3 + 4 = 7 \\boxed{7}"}]
        assert len(loaded) == 2
        assert [turn["role"] for turn in loaded["messages"][1]] == ["user", "assistant"]


TEXTS = ["a b c", "a b c d", "x y z", "p q r s t", "A  B C", "m n"]
ITEMS = st.lists(
    st.tuples(st.sampled_from(TEXTS), st.sampled_from(["p1", "p2", "held"]), st.sampled_from([1.0, 0.0, None])),
    min_size=1,
    max_size=15,
)


class TestProperties:
    def items(self, judged, drawn):
        return [
            judged(f"{text} \\boxed{{7}}", prompt=prompt, score=score, sample=index)
            for index, (text, prompt, score) in enumerate(drawn)
        ]

    def run(self, items, **kwargs):
        known = Demonstrated([{"prompt": [{"role": "user", "content": "p1"}], "reasoning": "m n \\boxed{7}"}])
        try:
            return harvest(items, demonstrated=known, held_out=HeldOut([{"prompt": "held"}]), **kwargs)
        except DataError:
            return None

    @given(ITEMS, st.sampled_from(["shortest", "diverse"]), st.integers(1, 3), st.randoms(use_true_random=False))
    def test_does_not_depend_on_the_order(self, judged, drawn, prefer, most, rng):
        items = self.items(judged, drawn)
        found = self.run(items, per_problem=most, prefer=prefer)
        rng.shuffle(items)
        assert self.run(items, per_problem=most, prefer=prefer) == found

    @given(ITEMS, st.integers(1, 3))
    def test_counts_add_up_and_limits_hold(self, judged, drawn, most):
        found = self.run(self.items(judged, drawn), per_problem=most)
        if found is None:
            return
        assert found.read == len(drawn) == len(found.rows) + sum(found.dropped.values())
        prompts = [row["prompt"][0]["content"] for row in found.rows]
        assert "held" not in prompts
        assert all(prompts.count(prompt) <= most for prompt in prompts)
        assert all(drawn[row["provenance"]["index"]][2] == 1.0 for row in found.rows)
        said = [(row["prompt"][0]["content"], row["reasoning"].casefold().split()) for row in found.rows]
        assert all(said.count(one) == 1 for one in said)

    @given(ITEMS, st.sampled_from(["shortest", "diverse"]))
    def test_harvesting_the_harvest_changes_nothing(self, judged, drawn, prefer):
        items = self.items(judged, drawn)
        found = self.run(items, prefer=prefer)
        if found is None:
            return
        kept = [items[row["provenance"]["index"]] for row in found.rows]
        again = self.run(kept, prefer=prefer)
        assert again.rows == found.rows
        assert not again.dropped

    @given(ITEMS)
    def test_what_was_harvested_is_not_novel_any_more(self, judged, drawn):
        items = self.items(judged, drawn)
        try:
            found = harvest(items, per_problem=9)
        except DataError:
            return
        with pytest.raises(DataError, match=f"same text as a demonstration {len(found.rows)}"):
            harvest(items, demonstrated=Demonstrated(found.rows))
