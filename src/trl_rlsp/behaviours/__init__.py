"""Search behaviours in completions: backtracking, verification, alternatives, self-correction, subgoals."""

from trl_rlsp.behaviours.changes import AnswerChanges, answer_changes, candidate_answers
from trl_rlsp.behaviours.classifier import BehaviourClassifier
from trl_rlsp.behaviours.counting import count_behaviours, find_behaviours, rate_per_1000
from trl_rlsp.behaviours.kinds import KINDS, MEANINGS, Behaviour, Kind
from trl_rlsp.behaviours.metrics import BehaviourMetrics
from trl_rlsp.countdown.search_trace import SearchStep, SearchTrace, read_search

__all__ = [
    "KINDS",
    "MEANINGS",
    "AnswerChanges",
    "Behaviour",
    "BehaviourClassifier",
    "BehaviourMetrics",
    "Kind",
    "SearchStep",
    "SearchTrace",
    "answer_changes",
    "candidate_answers",
    "count_behaviours",
    "find_behaviours",
    "rate_per_1000",
    "read_search",
]
