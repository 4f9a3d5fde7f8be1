"""Decontamination, by hand."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trl_rlsp.selfplay import HeldOut

LETTERS = list("abcdefghijklmnopqrst")  # 20 units, 13 8-grams


def asked(text):
    return {"prompt": [{"role": "system", "content": "Think."}, {"role": "user", "content": text}]}


def countdown(numbers, target, text="play"):
    task = {"name": "countdown", "entry": {"metadata": {"numbers": numbers, "target": target}}}
    return {**asked(text), "task": json.dumps(task)}


class TestText:
    @pytest.mark.parametrize("text", ["What is 3 + 4?", "what  is 3+4?", "WHAT IS 3 + 4 ?"])
    def test_the_same_problem(self, text):
        assert HeldOut([asked("What is 3 + 4?")]).has(asked(text))

    def test_a_short_problem_that_differs(self):
        assert not HeldOut([asked("What is 3 + 4?")]).has(asked("What is 3 + 5?"))

    @pytest.mark.parametrize(("kept", "contaminated"), [(15, True), (14, True), (13, False), (5, False)])
    def test_overlap(self, kept, contaminated):
        # of 13 8-grams, the first `kept` letters bring kept - 7: 8, 7 (0.54), 6 (0.46), none
        text = [*LETTERS[:kept], *(f"{number}" for number in range(20 - kept))]
        assert HeldOut([asked(" ".join(LETTERS))]).has(asked(" ".join(text))) is contaminated

    def test_in_either_direction(self):
        longer = " ".join([*LETTERS, *(str(n) for n in range(100))])  # 13 of its 113 8-grams
        assert HeldOut([asked(" ".join(LETTERS))]).has(asked(longer))
        assert HeldOut([asked(longer)]).has(asked(" ".join(LETTERS)))

    def test_nothing_is_held_out(self):
        assert not HeldOut([]).has(asked("a"))

    def test_prompts_as_text(self):
        assert HeldOut([{"prompt": "a b"}]).has(asked("A b"))


TEXTS = st.lists(st.text("ab c", min_size=1, max_size=30).filter(str.strip), min_size=1, max_size=5)


class TestProperties:
    @given(TEXTS)
    def test_everything_held_out_is_found(self, texts):
        held_out = HeldOut([asked(text) for text in texts])
        assert all(held_out.has(asked(text)) and held_out.has(asked(f"  {text.upper()}\n")) for text in texts)

    @given(TEXTS, TEXTS)
    def test_it_makes_no_difference_which_set_is_held_out(self, some, others):
        def contaminated(held_out, rows):
            return any(HeldOut([asked(text) for text in held_out]).has(asked(text)) for text in rows)

        assert contaminated(some, others) == contaminated(others, some)


class TestGenerated:
    template = "Use every number once to reach the target, as the rules of the game say: "

    def test_identity_whatever_the_order(self):
        held_out = HeldOut([countdown([8, 1, 9], 72, "8 1 9 : 72")])
        assert held_out.has(countdown([9, 8, 1], 72, "9 8 1 : 72"))
        assert not held_out.has(countdown([9, 8, 1], 71, "9 8 1 : 71"))

    def test_one_template_is_no_contamination(self):
        held_out = HeldOut([countdown([8, 1, 9], 72, self.template + "8 1 9 to 72")])
        assert not held_out.has(countdown([7, 2, 9], 72, self.template + "7 2 9 to 72"))

    def test_a_problem_whose_task_is_not_known_is_compared_by_its_text(self):
        held_out = HeldOut([countdown([8, 1, 9], 72, "8 1 9 : 72")])
        assert held_out.has(asked("8 1 9 : 72"))
