"""Means and bootstrap intervals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trl_rlsp.evaluation._metrics import Estimate, bootstrap_mean


class TestBootstrapMean:
    def test_constant(self):
        assert bootstrap_mean([0.25] * 7) == Estimate(0.25, 0.25, 0.25)

    def test_one_value(self):
        assert bootstrap_mean([3.0]) == Estimate(3.0, 3.0, 3.0)

    def test_agrees_with_the_normal_interval(self):
        # 200 of 400 right: standard error sqrt(.5 * .5 / 400) = 0.025, 1.96 of it = 0.049
        found = bootstrap_mean([0.0, 1.0] * 200)
        assert found.mean == 0.5
        assert found.low == pytest.approx(0.451, abs=0.005)
        assert found.high == pytest.approx(0.549, abs=0.005)

    def test_covers_the_truth_about_19_times_in_20(self):
        rng = np.random.default_rng(1)
        hits = 0
        for seed in range(200):
            found = bootstrap_mean(rng.random(100) < 0.3, resamples=400, seed=seed)
            hits += found.low <= 0.3 <= found.high
        # binomial with p = 0.95: standard deviation 0.015
        assert 0.89 <= hits / 200 <= 0.99

    def test_same_seed_same_interval(self):
        values = [0.0, 1.0, 0.5, 0.25]
        assert bootstrap_mean(values, seed=1) == bootstrap_mean(values, seed=1)
        assert bootstrap_mean(list(range(50)), seed=1) != bootstrap_mean(list(range(50)), seed=2)

    @settings(max_examples=30)
    @given(st.lists(st.floats(0, 1000), min_size=1, max_size=30))
    def test_inside_the_values(self, values):
        found = bootstrap_mean(values, resamples=50)
        slack = 1e-9 * max(values)
        assert min(values) - slack <= found.low <= found.high <= max(values) + slack

    def test_nothing(self):
        with pytest.raises(ValueError, match="at least one problem, got none"):
            bootstrap_mean([])


class TestShown:
    def test_percent(self):
        assert Estimate(0.342, 0.31, 0.3749).percent() == "34.2 % [31.0, 37.5]"

    def test_number(self):
        assert Estimate(34.24, 31.0, 37.46).number() == "34.2 [31.0, 37.5]"
