"""Search behaviors in completions: backtracking, verification, alternatives, self-correction, subgoals.

Promises linear time, and precision and recall that are measured on labeled snippets (`docs/behaviours.md`). Knows
nothing of rewards and runs; whether an answer is right it asks the caller.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trl_rlsp.lazy import attach

if TYPE_CHECKING:
    from trl_rlsp.behaviours._prose import KINDS, MEANINGS, Behaviour, Kind
    from trl_rlsp.behaviours.counting import (
        AnswerChanges,
        BehaviourMetrics,
        answer_changes,
        candidate_answers,
        count_behaviours,
        credited,
        find_behaviours,
        rate_per_1000,
    )

__getattr__, __all__ = attach(__name__, __file__)
