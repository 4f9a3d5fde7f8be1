"""Each warning on a run made for it, at its threshold and just below; a clean run gives none."""

from __future__ import annotations

from functools import partial

import pytest

from trl_rlsp.report import Thresholds, find
from trl_rlsp.runs import Completion, Evaluated, StepMetrics


def evaluated(name, scores, problems=None):
    completions = [Completion("text", str(i), score=score) for i, score in enumerate(scores)]
    return Evaluated(name, {}, {}, completions, problems or "d")


def all_of(kind, run, steps=()):
    return [warning for warning in find(run, steps) if warning.kind == kind]


def first(kind):
    """The first warning of a kind about a run, or `None`."""
    return lambda run, steps=(): next(iter(all_of(kind, run, steps)), None)


reward_without_accuracy, cut_off = first("reward_without_accuracy"), first("cut_off")
repetition, zero_variance, judge = first("repetition"), first("zero_variance"), first("judge")
not_scorable = partial(all_of, "not_scorable")


def texture(step, repeated):
    return StepMetrics(step, 1.0, repeated, {})


# 8 steps: the first and the last quarter hold 2 of them, but a window holds at least 3.
RISING = [0.1, 0.1, 0.1, 0.3, 0.3, 0.5, 0.5, 0.5]
FALLING = [0.6, 0.6, 0.6, 0.5, 0.5, 0.4, 0.4, 0.4]
FLAT = [0.5] * 8


class TestRewardWithoutAccuracy:
    def test_training(self, make_run):
        found = reward_without_accuracy(make_run(reward=RISING, accuracy=FALLING))
        assert found.kind == "reward_without_accuracy"
        assert found.evidence == "reward 0.1 to 0.5; accuracy on training problems 60.0 % to 40.0 %"

    def test_held_out_while_training_accuracy_rises(self, make_run):
        found = reward_without_accuracy(make_run(reward=RISING, accuracy=RISING, held_out=FALLING))
        assert "held-out accuracy 60.0 % to 40.0 % over training" in found.evidence
        assert "parts that rise: outcome_verifier 0.1 to 0.5" in found.evidence

    def test_held_out_by_the_evaluations_before_and_after(self, make_run):
        # 40 problems, 30 right before; 10 of those are lost and none gained: a change of -10/40 on each resample
        # of about -25 points, whose interval stays below 0.
        before = evaluated("SFT", [1.0] * 30 + [0.0] * 10)
        after = evaluated("RLSP", [1.0] * 20 + [0.0] * 20)
        found = reward_without_accuracy(make_run(reward=RISING, accuracy=RISING, evaluations=[before, after]))
        assert "held-out accuracy 75.0 % (SFT) to 50.0 % (RLSP)" in found.evidence

    def test_evaluations_whose_interval_holds_zero(self, make_run):
        # 3 lost, 2 gained of 40: -2.5 points, far within chance
        before = evaluated("SFT", [1.0] * 30 + [0.0] * 10)
        after = evaluated("RLSP", [0.0] * 3 + [1.0] * 29 + [0.0] * 8)
        assert reward_without_accuracy(make_run(reward=RISING, accuracy=RISING, evaluations=[before, after])) is None

    def test_evaluations_on_other_problems(self, make_run):
        before = evaluated("SFT", [1.0] * 40)
        after = evaluated("RLSP", [0.0] * 40, {"dataset": "other"})
        assert reward_without_accuracy(make_run(reward=RISING, accuracy=RISING, evaluations=[before, after])) is None

    @pytest.mark.parametrize(
        "metrics",
        [
            {"reward": RISING, "accuracy": RISING},
            {"reward": RISING, "accuracy": FLAT},
            {"reward": FALLING, "accuracy": FALLING},
            {"reward": RISING[:5], "accuracy": FALLING[:5]},  # two windows of 3 need 6 steps
            {"reward": RISING},
            {"accuracy": FALLING},
        ],
    )
    def test_nothing(self, make_run, metrics):
        assert reward_without_accuracy(make_run(**metrics)) is None

    def test_a_fall_within_its_scatter(self, make_run):
        # windows 0.8 0.4 0.6 and 0.7 0.3 0.5: means 0.6, 0.5; variance 0.04 each, squared error of a mean 0.04 / 3;
        # two standard errors of the difference are 2 * sqrt(2 * 0.04 / 3) = 0.33 > 0.1
        noisy = [0.8, 0.4, 0.6, 0.5, 0.5, 0.7, 0.3, 0.5]
        assert reward_without_accuracy(make_run(reward=RISING, accuracy=noisy)) is None


class TestCutOff:
    def test_at_the_threshold(self, make_run):
        run = make_run(**{"completions/clipped_ratio": [0.0] * 3 + [0.1] * 3, "completions/max_length": [160.0] * 6})
        assert cut_off(run).evidence == "10.0 % cut off in the last quarter of training; the longest has 160 tokens"

    def test_below(self, make_run):
        assert cut_off(make_run(**{"completions/clipped_ratio": [0.5] * 3 + [0.099] * 3})) is None

    def test_not_logged(self, make_run):
        assert cut_off(make_run(reward=RISING)) is None


