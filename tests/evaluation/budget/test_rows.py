"""Rows of a batch: suffixes, scripts, and which are still there."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from trl_rlsp.evaluation.budget.rows import ANSWER, CONTINUATION, NO_SCRIPT, Rows, ends_with, ends_with_any, kept_rows

ROWS = torch.tensor([[1, 2, 3], [4, 5, 3], [4, 2, 3]])


class TestEndsWith:
    def test_by_hand(self):
        assert ends_with(ROWS, [2, 3]).tolist() == [True, False, True]
        assert ends_with(ROWS, []).tolist() == [True] * 3
        assert ends_with(ROWS, [1, 1, 2, 3]).tolist() == [False] * 3
        assert ends_with(ROWS[:, :0], [1]).tolist() == [False] * 3

    def test_any(self):
        assert ends_with_any(ROWS, [(5, 3), (1, 2, 3)]).tolist() == [True, True, False]
        assert ends_with_any(ROWS, []).tolist() == [False] * 3


class TestKeptRows:
    def test_by_hand(self):
        assert kept_rows(ROWS, ROWS.clone()).tolist() == [0, 1, 2]
        assert kept_rows(ROWS, ROWS[[0, 2]]).tolist() == [0, 2]
        assert kept_rows(ROWS, ROWS[[2, 0]]) is None  # another order
        assert kept_rows(ROWS, ROWS[:, :2]) is None
        assert kept_rows(ROWS[:1], ROWS) is None
        assert kept_rows(ROWS, ROWS[[0, 2]] + 1) is None

    @given(st.lists(st.integers(0, 2), min_size=1, max_size=6), st.data())
    def test_any_rows_that_are_kept_are_found(self, tokens, data):
        before = torch.tensor(tokens)[:, None]  # with rows that are equal
        kept = data.draw(st.lists(st.sampled_from(range(len(tokens))), min_size=1, unique=True).map(sorted))
        found = kept_rows(before, before[kept])
        assert found.tolist() == sorted(set(found.tolist()))
        assert torch.equal(before[found], before[kept])


class TestScripts:
    def test_advance_to_the_end(self):
        rows = Rows.of(ROWS)
        lengths = torch.tensor([0, 2, 1])
        rows.begin(torch.tensor([True, False, False]), CONTINUATION, torch.zeros(3, dtype=torch.long))
        rows.begin(torch.tensor([False, True, False]), ANSWER, torch.zeros(3, dtype=torch.long))
        rows.advance(lengths)
        assert rows.script_B.tolist() == [CONTINUATION, NO_SCRIPT, NO_SCRIPT]
        assert rows.answering_B.tolist() == [False, True, False]
        rows.advance(lengths)
        assert rows.script_B.tolist() == [NO_SCRIPT] * 3
        assert rows.answering_B.tolist() == [False, True, False]

    def test_only_some(self):
        rows = Rows.of(ROWS)
        rows.begin(torch.tensor([False, False, True]), CONTINUATION, torch.ones(3, dtype=torch.long))
        some = rows.only(torch.tensor([0, 2]))
        assert some.script_B.tolist() == [NO_SCRIPT, CONTINUATION]
        assert (some.start, len(rows.script_B)) == (3, 3)
