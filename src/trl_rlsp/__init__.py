"""trl_rlsp: teach language models to search while they reason.

Names are imported on first use, so that `import trl_rlsp` costs nothing. `rlsp_rewards` is a fresh
`RLSPRewards()` at each access: TRL keeps and changes the list it is given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trl_rlsp.lazy import attach

if TYPE_CHECKING:
    from trl_rlsp.problems import load_problems
    from trl_rlsp.rewards import (
        AlphaSchedule,
        BehaviourExploration,
        CalculationExploration,
        DiversityExploration,
        JudgeExploration,
        LengthExploration,
        OutcomeVerifier,
        RLSPRewards,
    )
    from trl_rlsp.trainers import RLSPGRPOConfig, RLSPGRPOTrainer, RLSPSFTConfig, RLSPSFTTrainer

    rlsp_rewards: RLSPRewards

__version__ = "0.1.0"

_load, __all__ = attach(__name__, __file__)
__all__ += ["rlsp_rewards"]


def __getattr__(name: str) -> Any:
    return _load("RLSPRewards")() if name == "rlsp_rewards" else _load(name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
