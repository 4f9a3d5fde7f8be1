from ._scoring import Reward as Reward
from .balance import (
    AlphaSchedule as AlphaSchedule,
    check_balance as check_balance,
    refuse_imbalance as refuse_imbalance,
    scorers_of as scorers_of,
)
from .batch import Batch as Batch, Reader as Reader
from .diversity import DiversityExploration as DiversityExploration, NoveltyExploration as NoveltyExploration
from .exploration import (
    BehaviourExploration as BehaviourExploration,
    CalculationExploration as CalculationExploration,
    Exploration as Exploration,
    LengthExploration as LengthExploration,
)
from .judge import JudgeExploration as JudgeExploration
from .outcome import (
    OutcomeVerifier as OutcomeVerifier,
    OwnVerifier as OwnVerifier,
    Row as Row,
    load_object as load_object,
)
from .rubric import Rubric as Rubric
from .suite import RLSPRewards as RLSPRewards
