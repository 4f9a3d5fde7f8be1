"""One verdict a step, failures filled in, and the same values however a batch is split over ranks."""

from __future__ import annotations

import json
import math
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_groups import run_ranks

from trl_rlsp import LengthExploration, OutcomeVerifier, RLSPRewards
from trl_rlsp.errors import ConfigError
from trl_rlsp.rewards._scoring import failure_rate
from trl_rlsp.verification import Verdict


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


class SecondTry(Counting):
    """A verifier with a worker that fails at first: no verdict at its first call."""

    def __call__(self, *, completions, **kwargs):
        self.calls += 1
        return [None if self.calls == 1 else 1.0 for _ in completions]


class Late:
    """An exploration reward that misses its deadline where a completion says so."""

    __name__ = "judge"

    def __call__(self, *, completions, **kwargs):
        return [None if "late" in text else float(text.split()[-1]) for text in completions]


def by_column(suite, **batch):
    """As TRL calls a suite: column by column."""
    return [part(**batch) for part in suite]


def total(columns):
    """As TRL adds them up: `None` counts as 0, and a row of nothing but `None` is left out."""
    rows = list(zip(*columns, strict=True))
    return [None if all(v is None for v in row) else sum(v or 0 for v in row) for row in rows]


class TestOneVerdict:
    def test_a_verdict_that_comes_at_the_second_try(self):
        """Two calls of the verifier gave [None, 1.0] for one completion: paid 0.125, as if it were wrong."""
        suite = RLSPRewards(SecondTry(), [LengthExploration(C=6)], alpha=0.8)
        batch = {"completions": ["3 times 4 is 12 . \\boxed{12}"]}
        assert by_column(suite, **batch) == [[None], [None]]
        assert by_column(suite, **batch) == [[1.0], [pytest.approx(0.125)]]

    def test_the_verifier_is_asked_once_a_step(self):
        verifier = Counting()
        suite = RLSPRewards(verifier, [LengthExploration(), Late()], gate="adaptive")
        batch = {"completions": ["right 0", "wrong 1"], "prompts": ["p", "p"], "trainer_state": object()}
        by_column(suite, **batch, log_metric=lambda name, value: None)
        assert verifier.calls == 1
        by_column(suite, **batch)  # the next step, whatever its completions are
        assert verifier.calls == 2

    def test_whichever_column_comes_first(self):
        verifier = Counting()
        suite = RLSPRewards(verifier, [LengthExploration(C=1, guarded=False)])
        batch = {"completions": ["right"]}
        assert [part(**batch) for part in reversed(suite)] == [[pytest.approx(0.125)], [1.0]]
        assert verifier.calls == 1

    def test_columns_asked_for_at_once_in_threads(self):
        """As `AsyncGRPOTrainer` does."""
        verifier = Counting()
        suite = RLSPRewards(verifier, [LengthExploration(C=1, guarded=False), Late()])
        with ThreadPoolExecutor(3) as threads:
            found = list(threads.map(lambda part: part(completions=["right 1"]), suite))
        assert found[0] == [1.0]
        assert verifier.calls == 1

    def test_another_batch_is_another_step(self):
        suite = RLSPRewards(Counting(), [LengthExploration(C=1, guarded=False)])
        assert suite[0](completions=["right"]) == [1.0]
        assert suite[1](completions=["wrong so"]) == [pytest.approx(0.25 * 2 / 3)]
        assert suite[1](completions=["right"]) == [pytest.approx(0.125)]

    def test_what_is_not_scorable_is_none_in_every_column(self):
        suite = RLSPRewards(lambda completions, **_: [None, 1.0], [Late()])
        assert [column[0] for column in by_column(suite, completions=["a 1", "b 1"])] == [None, None]

    def test_completions_are_not_kept(self):
        suite = RLSPRewards(Counting(), [LengthExploration()])
        empty = pickle.dumps(suite)
        by_column(suite, completions=["right " + "x" * 10_000])
        assert suite.scorer._open == []
        suite[0](completions=["right " + "x" * 10_000])
        assert len(pickle.dumps(suite)) < len(empty) + 100

    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            ([True, False], [1.0, 0.0]),
            ([Verdict(0.5, "mismatch"), Verdict(None, "scorer_error")], [0.5, None]),
            ([math.nan, 1], [None, 1.0]),
        ],
    )
    def test_verifiers_of_ones_own(self, values, expected):
        assert RLSPRewards(lambda completions, **_: values, [])(completions=["a", "b"]) == expected

    def test_too_few_values(self):
        with pytest.raises(ConfigError, match="counting must return one value per completion: 2, got 1"):
            RLSPRewards(named("counting", [1.0]), [])(completions=["a", "b"])


