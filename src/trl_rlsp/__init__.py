"""trl_rlsp: teach language models to search while they reason.

Names are imported on first use, so that `import trl_rlsp` costs nothing. `rlsp_rewards` is a fresh
`RLSPRewards()` at each access: TRL keeps and changes the list it is given.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trl_rlsp.problems.data import load_problems
    from trl_rlsp.rewards.alpha_schedule import AlphaSchedule
    from trl_rlsp.rewards.behaviour import BehaviourExploration
    from trl_rlsp.rewards.calculation import CalculationExploration
    from trl_rlsp.rewards.diversity import DiversityExploration
    from trl_rlsp.rewards.judge.reward import JudgeExploration
    from trl_rlsp.rewards.length import LengthExploration
    from trl_rlsp.rewards.outcome import OutcomeVerifier
    from trl_rlsp.rewards.suite import RLSPRewards
    from trl_rlsp.trainers.grpo import RLSPGRPOConfig, RLSPGRPOTrainer
    from trl_rlsp.trainers.sft import RLSPSFTConfig, RLSPSFTTrainer

    rlsp_rewards: RLSPRewards

__version__ = "0.1.0"

_HOMES = {
    "AlphaSchedule": "rewards.alpha_schedule",
    "BehaviourExploration": "rewards.behaviour",
    "CalculationExploration": "rewards.calculation",
    "DiversityExploration": "rewards.diversity",
    "JudgeExploration": "rewards.judge.reward",
    "LengthExploration": "rewards.length",
    "OutcomeVerifier": "rewards.outcome",
    "RLSPGRPOConfig": "trainers.grpo",
    "RLSPGRPOTrainer": "trainers.grpo",
    "RLSPRewards": "rewards.suite",
    "RLSPSFTConfig": "trainers.sft",
    "RLSPSFTTrainer": "trainers.sft",
    "load_problems": "problems.data",
}

__all__ = [
    "AlphaSchedule",
    "BehaviourExploration",
    "CalculationExploration",
    "DiversityExploration",
    "JudgeExploration",
    "LengthExploration",
    "OutcomeVerifier",
    "RLSPGRPOConfig",
    "RLSPGRPOTrainer",
    "RLSPRewards",
    "RLSPSFTConfig",
    "RLSPSFTTrainer",
    "load_problems",
    "rlsp_rewards",
]


def __getattr__(name: str) -> Any:
    if name == "rlsp_rewards":
        return __getattr__("RLSPRewards")()
    if name in _HOMES:
        value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
