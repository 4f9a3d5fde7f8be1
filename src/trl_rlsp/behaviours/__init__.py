"""Search behaviors in completions: backtracking, verification, alternatives, self-correction, subgoals.

Promises linear time, and precision and recall that are measured on labeled snippets (`docs/behaviours.md`). Knows
nothing of rewards and runs; whether an answer is right it asks the caller.
"""

from trl_rlsp.behaviours.changes import AnswerChanges, answer_changes, candidate_answers, changes_of
from trl_rlsp.behaviours.counting import BehaviourMetrics, count_behaviours, find_behaviours, rate_per_1000
from trl_rlsp.behaviours.credit import credited
from trl_rlsp.behaviours.kinds import KINDS, MEANINGS, Behaviour, Kind

__all__ = [
    "KINDS",
    "MEANINGS",
    "AnswerChanges",
    "Behaviour",
    "BehaviourMetrics",
    "Kind",
    "answer_changes",
    "candidate_answers",
    "changes_of",
    "count_behaviours",
    "credited",
    "find_behaviours",
    "rate_per_1000",
]
