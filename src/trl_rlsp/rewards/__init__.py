"""Rewards for RL: the outcome verifier, exploration rewards that do not look at correctness, and the suite of both.

Promises: each reward is a function as `trl.GRPOTrainer` takes it; what is not scorable is `None` and counted; all
rewards of a suite see one reading of each completion and one verdict. Knows nothing of models, data sets and files of
settings; of a trainer only the arguments and the logger that TRL hands to a reward.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trl_rlsp.lazy import attach

if TYPE_CHECKING:
    from trl_rlsp.rewards._scoring import Reward
    from trl_rlsp.rewards.balance import AlphaSchedule, check_balance, refuse_imbalance, scorers_of
    from trl_rlsp.rewards.batch import Batch, Reader
    from trl_rlsp.rewards.diversity import DiversityExploration
    from trl_rlsp.rewards.exploration import (
        BehaviourExploration,
        CalculationExploration,
        Exploration,
        LengthExploration,
    )
    from trl_rlsp.rewards.judge import JudgeExploration
    from trl_rlsp.rewards.outcome import OutcomeVerifier, OwnVerifier, Row, load_object
    from trl_rlsp.rewards.rubric import Rubric
    from trl_rlsp.rewards.suite import RLSPRewards

__getattr__, __all__ = attach(__name__, __file__)
