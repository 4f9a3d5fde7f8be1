"""Verdicts and failure rates of a batch: found once, exact, and the same however the batch is split over ranks."""

from __future__ import annotations

import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_groups import run_ranks

from trl_rlsp import LengthExploration, RLSPRewards
from trl_rlsp.rewards.batch import BatchOutcomes, failure_rate


class Counting:
    """A verifier that counts its calls: 1.0 for completions that start with r."""

    __name__ = "outcome_verifier"

    def __init__(self):
        self.calls = 0

    def __call__(self, *, completions, **kwargs):
        self.calls += 1
        return [float(completion.startswith("r")) for completion in completions]


class TestFailureRate:
    @pytest.mark.parametrize(
        ("verdicts", "expected"),
        [
            ([1.0, 0.0, 0.0, 0.0], 0.75),
            ([1.0, None], 0.0),
            ([0.5, 0.0], 0.75),  # 1 - 0.5 / 2
            ([None, None], None),
            ([], None),
            ([-0.5, -0.5], 1.0),  # another verifier's penalties are failures, not more than failures
        ],
    )
    def test_by_hand(self, verdicts, expected):
        assert failure_rate(verdicts) == expected

    @given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.randoms())
    def test_the_order_does_not_show(self, verdicts, rng):
        shuffled = list(verdicts)
        rng.shuffle(shuffled)
        assert failure_rate(shuffled) == failure_rate(verdicts)


class TestOnce:
    def test_the_parts_of_a_step_ask_the_verifier_once(self):
        verifier = Counting()
        outcomes = BatchOutcomes(verifier, by_group=True)
        completions, columns = ["right", "wrong"], {"prompts": ["p", "p"], "trainer_state": object()}
        first = outcomes(completions, {**columns, "log_metric": print})
        assert outcomes(completions, columns) is first
        assert first == ([1.0, 0.0], [0.5, 0.5])
        assert verifier.calls == 1

    def test_another_batch_or_other_columns_are_scored_anew(self):
        verifier = Counting()
        outcomes = BatchOutcomes(verifier, by_group=True)
        completions, prompts = ["right", "wrong"], ["p", "p"]
        outcomes(completions, {"prompts": prompts})
        assert outcomes(list(completions), {"prompts": prompts}).failure_rates == [0.5, 0.5]
        assert outcomes(completions, {"prompts": ["p", "q"]}).failure_rates == [0.0, 1.0]
        assert outcomes(completions, {"prompts": prompts, "solution": ["1", "2"]}).failure_rates == [0.0, 1.0]
        assert verifier.calls == 4

    def test_without_groups_there_are_no_rates(self):
        assert BatchOutcomes(Counting())(["right"], {}) == ([1.0], [None])

    def test_the_batch_is_not_pickled(self):
        outcomes = BatchOutcomes(Counting())
        empty = pickle.dumps(outcomes)
        outcomes(["right " + "x" * 10_000], {})
        assert len(pickle.dumps(outcomes)) < len(empty) + 100


PROMPTS = ["p", "p", "p", "q", "q", "q", "p", "r"]
COMPLETIONS = ["right a b", "wrong c", "wrong d e f", "right", "right g h", "wrong i", "right j k", "wrong l"]
TWO_RANKS = """
import json, sys
import torch.distributed as dist
from test_batch import COMPLETIONS, PROMPTS, suite_values

rank, store, cut = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
half = slice(cut) if rank == 0 else slice(cut, None)
print(json.dumps(suite_values(PROMPTS[half], COMPLETIONS[half])))
dist.destroy_process_group()
"""


def suite_values(prompts, completions):
    """Two steps of a suite as TRL calls it, part by part."""
    suite = RLSPRewards(Counting(), [LengthExploration(C=3, guarded=False)], gate="adaptive", brevity=0.7)
    return [[part(prompts=list(prompts), completions=list(batch)) for part in suite] for batch in (completions,) * 2]


@pytest.mark.parametrize("cut", [1, 5])
def test_two_processes_give_exactly_the_values_of_one(tmp_path, cut):
    """Groups p and q lie on both ranks."""
    whole = suite_values(PROMPTS, COMPLETIONS)
    first, second = map(json.loads, run_ranks(TWO_RANKS, tmp_path, str(cut)))
    joined = [[a + b for a, b in zip(*step, strict=True)] for step in zip(first, second, strict=True)]
    assert joined == whole
    # the halves alone would give other values
    assert suite_values(PROMPTS[:cut], COMPLETIONS[:cut])[0] != first[0]
