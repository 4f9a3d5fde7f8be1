r"""Diversity exploration: values by hand, properties of groups, and what cannot be faked."""

from __future__ import annotations

import json
import os
import pickle
import random
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trl_rlsp import DiversityExploration, RLSPRewards
from trl_rlsp.countdown import written_search
from trl_rlsp.errors import ConfigError

ASKED = "6 3 2 : 18"
SUM = "6 + 3 = 9 | 9 * 2 = 18 ? 18 yes \\boxed{ ( 6 + 3 ) * 2 }"
MISS = "3 + 6 = 9 | 9 + 2 = 11 ? 18 no \\boxed{ 6 + 3 + 2 }"
PRODUCT = "6 * 3 = 18 \\boxed{ 6 * 3 }"
NO_ANSWER = "6 - 2 = 4 | 4 * 3 = 12 ? 18 no"

TEXTS = st.lists(st.sampled_from([SUM, MISS, PRODUCT, NO_ANSWER, "", "\\boxed{1}", "add six \\boxed{9}"]), max_size=8)
VECTORS = {
    "north": (0, 2),
    "east": (3, 0),
    "northeast": (1, 1),
    "south": (0, -1),
    "nowhere": (0, 0),
    "nan": (0, np.nan),
}


def scores(*completions, prompt=ASKED, reward=None, **kwargs):
    return (reward or DiversityExploration(K=2))(prompts=[prompt] * len(completions), completions=completions, **kwargs)


def embed(texts):
    """An embedding by the first word."""
    return np.array([VECTORS[text.split()[0]] for text in texts])


class TestValues:
    def test_by_hand(self):
        # 3+6=9 is in one of the two others: (1/2 + 1) / (2 + 2), twice; 3*6=18 is new: 1 / (1 + 2)
        assert scores(SUM, MISS, PRODUCT) == pytest.approx([0.375, 0.375, 1 / 3])

    def test_the_same_approach_in_other_words_is_worth_nothing(self):
        assert scores(SUM, "We use $(3 + 6) \\times 2 = 18$. \\boxed{18}") == [0.0, 0.0]

    def test_unfinished_reasoning_is_compared_with_but_not_paid(self):
        # against its own unfinished copy SUM has nothing new; the unfinished one itself earns nothing
        assert scores(SUM, SUM.partition("\\boxed")[0]) == [0.0, 0.0]
        assert scores(SUM, NO_ANSWER) == [0.5, 0.0]  # 2 / (2 + 2)

    def test_an_answer_without_reasoning_is_nothing_to_be_paid_for_but_something_to_differ_from(self):
        assert scores(SUM, "\\boxed{18}") == [0.5, 0.0]

    @pytest.mark.parametrize("text", [SUM, "", "words only \\boxed{1}"])
    def test_a_group_of_one(self, text):
        assert scores(text) == [0.0]

    def test_groups_are_prompts_and_solutions(self):
        reward = DiversityExploration(K=2)
        assert reward(prompts=["6 3 2 : 18", "6 3 2 : 11"], completions=[SUM, MISS]) == [0.0, 0.0]
        assert reward(prompts=[ASKED] * 2, completions=[SUM, MISS], solution=["1", "2"]) == [0.0, 0.0]
        assert reward(prompts=[ASKED] * 2, completions=[SUM, MISS], solution=["1", "1"]) == [0.25, 0.25]

    def test_messages_are_their_text(self):
        prompt = [{"role": "user", "content": ASKED}]
        completions = [[{"role": "assistant", "content": text}] for text in (SUM, MISS)]
        assert scores(*completions, prompt=prompt) == [0.25, 0.25]

    def test_a_group_that_does_not_calculate(self):
        assert scores("double the radius \\boxed{1}", "square the radius \\boxed{1}", prompt="area") == [0.0, 0.0]

    def test_k_sets_the_half(self):
        one = DiversityExploration(K=2)(prompts=[ASKED] * 2, completions=[SUM, PRODUCT])[0]
        assert one == 0.5  # two new calculations, K = 2
        assert DiversityExploration()(prompts=[ASKED] * 2, completions=[SUM, PRODUCT])[0] == 0.2  # 2 / (2 + 8)

    def test_empty_batch(self):
        assert DiversityExploration()(prompts=[], completions=[]) == []

    def test_logs(self):
        logged = {}
        scores(SUM, MISS, PRODUCT, log_metric=logged.__setitem__)
        assert logged == {"diversity/steps": pytest.approx(5 / 3)}

    def test_in_the_suite(self):
        rewards = RLSPRewards(
            lambda completions, **kwargs: [1.0] * len(completions), [DiversityExploration(K=2)], alpha=0.5
        )
        assert rewards(prompts=[ASKED] * 3, completions=[SUM, MISS, PRODUCT]) == pytest.approx([1.375, 1.375, 4 / 3])


