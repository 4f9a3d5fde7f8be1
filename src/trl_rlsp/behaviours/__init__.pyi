from ._prose import KINDS as KINDS, MEANINGS as MEANINGS, Behaviour as Behaviour, Kind as Kind
from .counting import (
    AnswerChanges as AnswerChanges,
    BehaviourMetrics as BehaviourMetrics,
    answer_changes as answer_changes,
    candidate_answers as candidate_answers,
    count_behaviours as count_behaviours,
    credited as credited,
    find_behaviours as find_behaviours,
)
