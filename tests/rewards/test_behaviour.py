r"""BehaviourExploration: values by hand, what earns nothing, and the properties that keep it honest."""

from __future__ import annotations

import json
import math
import pickle
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trl_rlsp import BehaviourExploration, RLSPRewards
from trl_rlsp.behaviours._prose import CUES
from trl_rlsp.countdown import written_search
from trl_rlsp.errors import ConfigError
from trl_rlsp.text import read

ATTACKS = Path(__file__).parents[1] / "data" / "attacks.jsonl"
HONEST = (
    "The pairs with product 36 are 4 and 9, 6 and 6, 3 and 12, 2 and 18, and their sums are 13, 12, 15, 20.\n"
    "Let me check the pair 4 and 9 against the second clue: the difference must be 7 and it is not.\n"
    "This branch fails, so I go back to the list and take the pair 3 and 12, whose difference 9 is odd.\n"
    "Alternatively, write the sum as s and the product as p, then solve the quadratic with roots r and t instead.\n"
    "Both ways lead to the numbers 3 and 12, with the larger one four times the smaller one.\n"
)
OPEN = {"behaviour words on every line"}
"""Attacks that are known to pay: a cue in front of real reasoning looks like a real one."""
SPAM = ["Wait.", "Let me check.", "Alternatively.", "Let me go back.", "Let me verify this.", "Hmm, no.", "Dead end."]


def score(reasoning, reward=None, **kwargs):
    return (reward or BehaviourExploration())(completions=[f"{reasoning} \\boxed{{12}}"], **kwargs)[0]


class TestValues:
    def test_each_behaviour_once(self):
        # three kinds, once each: (1/2 + 1/2 + 1/2) / 3
        assert BehaviourExploration().counts(read(HONEST + "\\boxed{12}")) == {
            "backtracking": 1, "verification": 1, "alternatives": 1,
        }  # fmt: skip
        assert score(HONEST) == pytest.approx(0.5)

    @pytest.mark.parametrize(
        ("counts", "expected"),
        [
            ((0, 0, 0), 0.0),
            ((1, 0, 0), 1 / 6),  # 1/2 / 3
            ((2, 0, 0), 2 / 9),  # 2/3 / 3
            ((1, 1, 0), 1 / 3),  # a second kind is worth more than a second occurrence
            ((4, 4, 4), 0.8),  # 4/5
            ((9, 9, 9), 0.8),  # capped at 4
        ],
    )
    def test_value(self, counts, expected):
        reward = BehaviourExploration()
        assert reward.value(dict(zip(reward.kinds, counts, strict=True))) == pytest.approx(expected)

    def test_no_answer_or_two(self):
        assert BehaviourExploration()(completions=[HONEST, HONEST + "\\boxed{1} \\boxed{2}"]) == [0.0, 0.0]

    def test_after_the_answer(self):
        assert BehaviourExploration()(completions=["\\boxed{12} " + HONEST]) == [0.0]

    def test_messages_and_log(self):
        log = {}
        completion = [{"role": "assistant", "content": HONEST + "\\boxed{12}"}]
        values = BehaviourExploration()(completions=[completion, "\\boxed{1}"], log_metric=log.__setitem__)
        assert values == [pytest.approx(0.5), 0.0]
        # one of each kind in two completions
        assert log == {f"exploration/{kind}": 0.5 for kind in ("backtracking", "verification", "alternatives")}

    def test_written_search(self):
        text = "6 + 3 = 9 | 9 + 2 = 11 ? 20 no | 9 * 2 = 18 ? 20 no | 6 * 3 = 18 | 18 + 2 = 20 ? 20 yes"
        # 3 comparisons, 1 alternative, 1 return: (3/4 + 1/2 + 1/2) / 3
        assert score(text) == pytest.approx(1.75 / 3)
        # the first comparison is of a wrong sum, the second calls a hit a miss, the third repeats: only the return
        wrong = "9 + 2 = 12 ? 18 no | 9 * 2 = 18 ? 18 no | 2 + 9 = 11 ? 18 no"
        assert score(wrong) == 0.0


