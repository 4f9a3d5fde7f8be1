r"""Length exploration in both forms: values by hand, and the properties that keep it honest."""

from __future__ import annotations

import math
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trl_rlsp import LengthExploration
from trl_rlsp.errors import ConfigError

SIX = "3 times 4 is 12 . \\boxed{12}"  # 6 units before the answer
NONE = "\\boxed{12}"  # 0 units before the answer

LENGTHS = st.integers(0, 10**6)
CONSTANTS = st.floats(1, 1e6)
WORDS = st.lists(st.sampled_from(["try", "add", "3", "4", "=", ".", "\n", "so", "left"]), max_size=30).map(" ".join)
COMPLETIONS = st.one_of(WORDS, WORDS.map(lambda text: f"{text} \\boxed{{12}}"), st.text(max_size=40))


class TestValues:
    @pytest.mark.parametrize(
        ("form", "constant", "length", "expected"),
        [
            ("bounded", 1000, 0, 0.0),  # 0 / (0 + 1000)
            ("bounded", 1000, 1000, 0.5),  # 1000 / (1000 + 1000)
            ("bounded", 1000, 4000, 0.8),  # 4000 / (4000 + 1000)
            ("bounded", 60, 20, 0.25),  # 20 / (20 + 60)
            ("paper", 1000, 4096, -0.244140625),  # -1000 / 4096
            ("paper", 1000, 1, -1000.0),
            ("paper", 1000, 0, -1000.0),  # a completion of nothing is as bad as one unit, not infinitely bad
        ],
    )
    def test_by_hand(self, form, constant, length, expected):
        assert LengthExploration(form, C=constant).value(length) == pytest.approx(expected)

    def test_batch(self):
        # 6 / (6 + 6), 0 / (0 + 6), no answer: 0
        assert LengthExploration(C=6)(completions=[SIX, NONE, "no answer"]) == [0.5, 0.0, 0.0]

    def test_paper_form_of_a_batch(self):
        # -12 / 6, -12 / max(0, 1)
        assert LengthExploration("paper", C=12)(completions=[SIX, NONE]) == [-2.0, -12.0]

    def test_messages_count_as_their_text(self):
        assert LengthExploration(C=6)(completions=[[{"role": "assistant", "content": SIX}]]) == [0.5]

    def test_text_copied_from_the_prompt_does_not_count(self):
        prompt = [{"role": "user", "content": "3 times 4 is 12 ."}]
        assert LengthExploration(C=6)(prompts=[prompt], completions=[SIX]) == [0.0]

    def test_unguarded_counts_tokens_as_the_paper_does(self):
        reward = LengthExploration(C=2, guarded=False)
        # 2 / (2 + 2) whatever the text says
        assert reward(completions=[NONE], completion_ids=[[5, 6]]) == [0.5]

    def test_unguarded_without_tokens_counts_all_words(self):
        reward = LengthExploration(C=4, guarded=False)
        # \boxed{12} is the words \, boxed, {, 12, }: 5 / (5 + 4), and twice: 10 / (10 + 4)
        assert reward(completions=[NONE, NONE + NONE]) == [5 / 9, 10 / 14]

    def test_empty_batch(self):
        assert LengthExploration()(completions=[]) == []

    def test_ngram_decides_what_is_repetition(self):
        text = "a b c d e f a b c \\boxed{1}"  # 9 words, the last three repeat the first
        assert LengthExploration(C=6, ngram=3)(completions=[text]) == [0.5]  # 6 / (6 + 6)
        assert LengthExploration(C=9, ngram=6)(completions=[text]) == [0.5]  # 9 / (9 + 9)

    def test_logs_the_mean_length(self):
        logged = {}
        LengthExploration()(completions=[SIX, NONE], log_metric=logged.__setitem__)
        assert logged == {"exploration/effective_length": 3.0}  # (6 + 0) / 2

    def test_other_arguments_of_trl_are_ignored(self):
        reward = LengthExploration(C=6)
        assert reward(prompts=["p"], completions=[SIX], trainer_state=None, log_extra=None, solution=["12"]) == [0.5]


