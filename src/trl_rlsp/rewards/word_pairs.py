"""Pairs of neighbouring content words: what is compared of completions that do not calculate.

Pairs are unordered and leave out function words, so that a sentence turned round stays the same. Words that only one
member of a group uses do not count, nor do completions that have next to nothing in common with their group: that is
what gibberish looks like from outside. Knows nothing of completions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

from trl_rlsp.text.effective_length import units

UNITS_PER_STEP = 6
"""Units of text that weigh as much as one calculation: `3 * 4 = 12 |` has six."""

ON_TOPIC = 0.1
"""Share of its pairs that a completion has in common with its group; below it, novelty fades to nothing."""

MAX_PAIRS = 2000
"""Distinct pairs of one completion that are compared."""

_FUNCTION_WORDS = """
a an the and or but so then thus hence therefore now next first finally also again let us we i you it its this that
these those there here is are was were be been being have has had do does did can could will would should may might
must of to in on at by for from with as if because since when which what who not no yes get gets got give gives make
makes take takes s t re ll ve
"""
_LEFT_OUT = frozenset(_FUNCTION_WORDS.split())

Pairs = frozenset[tuple[str, str]]
"""Unordered pairs of neighbouring content words."""


@lru_cache(maxsize=4096)
def word_pairs(text: str) -> Pairs:
    """The first `MAX_PAIRS` distinct pairs of neighbouring content words of `text`, either way round.

    Example:
        >>> sorted(word_pairs("Half of the base times the height"))
        [('base', 'half'), ('base', 'times'), ('height', 'times')]
    """
    words = [unit for unit in units(text) if unit[0].isalnum() and unit not in _LEFT_OUT]
    pairs = dict.fromkeys((a, b) if a <= b else (b, a) for a, b in pairwise(words))
    return frozenset(list(pairs)[:MAX_PAIRS])


class WordPairGroup:
    """A group compared by its pairs.

    Args:
        sets: the pairs of each member.
        prompt: the problem; its words count as known.
    """

    def __init__(self, sets: Sequence[Pairs], prompt: str) -> None:
        self.sets = sets
        self.counts = Counter(pair for pairs in sets for pair in pairs)
        users = Counter(word for pairs in sets for word in {word for pair in pairs for word in pair})
        self.known = {word for word, number in users.items() if number > 1} | set(units(prompt))

    def value(self, place: int, K: float) -> float:
        """The reward of the member at `place`; K is in calculations."""
        own = self.sets[place]
        if not own:
            return 0.0
        shared = sum(self.counts[pair] > 1 for pair in own) / len(own)
        paid = [pair for pair in own if pair[0] in self.known and pair[1] in self.known]
        new = novelty(paid, self.counts, len(self.sets))
        return min(1.0, shared / ON_TOPIC) * new / (len(paid) + UNITS_PER_STEP * K)


def novelty(own: Collection[Any], counts: Mapping[Any, int], members: int) -> float:
    """Number of elements of `own`, each weighted by the share of the other members that lack it.

    Args:
        own: the elements of one member.
        counts: for each element, how many members have it.
        members: size of the group; one alone has nothing that is new.

    Example:
        >>> novelty("ab", {"a": 3, "b": 1}, members=3)  # a is everyone's, b is nobody else's
        1.0
    """
    if members < 2:
        return 0.0
    return len(own) - sum(counts[element] - 1 for element in own) / (members - 1)
