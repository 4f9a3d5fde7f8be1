r"""Word pairs: values by hand."""

from __future__ import annotations

import pytest

from trl_rlsp.rewards.word_pairs import MAX_PAIRS, WordPairGroup, novelty, word_pairs


class TestPairs:
    def test_either_way_round_without_function_words(self):
        assert word_pairs("the area of a circle") == word_pairs("Circle, so area!") == {("area", "circle")}

    def test_the_first_ones_of_a_long_text(self):
        pairs = word_pairs(" ".join(f"w{number}" for number in range(MAX_PAIRS + 50)))
        assert len(pairs) == MAX_PAIRS
        assert ("w0", "w1") in pairs

    def test_a_single_word_has_none(self):
        assert word_pairs("area") == word_pairs("") == frozenset()


class TestGroup:
    def test_by_hand(self):
        one, two = word_pairs("double radius squared pi"), word_pairs("double radius triangle")
        group = WordPairGroup([one, two], "find radius squared pi")
        # one: 3 pairs, a third shared, all words known; new are 2; K = 1 is 6 units: 2 / (3 + 6)
        assert group.value(0, 1) == pytest.approx(2 / 9)
        # two: 2 pairs; nobody else knows `triangle`: 1 pair is left, which is not new
        assert group.value(1, 1) == 0.0

    def test_hardly_anything_in_common(self):
        # 20 pairs of known words, 1 of them shared: 1/20, half of the tenth asked for; 19 are new
        words = " ".join(f"w{number}" for number in range(21))
        group = WordPairGroup([word_pairs(words), word_pairs("w0 w1 w3 w5")], words)
        assert group.value(0, 1) == pytest.approx(0.5 * 19 / (20 + 6))

    def test_nothing_in_common(self):
        group = WordPairGroup([word_pairs("a1 b1 c1"), word_pairs("b1 d1 a1 e1 c1")], "")
        assert group.value(0, 1) == group.value(1, 1) == 0.0

    def test_empty(self):
        assert WordPairGroup([frozenset(), word_pairs("area circle")], "area circle").value(0, 1) == 0.0


class TestNovelty:
    @pytest.mark.parametrize(
        ("own", "counts", "members", "expected"),
        [
            ("ab", {"a": 1, "b": 1}, 4, 2.0),
            ("ab", {"a": 4, "b": 4}, 4, 0.0),
            ("ab", {"a": 2, "b": 1}, 4, 2 - 1 / 3),  # one of the three others has a
            ("ab", {"a": 1, "b": 1}, 1, 0.0),
            ("", {}, 3, 0.0),
        ],
    )
    def test_by_hand(self, own, counts, members, expected):
        assert novelty(own, counts, members) == pytest.approx(expected)
