"""Search behaviours in completions: backtracking, verification, alternatives, self-correction, subgoals."""

from trl_rlsp.behaviours.counting import count_behaviours, find_behaviours, rate_per_1000
from trl_rlsp.behaviours.kinds import KINDS, MEANINGS, Behaviour, Kind
from trl_rlsp.behaviours.search_trace import SearchStep, SearchTrace, read_search

__all__ = [
    "KINDS",
    "MEANINGS",
    "Behaviour",
    "Kind",
    "SearchStep",
    "SearchTrace",
    "count_behaviours",
    "find_behaviours",
    "rate_per_1000",
    "read_search",
]
