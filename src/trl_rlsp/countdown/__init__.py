"""What only the countdown toy needs: its searches written out and read back, and a model small enough for a laptop.

Knows nothing of data sources, verdicts and training.
"""

from trl_rlsp.countdown.search import count_attempts, search_demonstrations, written_search
from trl_rlsp.countdown.search_trace import SearchStep, SearchTrace, read_search

__all__ = ["SearchStep", "SearchTrace", "count_attempts", "read_search", "search_demonstrations", "written_search"]
