"""At most k traces of a problem: the shortest, or the most diverse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from trl_rlsp.errors import ConfigError
from trl_rlsp.selfplay.trace import Trace
from trl_rlsp.text.ngrams import distance, ngrams

Preference = Literal["shortest", "diverse"]

NGRAM = 4
"""Units of the n-grams that two traces are compared by."""


def select(traces: Sequence[Trace], most: int, prefer: Preference) -> list[int]:
    """Choose among the traces of one problem.

    Args:
        traces: traces without duplicates, in any order; the choice does not depend on it.
        most: how many to choose at most.
        prefer: `"shortest"` by units of reasoning; `"diverse"` starts with the shortest and then always takes the
            trace whose nearest neighbour among those taken is farthest (Jaccard distance of 4-grams).

    Returns:
        Indices of the chosen traces, in order of choice.

    Raises:
        ConfigError: `most` below 1, or an unknown preference.
    """
    if most < 1:
        raise ConfigError(f"per_problem is at least 1, got {most}")
    if prefer not in ("shortest", "diverse"):
        raise ConfigError(f"prefer is 'shortest' or 'diverse', got {prefer!r}")
    order = sorted(range(len(traces)), key=lambda i: (len(traces[i].words), traces[i].words, traces[i].reasoning))
    if prefer == "shortest" or most == 1:
        return order[:most]
    grams = [ngrams(trace.words, NGRAM) for trace in traces]
    chosen, rest = order[:1], order[1:]
    while rest and len(chosen) < most:
        # the first of the farthest: ties go to the shorter trace
        farthest = max(rest, key=lambda i: min(distance(grams[i], grams[j]) for j in chosen))
        rest.remove(farthest)
        chosen.append(farthest)
    return chosen
