"""Forecasts of the end of a run: by hand, where there is none, and from a run's log."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trl_rlsp.errors import ConfigError, DataError
from trl_rlsp.runs import Run, Sigmoid, forecast, solve_rate_curve
from trl_rlsp.runs._forecast import _least_squares, _p_values, _shares

TOKENS = [1000.0 * i for i in range(1, 101)]


def rates(curve, tokens=TOKENS):
    gain = curve.asymptote - curve.start
    return [curve.start + gain / (1 + (curve.midpoint / c) ** curve.exponent) for c in tokens]


class TestForecast:
    @pytest.mark.parametrize("curve", [Sigmoid(0.1, 0.6, 15_000, 2.0), Sigmoid(0.0, 0.3, 8_000, 3.0)])
    def test_a_sigmoid_is_found_again(self, curve):
        values = rates(curve)
        found = forecast(TOKENS, values)
        # the last tenth: 91,000 to 100,000 tokens
        assert found.actual == pytest.approx(np.mean(values[90:]))
        assert found.missed == pytest.approx(0, abs=0.005)
        assert found.curve.asymptote == pytest.approx(curve.asymptote, abs=0.005)
        assert (found.points, found.tokens, found.reason) == (25, 100_000, "")

    def test_the_interval_has_the_end_of_noisy_curves(self):
        truth, held = rates(Sigmoid(0.1, 0.5, 20_000, 2.0)), []
        for seed in range(20):
            noisy = np.array(truth) + np.random.default_rng(seed).normal(0, 0.02, 100)
            found = forecast(TOKENS, list(noisy), share=0.5).forecast
            assert found.high - found.low > 0.01
            held.append(found.low <= np.mean(truth[90:]) <= found.high)
        assert sum(held) >= 18

    def test_half_of_the_gain_at_the_midpoint(self):
        # 0.2 + 0.4 / (1 + 1), and 0.2 + 0.4 / (1 + 1 / 4) at twice the tokens with B = 2
        assert rates(Sigmoid(0.2, 0.6, 10.0, 2.0), [10.0, 20.0]) == pytest.approx([0.4, 0.52])
        assert _shares(np.array([[10.0], [2.0]]), np.array([10.0, 20.0])) == pytest.approx(np.array([[0.5, 0.8]]))

    def test_naive(self):
        found = forecast(TOKENS, [0.1] * 22 + [0.2, 0.3, 0.4] + [0.5] * 75)
        assert found.naive == pytest.approx(0.3)  # the last 3 of 25
        assert (found.actual, found.naive_missed) == (pytest.approx(0.5), pytest.approx(-0.2))

    def test_the_end_of_a_run_that_goes_on(self):
        values = rates(Sigmoid(0.1, 0.6, 15_000, 2.0))
        found = forecast(TOKENS[:40], values[:40], share=0.4, end=100_000)
        assert (found.points, found.actual, found.missed) == (40, None, None)
        assert found.forecast.mean == pytest.approx(values[-1], abs=0.02)

    def test_points_beyond_the_end_are_not_seen(self):
        values = rates(Sigmoid(0.1, 0.6, 15_000, 2.0))
        found = forecast(TOKENS, [*values[:50], *[0.9] * 50], end=50_000)
        assert (found.points, found.actual) == (12, pytest.approx(np.mean(values[45:50])))

    def test_what_the_fit_has_seen_is_no_test_of_it(self):
        assert forecast(TOKENS, rates(Sigmoid(0.1, 0.6, 15_000, 2.0)), share=1).actual is None


class TestNoForecast:
    def test_few_points(self):
        found = forecast(TOKENS[:20], [0.1] * 20)
        assert (found.forecast, found.curve, found.missed) == (None, None, None)
        assert found.reason == "5 points up to 5,000 tokens, and a fit needs 6"
        assert found.naive_missed == 0

    @pytest.mark.parametrize("values", [[0.0] * 100, [0.3] * 100, [0.5 - 0.004 * i for i in range(100)]])
    def test_no_rise(self, values):
        assert forecast(TOKENS, values).reason.startswith("no rise up to 25,000 tokens")

    def test_a_noisy_start_allows_any_end(self):
        noise = np.random.default_rng(0).normal(0, 0.02, 100)
        found = forecast(TOKENS, list(np.clip(np.linspace(0.05, 0.4, 100) + noise, 0, 1)), share=0.25)
        assert found.forecast is None
        assert found.reason.startswith("not determined: the points up to 25,000 tokens allow any end between")

    def test_no_points_before_the_share(self):
        found = forecast([1000, 1001, 1002, 1003], [0.1] * 4)
        assert (found.points, found.naive, found.naive_missed) == (0, None, None)

    @pytest.mark.parametrize("given", [{"share": 0}, {"share": 1.5}, {"end": 0}, {"end": -1}])
    def test_refused(self, given):
        with pytest.raises(ConfigError, match="a forecast needs 0 < share <= 1 and tokens above 0, got"):
            forecast(TOKENS, [0.1] * 100, **given)

    def test_nothing(self):
        with pytest.raises(DataError, match="at least one logged point"):
            forecast([], [])


class TestFit:
    def test_p_values(self):
        # tables: 5 % of F(4, 4) is above 6.388 and of F(4, 10) above 3.478
        assert _p_values(np.array([1 + 4 * 6.388 / 4]), 8) == pytest.approx(0.05, abs=1e-4)
        assert _p_values(np.array([1 + 4 * 3.478 / 10]), 14) == pytest.approx(0.05, abs=1e-4)
        assert _p_values(np.array([1.0]), 9) == 1

    def test_by_hand(self):
        # s = 1/2 and 4/5: the line through (1/2, 0.3) and (4/5, 0.45) has 0.05 at s = 0 and 0.55 at s = 1
        errors, start, asymptote = _least_squares(
            np.array([[10.0], [2.0]]), np.array([10.0, 20.0]), np.array([0.3, 0.45])
        )
        assert (errors[0], start[0], asymptote[0]) == pytest.approx((0, 0.05, 0.55))

    @settings(max_examples=50)
    @given(st.lists(st.floats(0, 1), min_size=3, max_size=8), st.floats(0.5, 5), st.floats(500, 50_000))
    def test_no_curve_of_the_same_shape_is_better(self, values, exponent, midpoint):
        grid, x, y = np.array([[midpoint], [exponent]]), np.array(TOKENS[: len(values)]), np.array(values)
        (error,), (start,), (asymptote,) = _least_squares(grid, x, y)
        assert 0 <= start <= asymptote + 1e-12 <= 1 + 1e-11
        for low in np.linspace(0, 1, 21):
            for high in np.linspace(low, 1, 11):
                other = np.array(rates(Sigmoid(low, high, midpoint, exponent), x))
                assert error <= ((y - other) ** 2).sum() + 1e-9


def logged(**metrics):
    rows = [
        {"step": i + 1, **dict(zip(metrics, row, strict=True))}
        for i, row in enumerate(zip(*metrics.values(), strict=True))
    ]
    return Run("run", Path("run"), history=rows)


RATE = "rewards/outcome_verifier/mean"


class TestLog:
    def test_tokens_of_trl_or_sampled_ones(self):
        run = logged(**{RATE: [0.1, 0.2], "num_tokens": [50.0, 100.0]})
        assert solve_rate_curve(run) == ([50.0, 100.0], [0.1, 0.2])
        run = logged(**{RATE: [0.1, 0.2], "num_tokens": [50.0, 100.0], "sampled_tokens": [30, 60]})
        assert solve_rate_curve(run)[0] == [30, 60]

    def test_only_steps_with_both(self):
        run = logged(**{RATE: [0.1, float("nan"), 0.3], "num_tokens": [50.0, 100.0, None]})
        assert solve_rate_curve(run) == ([50.0], [0.1])

    @pytest.mark.parametrize(
        ("metrics", "lacks"),
        [
            ({"reward": [0.1], "num_tokens": [1.0]}, "no solve rate"),
            ({RATE: [0.1]}, "none of sampled_tokens, num_tokens"),
        ],
    )
    def test_what_a_log_lacks(self, metrics, lacks):
        with pytest.raises(DataError, match=f"a forecast needs solve rates and tokens .*run has {lacks}"):
            solve_rate_curve(logged(**metrics))
