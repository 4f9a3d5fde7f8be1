from __future__ import annotations

import json
import random

import pytest

from countdown.domain import canonical, difficulty, outcomes
from countdown.grid import band_of
from trl_rlsp.countdown import written_search


def row(numbers, target):
    return {"task": json.dumps({"name": "countdown", "entry": {"metadata": {"numbers": numbers, "target": target}}})}


class TestDifficulty:
    def test_by_hand(self):
        # 6 and 3: 9, 3, 18 and 2 (6 / 3); 3 - 6 is negative, 3 / 6 no integer. (4 + 1) / (1 + 1)
        assert difficulty(row([6, 3], 18)) == 2.5

    def test_more_solutions_are_easier(self):
        # 2 and 2: 4 by sum and by product, 0, 1. (4 + 1) / (2 + 1)
        assert sorted(outcomes([2, 2])) == [0, 1, 4, 4]
        assert difficulty(row([2, 2], 4)) == pytest.approx(5 / 3)

    @pytest.mark.parametrize(("numbers", "target"), [([6, 3, 2], 20), ([1, 1, 5], 10), ([12, 7, 3], 41)])
    def test_the_same_leaves_as_the_search(self, numbers, target):
        leaves = outcomes(numbers)
        assert len(leaves) == written_search(numbers, -1, random.Random(0)).attempts
        assert (target in leaves) == written_search(numbers, target, random.Random(0)).solved


class TestBands:
    BANDS = {"easy": 9, "medium": 14, "hard": None}

    @pytest.mark.parametrize(("value", "band"), [(8.99, "easy"), (9, "medium"), (13.9, "medium"), (14, "hard")])
    def test_ends_are_exclusive(self, value, band):
        assert band_of(value, self.BANDS) == band


class TestCanonical:
    @pytest.mark.parametrize(
        "other", ["2 * ( 3 + 6 )", "(6+3)*2", "( 3 + 6 ) * 2"], ids=["swapped", "no blanks", "both swapped"]
    )
    def test_order_of_sums_and_products(self, other):
        assert canonical(other) == canonical("2 * ( 6 + 3 )")

    def test_three_summands(self):
        assert canonical("1 + ( 2 + 3 )") == canonical("( 3 + 1 ) + 2")

    @pytest.mark.parametrize("other", ["2 - 6", "( 2 * 6 ) + 3", "6 / 2"])
    def test_what_differs_stays_different(self, other):
        assert canonical(other) != canonical("6 - 2")

    @pytest.mark.parametrize("text", ["2 * (", "yes", "2 ** 3", "", "f(2)"])
    def test_what_is_no_expression_is_taken_as_text(self, text):
        assert canonical(text) == "".join(text.split())
