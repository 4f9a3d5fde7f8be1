"""Rewards for RL: the outcome verifier, exploration rewards that do not look at correctness, and the suite of both.

Promises: each reward is a function as `trl.GRPOTrainer` takes it; what is not scorable is `None` and counted; all
rewards of a suite see one reading of each completion and one verdict. Knows nothing of models, data sets and files of
settings; of a trainer only the arguments and the logger that TRL hands to a reward.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

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

_HOMES = {
    "AlphaSchedule": "alpha_schedule",
    "BehaviourExploration": "behaviour",
    "CalculationExploration": "calculation",
    "DiversityExploration": "diversity",
    "JudgeExploration": "judge.reward",
    "LengthExploration": "length",
    "OutcomeVerifier": "outcome",
    "OwnVerifier": "own",
    "RLSPRewards": "suite",
    "Reader": "readings",
    "Row": "outcome",
    "Rubric": "judge.rubric",
    "check_balance": "balance",
    "load_object": "own",
    "refuse_imbalance": "balance",
}

__all__ = [
    "AlphaSchedule",
    "BehaviourExploration",
    "CalculationExploration",
    "DiversityExploration",
    "JudgeExploration",
    "LengthExploration",
    "OutcomeVerifier",
    "OwnVerifier",
    "RLSPRewards",
    "Reader",
    "Row",
    "Rubric",
    "check_balance",
    "load_object",
    "refuse_imbalance",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
