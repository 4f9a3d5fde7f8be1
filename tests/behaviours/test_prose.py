"""Behaviours in prose: wording, what takes its meaning away, labelled snippets, and time on hostile text."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trl_rlsp.behaviours import KINDS, BehaviourMetrics, count_behaviours, find_behaviours
from trl_rlsp.behaviours._prose import CUES, prepared
from trl_rlsp.text import MAX_CHARS

FILE = Path(__file__).parents[1] / "data" / "behaviour_snippets.jsonl"
SNIPPETS = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]
SPLITS = ("tuning", "held_out", "second", "third", "fresh")


def kinds(text):
    return [behaviour.kind for behaviour in find_behaviours(text)]


def precision_and_recall(kind, rows):
    found = [kind in kinds(row["text"]) for row in rows]
    labelled = [kind in row["kinds"] for row in rows]
    hits = sum(f and y for f, y in zip(found, labelled, strict=True))
    return hits / sum(found), hits / sum(labelled)


class TestSnippets:
    def test_there_are_enough_of_each_kind_and_of_none(self):
        assert len(SNIPPETS) >= 120
        assert {row["split"] for row in SNIPPETS} == set(SPLITS)
        assert all(set(row["kinds"]) <= set(KINDS) for row in SNIPPETS)
        assert len({row["text"] for row in SNIPPETS}) == len(SNIPPETS)
        for kind in KINDS:
            assert sum(kind in row["kinds"] for row in SNIPPETS) >= 30
        assert sum(not row["kinds"] for row in SNIPPETS) >= 70

    @pytest.mark.parametrize("split", SPLITS)
    @pytest.mark.parametrize("kind", KINDS)
    def test_precision_and_recall(self, kind, split):
        precision, recall = precision_and_recall(kind, [row for row in SNIPPETS if row["split"] == split])
        assert precision >= 0.85
        assert recall >= 0.85


class TestWording:
    @pytest.mark.parametrize(
        "text",
        [
            "but 3 is odd",
            "However, it is not prime.",
            "The wait time is 4 minutes.",
            "Wait, the radius is in centimetres.",
            'He said "let me check" and left.',
            "He said “let me check” and left.",
            "The button says 'go back' in red.",
            "Call `start over` twice.",
            "```\n# let me check: alternatively, go back\n```",
            "There is no need to check this.",
            "We never go back to it.",
            "She will check the engine.",
        ],
    )
    def test_nothing(self, text):
        assert kinds(text) == []

    @pytest.mark.parametrize(
        ("text", "kind", "cue"),
        [
            ("So I should go back to x.", "backtracking", "I should go back"),
            ("LET ME CHECK: 2", "verification", "LET ME CHECK"),
            ("It’s here. Let’s verify it.", "verification", "Let’s verify"),
            ("6. Alternatively, sort it.", "alternatives", "Alternatively"),
            ("No wait, it is 5.", "self_correction", "No wait"),
            ("First, find the slope.\nStep 2: solve.", "subgoals", "Step 2:"),
        ],
    )
    def test_place(self, text, kind, cue):
        found = [b for b in find_behaviours(text) if b.kind == kind]
        assert [text[b.start : b.end] for b in found] == [cue]

    def test_a_kind_counts_once_a_sentence(self):
        assert kinds("Let me check, let me verify, let me double-check.") == ["verification"]
        assert kinds("Let me check. Let me verify.\nLet me double-check.") == ["verification"] * 3

    def test_a_quotation_mark_left_open_hides_nothing(self):
        assert kinds('A rope of 5" and more. Let me check: 5.') == ["verification"]


class TestCounts:
    def test_counts(self):
        counts = count_behaviours("Let me check: 4. Let me verify: 5. Alternatively, use 6.")
        assert counts == {
            "backtracking": 0, "verification": 2, "alternatives": 1, "self_correction": 0, "subgoals": 0,
        }  # fmt: skip

    @pytest.mark.parametrize(("tokens", "rate"), [(500, 4.0), (None, 1000 * 2 / 12)])
    def test_rate(self, tokens, rate):
        # 2 in 500 tokens: 1000 * 2 / 500; in the 12 words and marks of the text: 1000 * 2 / 12
        logged, ids = {}, None if tokens is None else [[0] * tokens]
        text = "Let me check: 4. Let me verify: 5."
        BehaviourMetrics()([text], log_metric=logged.__setitem__, completion_ids=ids)
        assert logged["behaviour/verification"] == rate
        BehaviourMetrics()([""], log_metric=logged.__setitem__)
        assert logged["behaviour/verification"] == 0.0


class TestHostileText:
    WORDS = sorted(CUES)

    @given(st.text(max_size=200))
    def test_any_text(self, text):
        assert len(prepared(text)) == len(text)
        for behaviour in find_behaviours(text):
            assert 0 <= behaviour.start < behaviour.end <= len(text)

    @given(
        st.lists(st.sampled_from([*WORDS, "back", "i", "we", "let me", ".", ",", "n = 3"]), max_size=40).map(" ".join)
    )
    def test_cue_words_in_any_order(self, text):
        found = find_behaviours(text)
        assert found == sorted(found)
        assert all(b.start < b.end <= len(text) for b in found)

    @pytest.mark.parametrize(
        "piece",
        ["a", '"', "'a ", "`", "```", " ", "\n", "let me ", "i have ", "not a ", "no, ", "either i ", "hmm should be ",
         "for n = 1 a ", "plug it ", "1 + ", "|(((1", "1 + 1 = 2 ? 3 no | ", "in order to find ", "suppose "],
    )  # fmt: skip
    def test_time_is_linear(self, piece):
        text = piece * (MAX_CHARS // len(piece))
        start = time.process_time()
        find_behaviours(text[: MAX_CHARS // 8])
        eighth = time.process_time() - start
        find_behaviours(text)
        whole = time.process_time() - start - eighth
        assert whole < max(40 * eighth, 2.0)  # 8 times as long; quadratic would be 64 times
        assert whole < 10

    def test_what_is_beyond_the_limit_is_not_looked_at(self):
        assert find_behaviours(" " * MAX_CHARS + "Let me check: 3.") == []
