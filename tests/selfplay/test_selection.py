"""At most k of a problem."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trl_rlsp.errors import ConfigError
from trl_rlsp.selfplay import select
from trl_rlsp.selfplay._harvest import Trace
from trl_rlsp.text import distance, folded_words, ngrams


def trace(before):
    return Trace(f"{before} \\boxed{{1}}", "1", before)


A, LIKE_A, B, C = (trace(text) for text in ("a b c d e", "a b c d e f", "1 2 3 4 5 6 7", "a b c d 4 5 6 7"))
TEXTS = st.lists(st.text("abc ", min_size=1, max_size=12), unique_by=lambda t: tuple(t.split()), max_size=6)


class TestShortest:
    def test_by_units(self):
        assert select([C, B, A, LIKE_A], 2, "shortest") == [2, 3]

    def test_fewer_than_k(self):
        assert select([B], 3, "shortest") == [0]
        assert select([], 3, "shortest") == []


class TestDiverse:
    def test_starts_with_the_shortest_and_takes_the_farthest(self):
        # 4-grams: A has 2, LIKE_A 3 (2 of them A's), B 4 (none of A's), C 5 (abcd of A's, 4567 of B's)
        # distances to A: LIKE_A 1 - 2/3, B 1, C 1 - 1/6; then to {A, B}: LIKE_A 1/3, C min(5/6, 1 - 1/8)
        assert select([LIKE_A, A, C, B], 3, "diverse") == [1, 3, 2]

    @given(TEXTS, st.integers(1, 4), st.randoms(use_true_random=False))
    def test_does_not_depend_on_the_order(self, texts, most, rng):
        traces = [trace(text) for text in texts]
        other = list(traces)
        rng.shuffle(other)
        chosen = [traces[i] for i in select(traces, most, "diverse")]
        assert chosen == [other[i] for i in select(other, most, "diverse")]
        assert len(chosen) == min(most, len(traces))

    def test_spreads_more_than_the_shortest(self):
        rng = random.Random(0)
        traces = [trace(" ".join(rng.choices("abcdefgh", k=rng.randint(5, 12)))) for _ in range(12)]

        def spread(prefer):
            grams = [ngrams(folded_words(traces[i].before), 4) for i in select(traces, 4, prefer)]
            return min(distance(a, b) for a in grams for b in grams if a is not b)

        assert spread("diverse") >= spread("shortest")


def test_arguments():
    with pytest.raises(ConfigError, match="per_problem is at least 1, got 0"):
        select([A], 0, "shortest")
    with pytest.raises(ConfigError, match="prefer is 'shortest' or 'diverse', got 'longest'"):
        select([A], 1, "longest")
