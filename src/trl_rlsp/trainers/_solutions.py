"""Right solutions of the training problems, and how much of one a group is shown.

As in AdaBack (2506.18110), each problem has a share of its own that grows after failure and shrinks after success.
Here it moves in proportion to the distance of the solve rate from one half, where a group teaches most, and a problem
seen for the first time starts where the others stand, because in a short run most problems are seen once.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from itertools import takewhile
from typing import Any

from trl_rlsp.errors import ConfigError, SourceError
from trl_rlsp.problems import load_demonstrations, problem_key
from trl_rlsp.text import folded_words, ngrams

log = logging.getLogger(__name__)

FIRST = 0.5  # the share shown before any group has been scored
TARGET = 0.5  # the solve rate at which the share stays as it is
STEP = 0.5  # change of the share for each unit of distance from the target


class Solutions:
    """Solutions in a column of the training data (a text or several), or from a source of `load_demonstrations`."""

    def __init__(self, source: str, rows: Any) -> None:
        columns = getattr(rows, "column_names", None) or ()
        self.column = source if source in columns else None
        self.texts: dict[str, list[str]] = {}
        if self.column is not None:
            return
        try:
            found = load_demonstrations(source, style="prompt_completion", drop_invalid=True)
        except SourceError as error:
            rule = f"frontier_solutions is a column of the training data ({', '.join(columns)}) or demonstrations"
            raise ConfigError(f"{rule}, got {source!r}: {error}") from error
        for row in found:
            self.texts.setdefault(problem_key(row), []).append(row["completion"][0]["content"])
        self._report(source, rows)

    def _report(self, source: str, rows: Any) -> None:
        """Log how many of the training problems have a solution; ConfigError if none has."""
        if not hasattr(rows, "__len__"):
            return
        having = sum(problem_key({"prompt": prompt}) in self.texts for prompt in rows["prompt"])
        if not having:
            message = f"no problem of the training data has a solution in {source!r}"
            raise ConfigError(f"{message}: problems are compared by their last user message, or name a column")
        log.info("%s has solutions of %d of the %d training problems", source, having, len(rows))

    def of(self, row: Mapping[str, Any]) -> list[str]:
        """The solutions of a row of the training data, in a fixed order."""
        if self.column is None:
            return self.texts.get(problem_key({"prompt": row["prompt"]}), [])
        found = row.get(self.column) or []
        return [found] if isinstance(found, str) else list(found)


def pieces(reasoning: str, joint: str, *, answer: str, prompt: str) -> list[str]:
    r"""What may be shown of the reasoning before an answer, cut after each line and each `joint`.

    The last piece is left out, and so is everything from the first one on that states the answer (unless the prompt
    does) or opens a block of code.

    >>> pieces("8 + 9 = 17 | 8 * 9 = 72 | 72 it is", " | ", answer="72", prompt="Make it.")
    ['8 + 9 = 17 | ']
    """
    found = re.split(rf"(?<=\n)(?!\n)|(?<={re.escape(joint)})", reasoning.rstrip())[:-1]
    hidden = folded_words(answer)
    stated = hidden in ngrams(folded_words(prompt), len(hidden))

    def allowed(piece: str) -> bool:
        return "```" not in piece and (stated or hidden not in ngrams(folded_words(piece), len(hidden)))

    return list(takewhile(allowed, found))


def empty_memory() -> dict[str, Any]:
    """What `share_of` and `learn` remember, for JSON: the share of each problem, and the mean of the last ones."""
    return {"typical": FIRST, "problems": {}}


def share_of(memory: Mapping[str, Any], problem: str) -> float:
    """How much is shown of a solution of a problem, from 0 to 1."""
    return memory["problems"].get(problem, memory["typical"])


def learn(memory: dict[str, Any], groups: Iterable[tuple[str, bool, float]]) -> None:
    """Move the shares by the groups of a generation: problem, whether it could be shown a part, and its solve rate.

    A problem that is solved at the target rate without being shown anything is not shown anything again, until a group
    that could be shown a part fails.
    """
    moved = {}
    for problem, led, rate in groups:
        if led:
            share = share_of(memory, problem) + STEP * (TARGET - rate)
            moved[problem] = memory["problems"][problem] = min(max(share, 0.0), 1.0)
        elif rate >= TARGET:
            memory["problems"][problem] = 0.0
    if moved:
        memory["typical"] = sum(moved.values()) / len(moved)
