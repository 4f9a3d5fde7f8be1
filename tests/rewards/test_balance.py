"""Settings that lose the balance between outcome and exploration: refused, warned about, or silently fine."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest
from trl import GRPOConfig

from trl_rlsp import AlphaSchedule, LengthExploration, RLSPRewards
from trl_rlsp.errors import ConfigError
from trl_rlsp.trainers.balance import check_balance


def config(folder, **settings):
    return GRPOConfig(str(folder), **{"bf16": False, "use_cpu": True, "scale_rewards": "none", **settings})


class TestCheckBalance:
    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"scale_rewards": "group"}, "^scale_rewards='group' .* whatever alpha=0.8 says"),
            ({"scale_rewards": True}, "^scale_rewards='group'"),
            (
                {"multi_objective_aggregation": "normalize_then_sum"},
                "^multi_objective_aggregation='normalize_then_sum' makes the exploration bonus the whole signal",
            ),
        ],
    )
    def test_refused(self, tmp_path, settings, message):
        args = config(tmp_path, **settings)
        for gate in ("none", "incorrect", "adaptive"):
            with pytest.raises(ConfigError, match=message):
                check_balance(RLSPRewards(gate=gate), args)
        with pytest.raises(ConfigError, match="the failure rate cancels out of gate='adaptive'"):
            check_balance(RLSPRewards(gate="adaptive"), args)
        with pytest.raises(ConfigError, match=r"whatever alpha=0\.7 says"):
            check_balance(RLSPRewards(alpha=AlphaSchedule("linear", 1.0, 0.7)), args)
        # what cannot go wrong: a bonus for right answers only, no bonus, no weight
        check_balance(RLSPRewards(gate="correct"), args)
        check_balance(RLSPRewards(exploration=[]), args)
        check_balance(RLSPRewards(alpha=1), args)

    def test_trls_own_default_is_refused(self):
        with pytest.raises(ConfigError, match="scale_rewards='none' or 'batch'"):
            check_balance(RLSPRewards(), GRPOConfig("out", bf16=False, use_cpu=True))

    @pytest.mark.parametrize(
        ("rewards", "settings", "message"),
        [
            ({}, {"reward_weights": [1.0, 0.5]}, "change the balance that alpha=0.8 sets"),
            ({"alpha": 0.5}, {}, "alpha=0.5: a wrong completion can outrank a correct one"),
            ({"exploration": [LengthExploration("relative")]}, {}, "pays for more length at any length"),
            ({"exploration": [LengthExploration("paper")]}, {}, "is unbounded: a long wrong completion can outrank"),
            ({"alpha": AlphaSchedule("linear", 0.8, 0.4)}, {}, "alpha=0.4: a wrong completion can outrank"),
            (
                {"alpha": AlphaSchedule("solve_rate", 0.6, 0.9)},
                {"logging_strategy": "no"},
                "logging_strategy='no' leaves no solve rate to read: alpha stays at 0.6",
            ),
        ],
    )
    def test_warned(self, tmp_path, caplog, rewards, settings, message):
        with caplog.at_level(logging.WARNING, logger="trl_rlsp"):
            check_balance(RLSPRewards(**rewards), config(tmp_path, **settings))
        assert len(caplog.messages) == 1
        assert message in caplog.messages[0]

    @pytest.mark.parametrize(
        "settings", [{}, {"scale_rewards": "batch"}, {"scale_rewards": False}, {"reward_weights": [2.0, 2.0]}]
    )
    def test_silent(self, tmp_path, caplog, settings):
        with caplog.at_level(logging.WARNING, logger="trl_rlsp"):
            check_balance(RLSPRewards(), config(tmp_path, **settings))
            check_balance(RLSPRewards(gate="adaptive"), config(tmp_path, **settings))
            check_balance(RLSPRewards(alpha=AlphaSchedule("solve_rate", 0.6, 1.0)), config(tmp_path, **settings))
        assert caplog.messages == []


def test_the_examples_in_the_docs_run_and_keep_the_balance(caplog):
    text = (Path(__file__).parents[2] / "docs/rewards.md").read_text(encoding="utf-8")
    examples = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(examples) == 2
    names = {}
    for example in examples:
        exec(example.replace("bf16=False", "bf16=False, use_cpu=True"), names)
    with caplog.at_level(logging.WARNING, logger="trl_rlsp"):
        check_balance(names["rewards"], names["args"])
    assert caplog.messages == []
    assert names["args"].use_adaptive_entropy
    punished = names["rewards"][-1](completion_ids=[[1] * 3584, [1] * 3840, [1] * 4096])
    assert punished == [0, -0.5, -1]  # 512 tokens before the limit, half of them later, at it
