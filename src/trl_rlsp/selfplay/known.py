"""What a harvest must not contain: problems of the evaluation sets, and traces that the model was trained on.

A problem is contaminated if a held-out set has

- the same problem by `problem_key`: for generated tasks the numbers and the target, whatever their order; else the
  text without case and blanks; or
- a problem that shares more than half of its n-grams of 8 words with it, in either direction, where both are texts
  that somebody wrote. Generated problems come from one template and are compared by identity alone.

A trace is known if, among the demonstrations,

- one has the same text (without case and blanks), or
- one for the same problem has the same search path: the same operations in the same order, whatever is written around
  them (`trl_rlsp.countdown.search_trace`), or
- one for the same problem has at least `1 - novelty` of its n-grams of 8 words.

Demonstrations of other problems count for the first rule only: two searches of different problems share their sums.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from trl_rlsp.countdown.search_trace import read_search
from trl_rlsp.errors import ConfigError
from trl_rlsp.runs import question
from trl_rlsp.selfplay.judging import key_of
from trl_rlsp.text import Gram, folded_words, ngrams, read, share_in

NGRAM = 8
"""Words of an n-gram, as in the decontamination of Tülu 3 (2411.15124, section 3.2)."""

OVERLAP = 0.5
"""Share of n-grams above which two problems are taken for the same."""


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
                self._add(ngrams(folded_words(question(row["prompt"])), NGRAM))

    def _add(self, grams: frozenset[Gram]) -> None:
        for gram in grams:
            self.where.setdefault(gram, []).append(len(self.grams))
        self.grams.append(grams)

    def __len__(self) -> int:
        return len(self.keys)

    def has(self, row: Mapping[str, Any]) -> bool:
        """Whether a problem (`prompt`, and `task` where it is generated) is one of them, or close to one."""
        if key_of(row) in self.keys or _text_key(row) in self.keys:
            return True
        if row.get("task"):
            return False
        grams = ngrams(folded_words(question(row["prompt"])), NGRAM)
        close = {number for gram in grams for number in self.where.get(gram, ())}
        return any(max(share_in(grams, self.grams[n]), share_in(self.grams[n], grams)) > OVERLAP for n in close)


def _text_key(row: Mapping[str, Any]) -> str:
    return " ".join(folded_words(question(row["prompt"])))


class Demonstrated:
    """The demonstrations of a run, and what is new against them.

    Args:
        rows: `prompt` (text or messages) and `reasoning` (the completion) of each.
        novelty: smallest share of a trace's n-grams that every demonstration of its problem must lack, 0 to 1; 0
            refuses the same text and the same path only.

    Raises:
        ConfigError: a novelty out of its range.
    """

    def __init__(self, rows: Iterable[Mapping[str, Any]], *, novelty: float = 0.2) -> None:
        if not 0 <= novelty <= 1:
            raise ConfigError(f"novelty is a share between 0 and 1, got {novelty!r}")
        self.novelty = novelty
        self.texts: set[Gram] = set()
        self.by_problem: dict[str, list[str]] = {}
        for row in rows:
            reasoning = read(row["reasoning"]).reasoning
            self.texts.add(folded_words(reasoning))
            self.by_problem.setdefault(question(row["prompt"]), []).append(reasoning)

    def known(self, prompt: Any, reasoning: str) -> str | None:
        """Why a trace is not new: `same text`, `same search` or `close`, each `... a demonstration`; `None` if it is.

        Args:
            prompt: text or messages of its problem.
            reasoning: what it writes before its answer.
        """
        sequence = folded_words(reasoning)
        if sequence in self.texts:
            return "same text as a demonstration"
        others = self.by_problem.get(question(prompt), [])
        path = search_path(reasoning) if others else ()
        if path and any(search_path(other) == path for other in others):
            return "same search as a demonstration"
        grams = ngrams(sequence, NGRAM)
        overlap = max((share_in(grams, ngrams(folded_words(other), NGRAM)) for other in others), default=0.0)
        return "close to a demonstration" if self.novelty > 0 and overlap > 1 - self.novelty else None


def search_path(text: str) -> tuple[tuple[str, int], ...]:
    """Operations and results of a written-out search, in order; empty if there is none.

    Example:
        >>> [result for _, result in search_path("6 + 3 = 9 ? 18 no | 6 * 3 = 18 ? 18 yes")]
        [9, 18]
    """
    return tuple((step.expression, step.result) for step in read_search(text).steps)