class TestEmbedding:
    def scores(self, *words, **kwargs):
        # six words of reasoning, K = 1 is 6 words: half of the distance
        texts = [f"{word} b c d e f \\boxed{{1}}" if word else "\\boxed{1}" for word in words]
        return scores(*texts, reward=DiversityExploration(K=1, embed=embed), **kwargs)

    def test_by_hand(self):
        # northeast: to each 1 - cos 45; north: (1 - cos 45 + 1 - cos 90) / 2; all by 6 / (6 + 6)
        near = 1 - 0.5**0.5
        assert self.scores("north", "east", "northeast") == pytest.approx(
            [(near + 1) / 4, (near + 1) / 4, near / 2], abs=1e-6
        )

    def test_opposite_is_no_further_than_unrelated(self):
        assert self.scores("north", "south") == [0.5, 0.5]

    def test_equal(self):
        assert self.scores("north", "north") == pytest.approx([0, 0], abs=1e-6)

    def test_empty_reasoning_is_not_embedded(self):
        assert self.scores("north", "") == [0.5, 0.0]

    @pytest.mark.parametrize("bad", ["nowhere", "nan"])
    def test_no_usable_vector_is_no_score(self, bad):
        logged = {}
        assert self.scores("north", bad, "east", log_metric=logged.__setitem__) == [0.5, None, 0.5]
        assert logged == {"diversity/failed": pytest.approx(1 / 3)}

    def test_nothing_usable_to_compare_with_is_no_score(self):
        assert self.scores("north", "nan") == [None, None]

    def test_each_text_is_embedded_once(self):
        asked = []
        reward = DiversityExploration(embed=lambda texts: asked.extend(texts) or embed(texts))
        scores("north a \\boxed{1}", "north a \\boxed{1}", "east \\boxed{1}", reward=reward)
        assert asked == ["east", "north a"]


class TestGaming:
    """Each attack stands in SUM's place in a group with MISS and PRODUCT, and earns no more than SUM."""

    @pytest.mark.parametrize(
        "attack",
        [
            SUM.replace("6 + 3 = 9", "6 + 3 = 9 | 6 + 3 = 9 | 3 + 6 = 9"),  # repetition, and turned round
            SUM + " 6 - 3 = 3 | 6 * 2 = 12 | 6 / 2 = 3",  # padding after the answer
            "6 - 3 = 3 | 6 * 2 = 12 | 6 / 2 = 3 \\boxed{1} \\boxed{2}",  # two answers
            "6 - 3 = 3 | 6 * 2 = 12 | 6 / 2 = 3",  # no answer
            "<think> 6 - 3 = 3 | 6 * 2 = 12 \\boxed{18}",  # reasoning never closed
            "6 - 3 = 4 | 6 * 2 = 13 | 6 / 2 = 5 | 6 - 2 = 8 \\boxed{18}",  # equations that do not hold
            "70 + 1 = 71 | 80 + 1 = 81 | 90 - 8 = 82 | 71 - 1 = 70 \\boxed{18}",  # numbers from nowhere
            "6 = 6 | 3 = 3 | 2 = 2 | 18 = 18 \\boxed{18}",  # no operation
            ASKED + " " + ASKED + " \\boxed{18}",  # the prompt copied
            MISS,  # another member copied
            "qwx zzv plk jjh uuy ttr eew qqa xxs ccd vvf \\boxed{18}",  # gibberish
            " ".join(f"{n}" for n in range(100)) + " \\boxed{18}",  # numbers without equations
            "6\u200b + 3 = 9 | 9 * 2\u200d = 18 \\boxed{18}",  # invisible characters
            "wait alternatively hmm let me verify backtrack another approach \\boxed{18}",  # keyword spam
            "",
            "\\boxed{18}",
        ],
    )
    def test_attack(self, attack):
        honest = scores(SUM, MISS, PRODUCT)[0]
        assert scores(attack, MISS, PRODUCT)[0] <= honest

    def test_copying_the_problems_example_is_nothing_new(self):
        assert scores("1 + 2 = 3 \\boxed{3}", SUM, MISS, prompt="Example: 2 + 1 = 3. Now 6 3 2 : 18")[0] == 0.0

    def test_true_but_pointless_calculations_saturate(self):
        # known and documented: what is left to gain is bounded by n / (n + K)
        chain = " | ".join(f"{6 + n} + 1 = {7 + n}" for n in range(30)) + " \\boxed{36}"
        assert scores(chain, SUM, reward=DiversityExploration(K=30))[0] == 0.5


