"""Known or new, by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trl_rlsp.errors import ConfigError
from trl_rlsp.selfplay import Demonstrated

PROBLEM = [{"role": "user", "content": "6 3 2 : 20"}]
OTHER = [{"role": "user", "content": "1 2 3 : 6"}]
LETTERS = "a b c d e f g h i j k l m n o p q r s t"  # 20 units, 13 8-grams


def demonstrated(reasoning, prompt=PROBLEM, **kwargs):
    return Demonstrated([{"prompt": prompt, "reasoning": reasoning}], **kwargs)


class TestText:
    def test_the_same_text(self):
        known = demonstrated(r"6 * 3 = 18 | 18 + 2 = 20 ? 20 yes \boxed{ ( 6 * 3 ) + 2 }")
        assert known.known(PROBLEM, "6 * 3 = 18 |  18 + 2 = 20 ? 20 YES") == "same text as a demonstration"

    def test_of_another_problem_too(self):
        assert demonstrated("a b c", OTHER).known(PROBLEM, "A b  c") == "same text as a demonstration"

    @given(st.lists(st.text("ab c1", min_size=1, max_size=20).filter(str.strip), min_size=1, max_size=5))
    def test_no_demonstration_is_new(self, texts):
        known = Demonstrated([{"prompt": PROBLEM, "reasoning": f"{text} \\boxed{{7}}"} for text in texts])
        assert all(known.known(OTHER, text.upper()) for text in texts)

    def test_another_text(self):
        assert demonstrated("a b c").known(PROBLEM, "a b d") is None
        assert Demonstrated([]).known(PROBLEM, "a b c") is None


class TestOverlap:
    def test_threshold(self):
        # the last letter differs: 12 of 13 8-grams are known, 12/13 = 0.923
        said = LETTERS[:-1] + "x"
        assert demonstrated(LETTERS, novelty=0.2).known(PROBLEM, said) == "close to a demonstration"
        assert demonstrated(LETTERS, novelty=0.08).known(PROBLEM, said) == "close to a demonstration"  # > 0.92
        assert demonstrated(LETTERS, novelty=0.07).known(PROBLEM, said) is None  # not > 0.93

    def test_half_new(self):
        # the first ten letters are kept: 3 of 13 8-grams are known
        said = "a b c d e f g h i j 0 1 2 3 4 5 6 7 8 9"
        assert demonstrated(LETTERS).known(PROBLEM, said) is None
        assert demonstrated(LETTERS, novelty=0.8).known(PROBLEM, said) == "close to a demonstration"

    def test_only_the_same_problem(self):
        assert demonstrated(LETTERS, OTHER).known(PROBLEM, LETTERS[:-1] + "x") is None

    def test_zero_refuses_the_same_text_only(self):
        known = demonstrated(LETTERS, novelty=0)
        assert known.known(PROBLEM, LETTERS[2:]) is None  # all of its 8-grams are known
        assert known.known(PROBLEM, LETTERS) == "same text as a demonstration"

    @pytest.mark.parametrize("novelty", [-0.1, 1.1])
    def test_range(self, novelty):
        with pytest.raises(ConfigError, match=f"novelty is a share between 0 and 1, got {novelty}"):
            Demonstrated([], novelty=novelty)
