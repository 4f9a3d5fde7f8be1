from .problems import load_problems as load_problems
from .rewards import (
    AlphaSchedule as AlphaSchedule,
    BehaviourExploration as BehaviourExploration,
    CalculationExploration as CalculationExploration,
    DiversityExploration as DiversityExploration,
    JudgeExploration as JudgeExploration,
    LengthExploration as LengthExploration,
    NoveltyExploration as NoveltyExploration,
    OutcomeVerifier as OutcomeVerifier,
    RLSPRewards as RLSPRewards,
)
from .trainers import (
    RLSPGRPOConfig as RLSPGRPOConfig,
    RLSPGRPOTrainer as RLSPGRPOTrainer,
    RLSPSFTConfig as RLSPSFTConfig,
    RLSPSFTTrainer as RLSPSFTTrainer,
)

__version__: str
rlsp_rewards: RLSPRewards