class TestProperties:
    @given(TEXTS)
    def test_within_the_bounds(self, texts):
        assert all(0 <= value < 1 for value in scores(*texts))

    @given(TEXTS, st.randoms())
    def test_permuting_a_batch_permutes_the_rewards(self, texts, shuffler):
        order = list(range(len(texts)))
        shuffler.shuffle(order)
        values = scores(*texts)
        assert scores(*(texts[place] for place in order)) == pytest.approx([values[place] for place in order])

    @given(TEXTS, TEXTS)
    def test_neighbouring_groups_do_not_matter(self, texts, neighbours):
        reward = DiversityExploration(K=2)
        together = reward(
            prompts=[ASKED] * len(texts) + ["7 8 : 15"] * len(neighbours), completions=[*texts, *neighbours]
        )
        assert together[: len(texts)] == scores(*texts)

    def test_the_same_search_in_another_order_is_nothing_new_and_another_branch_is(self):
        steps = "6 + 3 = 9 | 9 * 2 = 18 | 9 + 2 = 11 | 9 - 2 = 7"
        turned = " | ".join(reversed(steps.split(" | ")))
        branch = "6 * 2 = 12 | 12 + 3 = 15 | 12 - 3 = 9 | 12 / 3 = 4"
        assert scores(f"{steps} \\boxed{{1}}", f"{turned} \\boxed{{1}}") == [0.0, 0.0]
        assert scores(f"{steps} \\boxed{{1}}", f"{branch} \\boxed{{1}}") == [4 / 6, 4 / 6]  # 4 new / (4 + 2)


class TestUse:
    @pytest.mark.parametrize("bad", [0, -1, float("nan"), float("inf")])
    def test_k_out_of_range(self, bad):
        with pytest.raises(ConfigError, match="K must be a number of calculations, positive and finite"):
            DiversityExploration(K=bad)

    def test_embed_not_callable(self):
        with pytest.raises(ConfigError, match="embed must map texts to vectors, got 'a-model'"):
            DiversityExploration(embed="a-model")

    def test_without_prompts(self):
        with pytest.raises(ConfigError, match="got no prompts"):
            DiversityExploration()(completions=[SUM])

    def test_pickled(self):
        reward = pickle.loads(pickle.dumps(DiversityExploration(K=2, embed=embed)))
        assert repr(reward).startswith("DiversityExploration(K=2, embed=<function embed")
        assert pickle.loads(pickle.dumps(DiversityExploration(K=3))).K == 3

    def test_fixed_name_and_bounded(self):
        assert DiversityExploration().__name__ == "diversity_exploration"
        assert DiversityExploration.bounded is True

    def test_other_arguments_of_trl_are_ignored(self):
        assert scores(SUM, PRODUCT, trainer_state=None, log_extra=None, completion_ids=[[1], [2]]) == [0.5, 1 / 3]

    def test_256_completions_of_160_tokens(self):
        rng = random.Random(0)
        prompts, completions = [], []
        for _ in range(32):
            numbers = [rng.randint(1, 12) for _ in range(4)]
            for _ in range(8):
                trace = written_search(numbers, 101, rng, budget=14, limit=144)
                prompts.append(f"{numbers} : 101")
                completions.append(f"{trace.reasoning} \\boxed{{ {trace.answer} }}")
        assert 120 < sum(len(text.split()) for text in completions) / 256 < 200
        start = time.process_time()
        DiversityExploration()(prompts=prompts, completions=completions)
        assert time.process_time() - start < 0.4  # 0.06 s measured; the rest is for a busy machine


RANK = """
import json, sys
import torch.distributed as dist
from trl_rlsp import DiversityExploration

rank, store, texts = int(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
mine = texts[:1] if rank == 0 else texts[1:]
print(json.dumps(DiversityExploration(K=2)(prompts=["6 3 2 : 18"] * len(mine), completions=mine)))
dist.destroy_process_group()
"""


@pytest.mark.slow
def test_a_group_split_over_two_processes_is_compared_whole(tmp_path):
    texts = [SUM, MISS, PRODUCT]
    arguments = [str(tmp_path / "store"), json.dumps(texts)]
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", RANK, str(rank), *arguments], env=dict(os.environ), stdout=subprocess.PIPE, text=True
        )
        for rank in range(2)
    ]
    values = [value for rank in ranks for value in json.loads(rank.communicate(timeout=240)[0])]
    assert values == scores(*texts)
