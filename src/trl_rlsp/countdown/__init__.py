"""What only the countdown toy needs: its searches written out and read back, and a model small enough for a laptop.

Promises: a search that is written here is read back exactly. Knows nothing of data sources, verdicts and training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trl_rlsp.lazy import attach

if TYPE_CHECKING:
    from trl_rlsp.countdown.search import (
        SearchStep,
        SearchTrace,
        count_attempts,
        read_search,
        search_demonstrations,
        written_search,
    )
    from trl_rlsp.countdown.tiny import CHAT_TEMPLATE, LARGEST_NUMBER, build_model, build_tokenizer

__getattr__, __all__ = attach(__name__, __file__)
