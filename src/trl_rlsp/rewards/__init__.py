"""Rewards for RL: the outcome verifier, exploration rewards that do not look at correctness, and the suite of both.

Promises: each reward is a function as `trl.GRPOTrainer` takes it; what is not scorable is `None` and counted; all
rewards of a suite see one reading of each completion and one verdict. Knows nothing of models, data sets and files of
settings; of a trainer only the arguments and the logger that TRL hands to a reward.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trl_rlsp.lazy import attach

if TYPE_CHECKING:
    from trl_rlsp.rewards.alpha_schedule import AlphaSchedule
    from trl_rlsp.rewards.balance import check_balance, refuse_imbalance
    from trl_rlsp.rewards.behaviour import BehaviourExploration
    from trl_rlsp.rewards.calculation import CalculationExploration
    from trl_rlsp.rewards.diversity import DiversityExploration
    from trl_rlsp.rewards.judge.reward import JudgeExploration
    from trl_rlsp.rewards.judge.rubric import Rubric
    from trl_rlsp.rewards.length import LengthExploration
    from trl_rlsp.rewards.outcome import OutcomeVerifier, Row
    from trl_rlsp.rewards.own import OwnVerifier, load_object
    from trl_rlsp.rewards.readings import Reader
    from trl_rlsp.rewards.suite import RLSPRewards

__getattr__, __all__ = attach(
    __name__,
    {
        "alpha_schedule": "AlphaSchedule",
        "balance": "check_balance refuse_imbalance",
        "behaviour": "BehaviourExploration",
        "calculation": "CalculationExploration",
        "diversity": "DiversityExploration",
        "judge.reward": "JudgeExploration",
        "judge.rubric": "Rubric",
        "length": "LengthExploration",
        "outcome": "OutcomeVerifier Row",
        "own": "OwnVerifier load_object",
        "readings": "Reader",
        "suite": "RLSPRewards",
    },
)