class TestRelativeForm:
    """Effective lengths are 6 (SIX), 12 and 0: ranks among the others of the same prompt."""

    TWELVE = "3 times 4 is 12 . or 9 and 3 make 12 \\boxed{12}"
    NOTHING = "\\boxed{12}"

    def test_share_of_the_others_that_are_shorter(self):
        reward = LengthExploration("relative")
        texts = [SIX, self.TWELVE, self.NOTHING, SIX]
        # lengths 6, 12, 0, 6. SIX: one of three is shorter, one equal (half); TWELVE: all three are shorter
        assert reward(prompts=["p"] * 4, completions=texts) == [0.5, 1.0, 0.0, 0.5]

    def test_groups_do_not_see_each_other(self):
        reward = LengthExploration("relative")
        values = reward(prompts=["p", "q", "p", "q"], completions=[SIX, SIX, self.TWELVE, self.NOTHING])
        assert values == [0.0, 1.0, 1.0, 0.0]

    def test_nothing_to_compare_with(self):
        assert LengthExploration("relative")(prompts=["p"], completions=[SIX]) == [0.0]

    def test_no_reasoning_earns_nothing_whatever_the_others_do(self):
        assert LengthExploration("relative")(prompts=["p"] * 2, completions=[self.NOTHING] * 2) == [0.0, 0.0]

    def test_needs_prompts(self):
        with pytest.raises(ConfigError, match="got no prompts"):
            LengthExploration("relative")(completions=[SIX])


class TestErrors:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"form": "linear"}, "form must be 'bounded', 'paper' or 'relative', got 'linear'"),
            ({"C": 0}, "positive and finite, got 0"),
            ({"C": -1.0}, "positive and finite, got -1.0"),
            ({"C": math.inf}, "positive and finite, got inf"),
            ({"C": math.nan}, "positive and finite, got nan"),
            ({"ngram": 1}, "ngram must be at least 2, got 1"),
        ],
    )
    def test_refused(self, arguments, message):
        with pytest.raises(ConfigError, match=message):
            LengthExploration(**arguments)

    def test_prompts_of_another_number(self):
        with pytest.raises(ValueError, match="zip"):
            LengthExploration()(prompts=["one"], completions=[SIX, SIX])


class TestProperties:
    @given(LENGTHS, CONSTANTS)
    def test_bounded_form_lies_in_0_1(self, length, constant):
        assert 0 <= LengthExploration(C=constant).value(length) < 1

    @given(LENGTHS, CONSTANTS)
    def test_paper_form_is_negative_and_at_least_minus_c(self, length, constant):
        assert -constant <= LengthExploration("paper", C=constant).value(length) < 0

    @given(st.integers(0, 10**5), st.integers(1, 10**5), CONSTANTS, st.sampled_from(["bounded", "paper"]))
    def test_longer_is_never_worth_less(self, length, more, constant, form):
        reward = LengthExploration(form, C=constant)
        assert reward.value(length + more) >= reward.value(length)
        if length > 0 and constant < length * 1e6:
            assert reward.value(length + more) > reward.value(length)

    @given(WORDS, st.integers(1, 26))
    def test_monotone_in_novel_text(self, reasoning, count):
        new = " ".join(f"novel{chr(97 + i)}" for i in range(count))
        shorter, longer = LengthExploration()(
            completions=[f"{reasoning} \\boxed{{12}}", f"{reasoning} {new} \\boxed{{12}}"]
        )
        assert longer > shorter

    @given(st.lists(COMPLETIONS, max_size=8), st.sampled_from(["bounded", "paper"]), st.booleans())
    def test_always_finite(self, completions, form, guarded):
        values = LengthExploration(form, guarded=guarded)(completions=completions)
        assert len(values) == len(completions)
        assert all(math.isfinite(value) for value in values)

    @given(st.lists(COMPLETIONS, min_size=1, max_size=8), st.randoms())
    def test_permuting_the_batch_permutes_the_rewards(self, completions, rng):
        order = list(range(len(completions)))
        rng.shuffle(order)
        reward = LengthExploration()
        values = reward(completions=completions)
        assert reward(completions=[completions[i] for i in order]) == [values[i] for i in order]


class TestObject:
    def test_name_is_what_trl_logs(self):
        assert LengthExploration().__name__ == "length_exploration"

    @pytest.mark.parametrize(("form", "bounded"), [("bounded", True), ("paper", False)])
    def test_bounded(self, form, bounded):
        assert LengthExploration(form).bounded is bounded

    def test_repr_names_every_setting(self):
        shown = repr(LengthExploration("paper", C=60, guarded=False, ngram=8))
        assert shown == "LengthExploration(form='paper', C=60, guarded=False, ngram=8)"

    def test_pickles(self):
        reward = LengthExploration("paper", C=12, ngram=4)
        copy = pickle.loads(pickle.dumps(reward))
        assert repr(copy) == repr(reward)
        assert copy(completions=[SIX]) == [-2.0]
