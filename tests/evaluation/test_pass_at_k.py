"""pass@k and maj@k against values worked out by hand, published ones, and enumeration."""

from __future__ import annotations

from itertools import combinations
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trl_rlsp.errors import ConfigError, DataError
from trl_rlsp.evaluation._metrics import maj_at_k, majority_curve, pass_at_k


class TestPassAtK:
    @pytest.mark.parametrize(
        ("n", "c", "k", "expected"),
        [
            (5, 2, 1, 0.4),  # c / n
            (5, 2, 2, 0.7),  # 1 - C(3,2)/C(5,2) = 1 - 3/10
            (5, 2, 4, 1.0),  # 3 wrong ones cannot fill 4
            (10, 3, 5, 11 / 12),  # 1 - C(7,5)/C(10,5) = 1 - 21/252
            (4, 0, 4, 0.0),
            (1, 1, 1, 1.0),
        ],
    )
    def test_by_hand(self, n, c, k, expected):
        assert pass_at_k(n, c, k) == pytest.approx(expected, abs=1e-15)

    @given(st.integers(1, 300), st.data())
    def test_the_published_program(self, n, data):
        """2107.03374, figure 3: 1 - prod(1 - k / arange(n - c + 1, n + 1)), and 1 where n - c < k."""
        c, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
        published = 1.0 if n - c < k else 1.0 - np.prod(1.0 - k / np.arange(n - c + 1, n + 1))
        assert pass_at_k(n, c, k) == pytest.approx(published, abs=1e-9)

    @given(st.lists(st.booleans(), min_size=1, max_size=8), st.data())
    def test_enumeration(self, correct, data):
        k = data.draw(st.integers(1, len(correct)))
        expected = fmean(any(drawn) for drawn in combinations(correct, k))
        assert pass_at_k(len(correct), sum(correct), k) == pytest.approx(expected)

    def test_numbers_that_overflow_a_factorial(self):
        assert pass_at_k(100_000, 1, 1) == 1e-5
        # 1 - C(9999, 100)/C(10000, 100) = 100/10000
        assert pass_at_k(10_000, 1, 100) == 0.01

    @pytest.mark.parametrize(("n", "c", "k"), [(5, 6, 1), (5, -1, 1), (5, 2, 0), (5, 2, 6), (0, 0, 1)])
    def test_refused(self, n, c, k):
        with pytest.raises(ConfigError, match=rf"1 <= k <= n, got n={n}, c={c}, k={k}; draw more samples"):
            pass_at_k(n, c, k)


class TestMajAtK:
    @pytest.mark.parametrize(
        ("answers", "scores", "k", "expected"),
        [
            ("aab", [1, 1, 0], 3, 1.0),
            ("aab", [1, 1, 0], 1, 2 / 3),  # pass@1
            ("aab", [1, 1, 0], 2, 2 / 3),  # aa wins, ab twice a tie: (1 + 1/2 + 1/2) / 3
            ("aabb", [1, 1, 0, 0], 4, 0.5),  # a tie
            ("aabb", [1, 1, 0, 0], 3, 0.5),  # aab twice, abb twice
            ("aabbb", [1, 1, 0, 0, 0], 5, 0.0),
            # 10 triples: aab 3 times right, abb 6 times and bbb once wrong
            ("aabbb", [1, 1, 0, 0, 0], 3, 0.3),
            ("abc", [1, 0, 0], 3, 1 / 3),  # a tie of three
            (["a", None, None], [1, 0, 0], 3, 1.0),  # one vote is the most
            (["a", None, None], [1, 0, 0], 1, 1 / 3),  # nobody votes in two subsets of three: 0
            ([None, None], [0, 0], 2, 0.0),
        ],
    )
    def test_by_hand(self, answers, scores, k, expected):
        assert maj_at_k(list(answers), scores, k) == pytest.approx(expected, abs=1e-15)

    def test_what_is_not_known_is_not_a_number(self):
        assert maj_at_k(["a", "a", "b"], [None, None, None], 1) is None
        assert maj_at_k([None], [None], 1) is None
        # b cannot win with three votes against a's two, but can with one or (a tie) two
        curve = majority_curve(["a", "a", "b"], [1.0, 1.0, None])
        assert curve == [None, None, 1.0]

    def test_an_answer_has_the_mean_of_its_known_scores(self):
        # a: (1 + 0) / 2, its third sample is not scored
        assert maj_at_k(["a", "a", "a", "b"], [1.0, 0.0, None, 1.0], 4) == 0.5

    answered = st.lists(st.sampled_from([None, "a", "b", "c", "d"]), min_size=1, max_size=8)

    @given(answered, st.dictionaries(st.sampled_from("abcd"), st.sampled_from([0.0, 0.25, 1.0])))
    def test_enumeration(self, answers, table):
        scores = [0.0 if answer is None else table.get(answer, 0.0) for answer in answers]
        for k, found in enumerate(majority_curve(answers, scores), start=1):
            expected = fmean(winner_score(drawn, table) for drawn in combinations(answers, k))
            assert found == pytest.approx(expected, abs=1e-12)
            assert maj_at_k(answers, scores, k) == found

    @given(answered)
    def test_one_vote_is_pass_at_1(self, answers):
        scores = [float(answer == "a") for answer in answers]
        assert maj_at_k(answers, scores, 1) == pytest.approx(pass_at_k(len(answers), int(sum(scores)), 1))

    @pytest.mark.parametrize("k", [0, 3])
    def test_refused(self, k):
        with pytest.raises(ConfigError, match=rf"maj@k needs 1 <= k <= n, got n=2, k={k}; draw more samples"):
            maj_at_k(["a", "b"], [1.0, 0.0], k)

    def test_lengths_differ(self):
        with pytest.raises(DataError, match="got 2 answers and 1 scores"):
            maj_at_k(["a", "b"], [1.0], 1)


def winner_score(drawn, table):
    """Score of the answer with most votes, averaged over those that share the lead."""
    votes = [answer for answer in drawn if answer is not None]
    if not votes:
        return 0.0
    most = max(votes.count(answer) for answer in votes)
    return fmean(table.get(answer, 0.0) for answer in sorted(set(votes)) if votes.count(answer) == most)
