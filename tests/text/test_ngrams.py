"""Units, n-grams and overlaps, by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trl_rlsp.text import distance, folded_words, ngrams, share_in


class TestWords:
    @pytest.mark.parametrize("text", ["So X = 3.5!", "so  x =\n3.5 !", "\uff33\uff4f x = 3.5!", "So X\u200b = 3.5!"])
    def test_the_same_whatever_case_blanks_and_width(self, text):
        assert folded_words(text) == ("so", "x", "=", "3", ".", "5", "!")

    def test_other_numbers_are_other_words(self):
        assert folded_words("3 + 4") != folded_words("3 + 5")


class TestNgrams:
    def test_by_hand(self):
        assert ngrams(("a", "b", "c", "b"), 2) == {("a", "b"), ("b", "c"), ("c", "b")}

    def test_a_short_text_is_one_gram(self):
        assert ngrams(("a", "b"), 8) == {("a", "b")}
        assert ngrams((), 8) == frozenset()


class TestOverlap:
    def test_share(self):
        a, b = ngrams("abcd", 2), ngrams("bcdx", 2)
        # ab bc cd against bc cd dx: two of three
        assert share_in(a, b) == pytest.approx(2 / 3)
        assert share_in(frozenset(), b) == 0.0

    def test_distance(self):
        # two in common, four in all
        assert distance(ngrams("abcd", 2), ngrams("bcdx", 2)) == pytest.approx(1 - 2 / 4)

    @given(st.text("abc", max_size=12), st.text("abc", max_size=12), st.integers(1, 4))
    def test_distance_is_symmetric_and_bounded(self, one, other, size):
        a, b = ngrams(one, size), ngrams(other, size)
        assert distance(a, b) == distance(b, a)
        assert 0 <= distance(a, b) <= 1
        assert (distance(a, b) == 0) == (a == b)