class TestRepetition:
    def test_rises(self, make_run):
        steps = [texture(i, share) for i, share in enumerate([0.1, 0.1, 0.1, 0.25, 0.25, 0.25])]
        assert "10.0 % to 25.0 %" in repetition(make_run(), steps).evidence

    @pytest.mark.parametrize("shares", [[0.1] * 3 + [0.19] * 3, [0.9] * 6, [None] * 6, []])
    def test_nothing(self, make_run, shares):
        assert repetition(make_run(), [texture(i, share) for i, share in enumerate(shares)]) is None

    def test_from_texts(self, make_run, logged):
        new = "one two three four five six seven eight nine ten"
        same = "one two. one two. one two. one two. one two. one two."
        completions = [logged(step, new if step < 4 else same) for step in range(1, 7)]
        kinds = [finding.kind for finding in find_all(make_run(completions=completions))]
        assert kinds == ["repetition"]


class TestZeroVariance:
    def test_at_the_threshold(self, make_run):
        run = make_run(frac_reward_zero_std=[0.0] * 3 + [0.5] * 3, accuracy=[0.9] * 6)
        assert (
            zero_variance(run).evidence == "50.0 % of the groups in the last quarter of training; accuracy there 90.0 %"
        )

    def test_below(self, make_run):
        assert zero_variance(make_run(frac_reward_zero_std=[1.0] * 3 + [0.49] * 3)) is None


class TestJudge:
    def group(self, logged, right, wrong, step=1):
        return [logged(step, score=1.0, judge_exploration=grade) for grade in right] + [
            logged(step, score=0.0, judge_exploration=grade) for grade in wrong
        ]

    def test_prefers_wrong(self, make_run, logged):
        # 5 x 6 pairs: the wrong one is first in 3 of 5 right ones' pairs, behind in the others: 18 / 30
        found = judge(make_run(completions=self.group(logged, [0.1, 0.1, 0.1, 0.9, 0.9], [0.5] * 6)))
        assert found.evidence.startswith("judge_exploration: the wrong one ranks first in 60.0 % of 30 pairs")

    def test_equal_grades_count_half(self, make_run, logged):
        # 0.1 < 0.5 twice, equal three times: (2 + 1.5) / 5 = 0.7
        found = judge(make_run(completions=self.group(logged, [0.1, 0.1, 0.5, 0.5, 0.5], [0.5] * 6)))
        assert "70.0 % of 30 pairs" in found.evidence

    def test_one_pair_too_few(self, make_run, logged):
        assert judge(make_run(completions=self.group(logged, [0.1], [0.5] * 29))) is None
        assert judge(make_run(completions=self.group(logged, [0.1], [0.5] * 30))) is not None

    def test_pairs_are_within_a_group(self, make_run, logged):
        apart = self.group(logged, [0.1] * 6, [], step=1) + self.group(logged, [], [0.5] * 6, step=2)
        assert judge(make_run(completions=apart)) is None

    def test_a_grade_that_could_not_be_had_is_no_grade(self, make_run, logged):
        assert judge(make_run(completions=self.group(logged, [None] * 6, [0.5] * 6))) is None

    def test_a_judge_that_does_not_look_at_correctness(self, make_run, logged):
        assert judge(make_run(completions=self.group(logged, [0.1, 0.9] * 4, [0.1, 0.9] * 4))) is None


class TestNotScorable:
    def test_evaluation(self, make_run):
        # 1 of 50 is 2 %
        (found,) = not_scorable(make_run(evaluations=[evaluated("SFT", [1.0] * 49 + [None])]))
        assert found.evidence == "evaluation SFT: 1 of 50 (2.0 %): no reason recorded 1"

    def test_training_counts_reasons(self, make_run, logged):
        bad = [logged(1, score=None, reason=reason) for reason in ("scorer_error", "gold_unparseable", "scorer_error")]
        (found,) = not_scorable(make_run(completions=[logged(1) for _ in range(17)] + bad))
        assert found.evidence == "training: 3 of 20 (15.0 %): scorer_error 2, gold_unparseable 1"

    def test_below(self, make_run):
        assert not_scorable(make_run(evaluations=[evaluated("SFT", [1.0] * 50 + [None])])) == []

    def test_too_few_to_say(self, make_run):
        assert not_scorable(make_run(evaluations=[evaluated("SFT", [None] * 19)])) == []

    def test_a_run_without_a_verifier(self, make_run):
        completions = [Completion("t", "p", step=1, rewards={"style": 0.5}) for _ in range(30)]
        assert not_scorable(make_run(completions=completions)) == []


def find_all(run):
    from trl_rlsp.runs import step_metrics

    return find(run, step_metrics(run.completions))


class TestFind:
    def clean(self, make_run, logged):
        completions = [
            logged(step, "so 3 + 4 is 7", score=float(i < 4), judge_exploration=0.2 + 0.1 * (i < 4))
            for step in range(1, 9)
            for i in range(8)
        ]
        return make_run(
            reward=RISING,
            accuracy=RISING,
            held_out=RISING,
            completions=completions,
            evaluations=[evaluated("SFT", [0.0] * 40), evaluated("RLSP", [1.0] * 40)],
            **{"completions/clipped_ratio": [0.02] * 8, "frac_reward_zero_std": [0.3] * 8},
        )

    def test_a_clean_run(self, make_run, logged):
        assert find_all(self.clean(make_run, logged)) == []

    def test_every_finding_says_what_to_do(self, make_run, logged):
        run = self.clean(make_run, logged)
        strict = Thresholds(cut_off=0.02, zero_variance=0.3, judge_prefers_wrong=0.0)
        found = find(run, [], strict)
        assert [finding.kind for finding in found] == ["cut_off", "zero_variance", "judge"]
        assert all(finding.run == "run" and finding.evidence and finding.advice for finding in found)

    def test_nothing_to_look_at(self, make_run):
        assert find_all(make_run()) == []
