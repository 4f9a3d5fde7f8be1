"""Texts as sequences of words, and how much two of them share."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence, Set

from trl_rlsp.text import effective_length

Gram = tuple[str, ...]


def words(text: str) -> Gram:
    """Words of a text as they are compared: without case, blanks and invisible characters.

    Example:
        >>> words("So  X = 3.5")
        ('so', 'x', '=', '3', '.', '5')
    """
    return tuple(effective_length.words(unicodedata.normalize("NFKC", text)))


def ngrams(sequence: Sequence[str], size: int) -> frozenset[Gram]:
    """The runs of `size` words; the whole sequence where it is shorter, nothing of nothing.

    Example:
        >>> sorted(ngrams(("a", "b", "c"), 2))
        [('a', 'b'), ('b', 'c')]
    """
    if len(sequence) <= size:
        return frozenset([tuple(sequence)]) if sequence else frozenset()
    return frozenset(tuple(sequence[i : i + size]) for i in range(len(sequence) - size + 1))


def share_in(grams: Set[Gram], others: Set[Gram]) -> float:
    """Share of `grams` that `others` has; 0 of nothing.

    Example:
        >>> share_in({("a",), ("b",)}, {("b",), ("c",)})
        0.5
    """
    return len(grams & others) / len(grams) if grams else 0.0


def distance(grams: Set[Gram], others: Set[Gram]) -> float:
    """Jaccard distance, 0 for the same set and 1 for sets that share nothing.

    Example:
        >>> distance({("a",), ("b",)}, {("b",)})
        0.5
    """
    union = len(grams | others)
    return 1 - len(grams & others) / union if union else 0.0
