"""When to stop: worked by hand, and against the definitions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trl_rlsp.errors import ConfigError
from trl_rlsp.evaluation.budget._curve import adaptive_consistency, last_agree, lead_probability, top_two, unbeatable

ANSWERS = st.lists(st.sampled_from(["1", "2", "3", None]), max_size=12)


class TestTopTwo:
    def test_by_hand(self):
        assert top_two(["7", "9", "7", None, None, None]) == (2, 1)
        assert top_two(["7", "7"]) == (2, 0)
        assert top_two([None]) == (0, 0)


class TestUnbeatable:
    @pytest.mark.parametrize(
        ("answers", "n", "enough"),
        [
            (["7", "7", "7"], 5, True),  # 3 against at most 2
            (["7", "7"], 4, False),  # 2 against 2 to come: a tie
            (["7", "7", None], 4, True),  # 2 against 1
            ([None, None], 2, False),  # nobody leads; the samples are used up anyway
            (["7"], 1, True),
        ],
    )
    def test_by_hand(self, answers, n, enough):
        assert unbeatable(answers, n) is enough

    @given(ANSWERS, st.lists(st.sampled_from(["1", "2", "3", "4", None]), max_size=6))
    def test_nothing_to_come_can_overtake_or_tie(self, answers, to_come):
        if unbeatable(answers, len(answers) + len(to_come)):
            leader = max("123", key=answers.count)
            everything = answers + to_come
            assert all(everything.count(leader) > everything.count(other) for other in "1234" if other != leader)

    @given(ANSWERS, st.integers(1, 6))
    def test_not_later_than_it_must(self, answers, remaining):
        if not unbeatable(answers, len(answers) + remaining):
            leader = max("123", key=answers.count)
            rival = max((a for a in "1234" if a != leader), key=answers.count)
            assert answers.count(rival) + remaining >= answers.count(leader)


class TestAdaptiveConsistency:
    @pytest.mark.parametrize(
        ("first", "second", "probability"),
        [
            (0, 0, 1 / 2),
            (2, 2, 1 / 2),
            (1, 0, 3 / 4),
            (4, 0, 31 / 32),
            (2, 1, 11 / 16),  # (1 + 4 + 6) / 16
            (5, 1, 120 / 128),  # (1 + 7 + 21 + 35 + 35 + 21) / 128
            (6, 1, 247 / 256),  # (256 - 1 - 8) / 256
        ],
    )
    def test_probability_by_hand(self, first, second, probability):
        assert lead_probability(first, second) == probability

    @given(st.integers(0, 30), st.integers(0, 30))
    def test_probability_is_the_integral(self, first, second):
        steps = 20_000
        grid = [(i + 0.5) / steps for i in range(steps)]
        density = [p**first * (1 - p) ** second for p in grid]
        assert lead_probability(first, second) == pytest.approx(sum(density[steps // 2 :]) / sum(density), abs=1e-6)

    def test_stops(self):
        rule = adaptive_consistency(0.95)
        assert not rule(["7"] * 5 + ["9"], 40)  # .9375
        assert rule(["7"] * 6 + ["9"], 40)  # .965
        assert rule(["7"] * 6 + ["9"] + [None] * 9, 40)  # no answer, no vote
        assert not adaptive_consistency(0.97)(["7"] * 6 + ["9"], 40)

    @pytest.mark.parametrize("confidence", [0.5, 1.0, -1])
    def test_bad_values(self, confidence):
        with pytest.raises(ConfigError, match=f"confidence is above 0.5 and below 1, got {confidence}"):
            adaptive_consistency(confidence)


class TestLastAgree:
    def test_by_hand(self):
        assert last_agree(2, 3)(["7", "9", "7"], 9)
        assert not last_agree(2, 2)(["7", "9", "7"], 9)
        assert not last_agree(2, 2)([None, None], 9)

    @pytest.mark.parametrize(("k", "window"), [(1, 3), (4, 3)])
    def test_bad_values(self, k, window):
        with pytest.raises(ConfigError, match=f"2 <= k <= window must hold, got k={k} and window={window}"):
            last_agree(k, window)