class TestSpam:
    @pytest.mark.parametrize("count", [1, 5, 200])
    def test_bare_cues_earn_nothing(self, count):
        assert score(" ".join(SPAM * count)) == 0.0
        assert score("\n".join(SPAM * count)) == 0.0

    def test_nor_beside_honest_reasoning(self):
        for place in (0, HONEST.index("Let me"), len(HONEST)):
            assert score(HONEST[:place] + " ".join(SPAM * 5) + "\n" + HONEST[place:]) <= score(HONEST)

    def test_nor_between_its_sentences(self):
        rng = random.Random(0)
        spammed = "\n".join(f"{line}\n{rng.choice(SPAM)}" for line in HONEST.splitlines())
        assert score(spammed) <= score(HONEST)

    def test_cue_words_in_every_order(self):
        rng, words = (
            random.Random(0),
            ["wait", "hmm", "check", "alternatively", "verify", "again", "actually", "let me"],
        )
        lines = [" ".join(rng.sample(words, len(words))) + "." for _ in range(100)]
        assert score("\n".join(lines)) == 0.0

    def test_repetition_earns_nothing_more(self):
        assert score(HONEST * 10) == score(HONEST)

    def test_copied_prompt_earns_nothing(self):
        assert BehaviourExploration()(prompts=[HONEST], completions=[HONEST + "\\boxed{12}"]) == [0.0]

    def test_the_same_wording_counts_once(self):
        lines = [f"Let me check {a} and {b}: the product {a * b} is not the square {b * b} of {b}." for a, b in
                 ((3, 17), (5, 19), (7, 23), (11, 29), (13, 31))]  # fmt: skip
        assert BehaviourExploration().counts(read("\n".join(lines) + "\\boxed{1}"))["verification"] == 1

    def test_quoted_and_denied_cues(self):
        text = HONEST.replace("Let me check", '"Let me check"').replace("Alternatively", '"Alternatively"')
        assert BehaviourExploration().counts(read(text + "\\boxed{1}"))["verification"] == 0

    def test_repeated_attempts_of_a_search(self):
        step = "9 + 2 = 11 ? 18 no"
        assert score(" | ".join([step] * 50)) == score(step)

    @pytest.mark.parametrize("attack", ATTACKS.read_text(encoding="utf-8").splitlines() if ATTACKS.exists() else [])
    def test_written_attacks(self, attack):
        row = json.loads(attack)
        reward = BehaviourExploration()
        honest, attacked = reward(prompts=[row["prompt"]] * 2, completions=[row["honest"], row["attack"]])
        if row["name"] in OPEN:
            assert attacked > honest, "closed now: take it out of OPEN"
        else:
            assert attacked <= honest


class TestProperties:
    TEXT = st.lists(st.sampled_from([*SPAM, *HONEST.splitlines(), *sorted(CUES), "3", "\n"]), max_size=40).map(" ".join)

    @given(TEXT, st.booleans())
    def test_in_zero_to_one(self, text, finished):
        (value,) = BehaviourExploration()(completions=[text + (" \\boxed{1}" if finished else "")])
        assert math.isfinite(value)
        assert 0 <= value < 1
        assert finished or value == 0

    @given(st.lists(TEXT, max_size=4))
    def test_each_completion_is_scored_by_itself(self, texts):
        reward = BehaviourExploration()
        assert reward(completions=texts[::-1]) == reward(completions=texts)[::-1]

    @given(st.integers(0, 1000))
    def test_a_longer_search_earns_no_less(self, seed):
        values = [score(written_search([6, 3, 25], 997, random.Random(seed), budget=n).reasoning) for n in (1, 4, 12)]
        assert values == sorted(values)
        assert values[2] > values[0]

    def test_a_correct_completion_outranks_a_wrong_one(self):
        # alpha 0.8: the bonus is at most 0.2 / 0.8 of a verdict
        suite = RLSPRewards(exploration=[BehaviourExploration()], alpha=0.8)
        try:
            right, wrong = suite(completions=["\\boxed{13}", HONEST + "\\boxed{12}"], solution=["13", "13"])
        finally:
            suite.close()
        assert right > wrong > 0

    def test_pickles_and_names(self):
        reward = pickle.loads(pickle.dumps(BehaviourExploration(["subgoals"], cap=2)))
        assert (reward.__name__, reward.bounded, reward.cap) == ("behaviour_exploration", True, 2)
        assert repr(reward) == "BehaviourExploration(kinds=['subgoals'], cap=2, half=1.0, spacing=8, ngram=6)"


class TestErrors:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"kinds": ["wait"]}, r"kinds must be one or more of backtracking, .*, each once, got \['wait'\]"),
            ({"kinds": []}, "got \\[\\]"),
            ({"kinds": ["subgoals", "subgoals"]}, "each once"),
            ({"cap": 0}, "cap must be at least 1, got 0"),
            ({"half": 0}, "half must be a number of occurrences, positive and finite, got 0"),
            ({"half": math.inf}, "got inf"),
            ({"spacing": 0}, "spacing must be at least 1, got 0"),
            ({"ngram": 1}, "ngram must be at least 2, got 1"),
        ],
    )
    def test_message(self, arguments, message):
        with pytest.raises(ConfigError, match=message):
            BehaviourExploration(**arguments)
