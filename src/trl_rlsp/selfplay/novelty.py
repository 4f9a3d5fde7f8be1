"""Is a trace new, or one of the demonstrations that the model was trained on said again?

A trace is known if, among the demonstrations,

- one has the same text (without case and blanks), or
- one for the same problem has the same search path: the same operations in the same order, whatever is written around
  them (`trl_rlsp.countdown.search_trace`), or
- one for the same problem has at least `1 - novelty` of its n-grams of 8 units.

Demonstrations of other problems count for the first rule only: two searches of different problems share their sums.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from trl_rlsp.countdown.search_trace import read_search
from trl_rlsp.errors import ConfigError
from trl_rlsp.selfplay.judging import asked
from trl_rlsp.text.completion import parse_completion
from trl_rlsp.text.ngrams import Gram, ngrams, share_in, words

NGRAM = 8
"""Units of an n-gram."""

Path = tuple[tuple[str, int], ...]


class Demonstrated:
    """The demonstrations of a run, and what is new against them.

    Args:
        rows: `prompt` (text or messages) and `reasoning` (the completion) of each.
        novelty: least share of a trace's n-grams that every demonstration of its problem must lack, 0 to 1; 0 refuses
            the same text and the same path only.

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
            reasoning = parse_completion(row["reasoning"]).reasoning
            self.texts.add(words(reasoning))
            self.by_problem.setdefault(asked(row["prompt"]), []).append(reasoning)

    def known(self, prompt: Any, reasoning: str) -> str | None:
        """Why a trace is not new; `None` if it is.

        Args:
            prompt: text or messages of its problem.
            reasoning: what it writes before its answer.

        Returns:
            `same text as a demonstration`, `same search as a demonstration`, `close to a demonstration`, or `None`.
        """
        said = words(reasoning)
        if said in self.texts:
            return "same text as a demonstration"
        others = self.by_problem.get(asked(prompt), [])
        path = search_path(reasoning) if others else ()
        if path and any(search_path(other) == path for other in others):
            return "same search as a demonstration"
        grams = ngrams(said, NGRAM)
        overlap = max((share_in(grams, ngrams(words(other), NGRAM)) for other in others), default=0.0)
        return "close to a demonstration" if self.novelty > 0 and overlap > 1 - self.novelty else None


def search_path(text: str) -> Path:
    """Operations and results of a written-out search, in order; empty if there is none.

    Example:
        >>> search_path("First I add 6 and 3.")
        ()
        >>> [result for _, result in search_path("6 + 3 = 9 ? 18 no | 6 * 3 = 18 ? 18 yes")]
        [9, 18]
    """
    return tuple((step.expression, step.result) for step in read_search(text).steps)
