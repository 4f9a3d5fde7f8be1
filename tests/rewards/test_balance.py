"""Settings that lose the balance between outcome and exploration: errors, warnings, or fine."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from trl import GRPOConfig

from trl_rlsp import AlphaSchedule, LengthExploration, RLSPRewards
from trl_rlsp.rewards import check_balance


def config(folder, **settings):
    return GRPOConfig(str(folder), **{"bf16": False, "use_cpu": True, "scale_rewards": "none", **settings})


def codes(reward_funcs, args):
    return [(finding.severity, finding.code) for finding in check_balance(reward_funcs, args)]


class TestErrors:
    @pytest.mark.parametrize(
        ("settings", "message", "advice"),
        [
            ({"scale_rewards": "group"}, "scale_rewards='group' makes the exploration bonus", "scale_rewards: none"),
            ({"scale_rewards": True}, "scale_rewards='group'", "scale_rewards: none"),
            (
                {"multi_objective_aggregation": "normalize_then_sum"},
                "multi_objective_aggregation='normalize_then_sum' makes the exploration bonus the whole signal",
                "multi_objective_aggregation: sum_then_normalize",
            ),
        ],
    )
    def test_bonus_as_the_whole_signal(self, tmp_path, settings, message, advice):
        args = config(tmp_path, **settings)
        for gate in ("none", "incorrect", "adaptive"):
            (finding,) = check_balance(RLSPRewards(gate=gate), args)
            assert (finding.code, finding.severity, finding.advice) == ("group_scaling", "error", advice)
            assert finding.message.startswith(message)
            assert ("the failure rate cancels out" in finding.message) == (gate == "adaptive")
        (finding,) = check_balance(RLSPRewards(alpha=AlphaSchedule("linear", 1.0, 0.7)), args)
        assert "whatever alpha=0.7 says" in finding.message
        # what cannot go wrong: a bonus for right answers only, no bonus, no weight
        for suite in (RLSPRewards(gate="correct"), RLSPRewards(exploration=[]), RLSPRewards(alpha=1)):
            assert check_balance(suite, args) == []

    @pytest.mark.parametrize(
        "given",
        [
            lambda suite, mine: suite,
            lambda suite, mine: suite + [mine],  # noqa: RUF005
            lambda suite, mine: [*suite, mine],
            lambda suite, mine: [mine, *suite],
            lambda suite, mine: list(suite),
            lambda suite, mine: [suite],
            lambda suite, mine: suite[1],
        ],
    )
    def test_however_the_suite_is_passed(self, given):
        args = GRPOConfig("out", bf16=False, use_cpu=True)
        assert codes(given(RLSPRewards(), len), args) == [("error", "group_scaling")]

    @pytest.mark.parametrize("others", [None, len, [len], ["a-reward-model"]])
    def test_other_rewards_are_not_looked_at(self, others):
        assert check_balance(others, GRPOConfig("out", bf16=False, use_cpu=True)) == []


class TestWarnings:
    @pytest.mark.parametrize(
        ("rewards", "settings", "code", "message"),
        [
            ({}, {"reward_weights": [1.0, 0.5]}, "reward_weights", "change the balance that alpha=0.8 sets"),
            ({"alpha": 0.5}, {}, "low_alpha", "alpha=0.5: a wrong completion can outrank a correct one"),
            ({"exploration": [LengthExploration("relative")]}, {}, "endless", "rewards more length at any length"),
            ({"exploration": [LengthExploration("paper")]}, {}, "unbounded", "a long wrong completion can outrank"),
            ({"alpha": AlphaSchedule("linear", 0.8, 0.4)}, {}, "low_alpha", "alpha=0.4: a wrong completion can"),
            (
                {"alpha": AlphaSchedule("solve_rate", 0.6, 0.9)},
                {"logging_strategy": "no"},
                "no_log",
                "logging_strategy='no' leaves no solve rate to read: alpha stays at 0.6",
            ),
        ],
    )
    def test_each(self, tmp_path, rewards, settings, code, message):
        (finding,) = check_balance(RLSPRewards(**rewards), config(tmp_path, **settings))
        assert (finding.code, finding.severity) == (code, "warning")
        assert message in finding.message
        assert finding.advice

    def test_weights_of_other_rewards_are_their_own_affair(self, tmp_path):
        suite = RLSPRewards()
        assert codes([*suite, len], config(tmp_path, reward_weights=[1.0, 1.0, 0.1])) == []
        assert codes([*suite, len], config(tmp_path, reward_weights=[1.0, 0.1, 1.0])) == [("warning", "reward_weights")]

    @pytest.mark.parametrize(
        "settings", [{}, {"scale_rewards": "batch"}, {"scale_rewards": False}, {"reward_weights": [2.0, 2.0]}]
    )
    def test_none(self, tmp_path, settings):
        args = config(tmp_path, **settings)
        for suite in ({}, {"gate": "adaptive"}, {"alpha": AlphaSchedule("solve_rate", 0.6, 1.0)}):
            assert check_balance(RLSPRewards(**suite), args) == []


def test_the_examples_in_the_docs_run_and_keep_the_balance():
    text = (Path(__file__).parents[2] / "docs/rewards.md").read_text(encoding="utf-8")
    examples = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(examples) == 5
    names = {}
    for example in examples:
        exec(example.replace("bf16=False", "bf16=False, use_cpu=True"), names)
    assert check_balance(names["rewards"], names["args"]) == []
    assert names["args"].use_adaptive_entropy
    punished = names["rewards"][-1](completion_ids=[[1] * 3584, [1] * 3840, [1] * 4096])
    assert punished == [0, -0.5, -1]  # 512 tokens before the limit, half of them later, at it