def named(name, values):
    def reward(completions, **kwargs):
        return values

    reward.__name__ = name
    return reward


class TestFailedExploration:
    PROMPTS = ["p", "p", "p", "q", "q"]
    COMPLETIONS = ["right 0.2", "right late", "wrong 0.6", "right late", "wrong late"]

    def columns(self, **logger):
        suite = RLSPRewards(Counting(), [Late()], alpha=0.5)
        return by_column(suite, prompts=self.PROMPTS, completions=self.COMPLETIONS, **logger)

    def test_the_groups_mean_else_the_batchs(self):
        """Adding None as 0 ranked the right one that was late below the wrong one of 0.6: 1.0 - 1.2."""
        # p: (0.2 + 0.6) / 2; q has nothing known: the batch's, the same 0.4
        assert self.columns()[1] == pytest.approx([0.2, 0.4, 0.6, 0.4, 0.4])

    def test_a_judge_past_its_deadline_costs_its_completion_nothing(self):
        rewards = total(self.columns())
        group = rewards[:3]
        baseline = (1.2 + 0.6) / 2  # of those that were graded
        assert sum(group) / 3 == pytest.approx((1.2 + 1.4 + 0.6) / 3)
        assert rewards[1] - 1.0 == pytest.approx(baseline - 0.5)  # as much exploration as its group's mean

    def test_it_is_counted(self):
        logged = {}
        self.columns(log_metric=logged.__setitem__)
        assert logged["exploration/failed"] == 0.6

    def test_nothing_known_at_all_leaves_the_verdicts(self):
        suite = RLSPRewards(Counting(), [Late()])
        assert suite(prompts=["p"] * 2, completions=["right late", "wrong late"]) == [1.0, 0.0]

    def test_infinity_is_a_failure(self):
        suite = RLSPRewards(Counting(), [named("endless", [math.inf, 0.5])], alpha=0.5)
        assert suite[1](prompts=["p", "p"], completions=["right", "wrong"]) == [0.5, 0.5]

    def test_what_has_no_verdict_does_not_count(self):
        suite = RLSPRewards(named("verifier", [1.0, None, 0.0]), [named("judge", [None, 1.0, 0.5])], alpha=0.5)
        assert suite[1](prompts=["p"] * 3, completions=["a", "b", "c"]) == [0.5, None, 0.5]


class TestUnbounded:
    def test_a_reward_outside_its_bounds_is_warned_about_once(self, caplog):
        suite = RLSPRewards(Counting(), [named("mine", [30.0])])
        for _ in range(2):
            suite(completions=["right"])
        assert len(caplog.messages) == 1
        assert "mine must lie in [0, 1], got 30: a wrong completion can outrank a right one" in caplog.messages[0]

    def test_not_where_it_is_meant(self, caplog):
        reward = named("mine", [30.0])
        reward.bounded = False
        RLSPRewards(Counting(), [reward])(completions=["right"])
        RLSPRewards(Counting(), [named("fine", [1.0])])(completions=["right"])
        assert caplog.messages == []


class Host:
    """What a reward sees of a trainer: `log_metric` is its bound method."""

    def __init__(self, **args):
        self.args, self.logged = SimpleNamespace(**args), {}

    def log_metric(self, name, value):
        self.logged[name] = value


