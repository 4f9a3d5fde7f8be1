from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from countdown.intervals import difference, interval, matrix, problem_weights, rank_correlation, ranks, spearman


class TestInterval:
    def test_mean_of_known_values(self):
        # (1 + 0 + 1) / 3 are known; the missing value is not a zero
        mean, low, high = interval(matrix([[1.0, 0.0], [1.0, None]]))
        assert mean == pytest.approx(2 / 3, abs=1e-5)
        assert low <= mean <= high

    def test_width_of_a_sample_of_problems(self):
        # one seed, 400 problems, half solved: standard error 0.5 / 20 = 0.025, 95 % +- 0.049
        mean, low, high = interval(matrix([[0.0, 1.0] * 200]))
        assert mean == 0.5
        assert high - low == pytest.approx(4 * 0.025 * 0.98, rel=0.15)

    def test_seeds_widen_it(self):
        # problems agree, seeds do not: 0 or 1 with 4 seeds each way; standard error 0.5 / sqrt(8) = 0.177
        _, low, high = interval(matrix([[0.0] * 50] * 4 + [[1.0] * 50] * 4))
        assert high - low == pytest.approx(2 * 1.96 * 0.177, rel=0.2)

    def test_all_missing_in_a_column(self):
        assert interval(matrix([[0.5, None], [0.5, None]])) == [0.5, 0.5, 0.5]


class TestDifference:
    def test_pairing_removes_what_problems_share(self):
        """Problems differ much, arms by exactly 0.1 on each: the interval has no width."""
        easy_to_hard = np.linspace(0, 0.9, 30)
        mean, low, high = difference((easy_to_hard + 0.1)[None], easy_to_hard[None])
        assert (mean, low, high) == pytest.approx((0.1, 0.1, 0.1))

    def test_numbers_of_seeds_may_differ(self):
        assert difference(matrix([[1.0, 1.0]]), matrix([[0.0, 0.0]] * 3)) == [1.0, 1.0, 1.0]

    def test_other_problems_are_refused(self):
        with pytest.raises(ValueError, match=r"the same problems, got 2 and 3"):
            difference(matrix([[1.0, 1.0]]), matrix([[0.0, 0.0, 0.0]]))


def test_every_resample_draws_as_many_problems():
    weights_RP = problem_weights(7, resamples=5)
    assert weights_RP.sum(axis=1).tolist() == [7.0] * 5


class TestRankCorrelation:
    def test_by_hand(self):
        # ranks 1 2 3 4 against 1 2 4 3: 1 - 6 * (0 + 0 + 1 + 1) / (4 * 15) = 0.8
        assert spearman(np.array([1.0, 2, 3, 4]), np.array([10.0, 20, 40, 30])) == pytest.approx(0.8)

    def test_ties_share_their_rank(self):
        assert ranks(np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [3.5, 1.0, 3.5, 2.0]

    def test_constant_effort_has_none(self):
        assert rank_correlation([1.0, 2.0, 3.0], matrix([[5.0, 5.0, 5.0]])) is None

    def test_perfect_order(self):
        found, low, high = rank_correlation(list(range(30)), np.arange(30.0)[None] ** 2)
        assert (found, low, high) == (1.0, 1.0, 1.0)

    @given(st.lists(st.integers(0, 5), min_size=2, max_size=12), st.randoms())
    def test_bounds_and_symmetry(self, values, rng):
        other = list(values)
        rng.shuffle(other)
        a, b = np.array(values, dtype=float), np.array(other, dtype=float)
        found = spearman(a, b)
        assert np.isnan(found) or -1 - 1e-9 <= found <= 1 + 1e-9
        assert np.isnan(found) or found == pytest.approx(spearman(b, a))
