"""Decontamination: problems of the evaluation sets never become demonstrations or training problems.

A problem is contaminated if a held-out set has

- the same problem by `problem_key`: for generated tasks the numbers and the target, whatever their order; else the
  text without case and blanks; or
- a problem that shares more than half of its n-grams of 8 units with it, in either direction, where both are texts
  that somebody wrote. Generated problems come from one template and are compared by identity alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from trl_rlsp.selfplay.judging import asked, key_of
from trl_rlsp.text.ngrams import Gram, ngrams, share_in, words

NGRAM = 8
"""Units of an n-gram, as in the decontamination of Tülu 3 (2411.15124, section 3.2)."""

OVERLAP = 0.5
"""Share of n-grams from which on two problems are taken for the same."""


class HeldOut:
    """The problems of the evaluation sets.

    Args:
        rows: as `load_problems` gives them.
    """

    def __init__(self, rows: Iterable[Mapping[str, Any]]) -> None:
        self.keys: set[str] = set()
        self.grams: list[frozenset[Gram]] = []
        self.where: dict[Gram, list[int]] = {}
        for row in rows:
            self.keys |= {key_of(row), _text_key(row)}
            if not row.get("task"):
                self._add(ngrams(words(asked(row["prompt"])), NGRAM))

    def _add(self, grams: frozenset[Gram]) -> None:
        for gram in grams:
            self.where.setdefault(gram, []).append(len(self.grams))
        self.grams.append(grams)

    def __len__(self) -> int:
        return len(self.keys)

    def has(self, row: Mapping[str, Any]) -> bool:
        """Whether a problem is one of them, or close to one.

        Args:
            row: `prompt`, and `task` where it is a generated problem.
        """
        if key_of(row) in self.keys or _text_key(row) in self.keys:
            return True
        if row.get("task"):
            return False
        grams = ngrams(words(asked(row["prompt"])), NGRAM)
        close = {number for gram in grams for number in self.where.get(gram, ())}
        return any(max(share_in(grams, self.grams[n]), share_in(self.grams[n], grams)) > OVERLAP for n in close)


def _text_key(row: Mapping[str, Any]) -> str:
    return " ".join(words(asked(row["prompt"])))