class TestHosts:
    def call(self, host, suite):
        suite(prompts=["p"], completions=["right"], log_metric=host.log_metric)

    def test_group_scaling_is_warned_about_once(self, caplog):
        suite = RLSPRewards(Counting())
        for _ in range(2):
            self.call(Host(scale_rewards="group"), suite)
        assert len(caplog.messages) == 1
        assert "scale_rewards='none' (with loss_type='dr_grpo')" in caplog.messages[0]

    @pytest.mark.parametrize("args", [{"scale_rewards": "none"}, {"normalize_advantages": True}])
    def test_others_are_not(self, caplog, args):
        self.call(Host(**args), RLSPRewards(Counting()))
        self.call(Host(scale_rewards="group"), RLSPRewards(Counting(), gate="correct"))
        assert caplog.messages == []

    @pytest.mark.parametrize(
        ("completions", "suite", "expected"),
        [
            # bonuses 0.25 and 0.125 of equal verdicts: deviation 0.0884, factor 1e-4 / 0.9116
            (["right", "right"], {}, [1 + 0.25 * 1.097e-4, 1 + 0.125 * 1.097e-4]),
            (["right", "wrong"], {}, [1.25, 0.125]),
            (["right", "right"], {"gate": "correct"}, [1.25, 1.125]),
        ],
    )
    def test_the_bonus_under_group_scaling(self, completions, suite, expected):
        rewards = RLSPRewards(Counting(), [named("fixed", [1.0, 0.5])], **suite)
        found = rewards(prompts=["p"] * 2, completions=completions, log_metric=Host(scale_rewards="group").log_metric)
        assert found == pytest.approx(expected, abs=1e-8)

    def test_a_suite_goes_from_one_trainer_to_another(self):
        """The division is undone for a trainer that divides, whichever the suite met first."""
        suite = RLSPRewards(Counting(), [named("fixed", [1.0, 0.5])])
        for scaling, expected in (("group", 1 + 0.25 * 1.097e-4), ("none", 1.25), ("group", 1 + 0.25 * 1.097e-4)):
            host = Host(scale_rewards=scaling)
            found = suite(prompts=["p"] * 2, completions=["right", "right"], log_metric=host.log_metric)
            assert found[0] == pytest.approx(expected, abs=1e-8)

    def test_the_papers_form_is_left_as_it_is(self):
        """Its failure under group scaling is what the experiments show."""
        suite = RLSPRewards(Counting(), [LengthExploration("paper", C=2, guarded=False)])
        log_metric = Host(scale_rewards="group").log_metric
        found = suite(prompts=["p"] * 2, completions=["right a", "right a b c"], log_metric=log_metric)
        assert found == pytest.approx([1 - 0.25 * 2 / 2, 1 - 0.25 * 2 / 4])

    def test_the_asynchronous_trainers_worker(self, caplog, monkeypatch):
        monkeypatch.setitem(sys.modules, "trl.experimental.async_grpo.async_rollout_worker", sys)
        RLSPRewards(Counting())(prompts=["p"], completions=["right"])
        assert "AsyncGRPOTrainer always divides rewards by their group's standard deviation" in caplog.text


PROMPTS = ["p", "p", "p", "q", "q", "q", "p", "r"]
COMPLETIONS = ["right a b", "wrong c", "wrong d e f", "right", "right g h", "wrong i", "right j k", "wrong l"]
TWO_RANKS = """
import json, sys
import torch.distributed as dist
from test_step_scores import COMPLETIONS, PROMPTS, suite_values

rank, store, cut = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
half = slice(cut) if rank == 0 else slice(cut, None)
print(json.dumps(suite_values(PROMPTS[half], COMPLETIONS[half])))
dist.destroy_process_group()
"""


def suite_values(prompts, completions):
    """Two steps of a suite as TRL calls it, part by part."""
    suite = RLSPRewards(Counting(), [LengthExploration(C=3, guarded=False)], gate="adaptive", length_penalty=0.7)
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


def test_a_verifier_with_a_call_of_its_own_is_called():
    class Generous(OutcomeVerifier):
        def __call__(self, completions=(), **columns):
            return [1.0] * len(completions)

    rewards = RLSPRewards(Generous(), [])
    assert rewards(completions=[r"\boxed{8}"], solution=["7"]) == [1.0]
