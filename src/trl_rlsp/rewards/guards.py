"""Which part of a completion counts as exploration: the known ways to fake effort, priced at zero.

Length is counted in *units* of text (a word, a number, a punctuation mark, one CJK character), not in tokens: a unit
count cannot be raised by invisible characters, odd spellings or digits glued together, and old completions can be
scored without their tokenizer. In English mathematics a unit is about one token. What does not count:

- everything from the final answer on, and the whole of a completion without exactly one final answer;
- units inside an n-gram that the completion, or its prompt, already contained (2502.03373, section 4.2, uses
  n-grams of 40 tokens; here 6, because whole sentences said twice would pass under 40);
- sentences and lines that the completion, or its prompt, already contained, however short;
- invisible characters and combining marks.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from trl_rlsp.answers import completion_text, parse_completion

MAX_CHARS = 400_000
"""Characters of a completion that are looked at; far beyond any context in use, it bounds the work."""

_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
_UNIT = re.compile(rf"[{_CJK}]|[^\W{_CJK}]+|[^\w\s]")
_SEGMENT = re.compile(r"(?<=[.!?;])\s+|\n+")
_ASCII_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1b\x7f]+")
_BLANKS = "\u115f\u1160\u3164\uffa0\u2800"
_HIDDEN = ("Cf", "Cc", "Co", "Cn", "Mn", "Mc", "Me")


def visible(text: str) -> str:
    """The first `MAX_CHARS` of `text` without what adds nothing to read.

    Control and format characters other than white space, blank letters (Hangul fillers, the empty Braille cell), and
    combining marks that are not part of a composed letter, of which any number can be put on one letter.
    """
    text = text[:MAX_CHARS]
    if text.isascii():
        return _ASCII_CONTROL.sub("", text)
    composed = unicodedata.normalize("NFC", text)
    return "".join(c for c in composed if c.isspace() or not (c in _BLANKS or unicodedata.category(c) in _HIDDEN))


def units(text: str) -> list[str]:
    """Words, numbers, punctuation marks and CJK characters of `text`, in lower case.

    Example:
        >>> units("So x = 3.5, right?")
        ['so', 'x', '=', '3', '.', '5', ',', 'right', '?']
    """
    return _UNIT.findall(visible(text).lower())


def novel_units(text: str, *, ngram: int, before: str = "") -> int:
    """Units of `text` that stand neither in a repeated n-gram nor in a repeated sentence or line.

    Args:
        text: the reasoning.
        ngram: length of the n-grams in units, at least 2.
        before: text that came before (the prompt); copying it is repetition.

    Example:
        >>> novel_units("try 2 . try 3 . try 2 .", ngram=3)
        6
    """
    sequence = units(text)
    fresh = [True] * len(sequence)
    _strike_repeated_segments(text, fresh, before)
    earlier = units(before) if before else []
    seen = {tuple(earlier[i : i + ngram]) for i in range(len(earlier) - ngram + 1)}
    for i in range(len(sequence) - ngram + 1):
        gram = tuple(sequence[i : i + ngram])
        if gram in seen:
            fresh[i : i + ngram] = [False] * ngram
        else:
            seen.add(gram)
    return sum(fresh)


def _strike_repeated_segments(text: str, fresh: list[bool], before: str) -> None:
    seen = set(_segments(before)) if before else set()
    position = 0
    for segment in _segments(text):
        if segment in seen:
            fresh[position : position + len(segment)] = [False] * len(segment)
        seen.add(segment)
        position += len(segment)


def _segments(text: str) -> list[tuple[str, ...]]:
    """Sentences and lines of `text`, in units."""
    return [tuple(_UNIT.findall(segment)) for segment in _SEGMENT.split(visible(text).lower())]


def effective_length(completion: Any, *, prompt: Any = None, ngram: int = 6) -> int:
    """Units of reasoning that count as exploration; 0 without exactly one final answer.

    Args:
        completion: text or message list, as TRL passes it.
        prompt: text or message list; text copied from it does not count.
        ngram: length of the repeated n-grams that do not count, in units.
    """
    parsed = parse_completion(completion)
    if not parsed.finished:
        return 0
    return _cached_novel_units(parsed.reasoning, ngram, prompt_text(prompt))


@lru_cache(maxsize=4096)
def _cached_novel_units(reasoning: str, ngram: int, before: str) -> int:
    return novel_units(reasoning, ngram=ngram, before=before)


def prompt_text(prompt: Any) -> str:
    """All text of a prompt given as a string or as messages; empty for `None`."""
    if prompt is None or isinstance(prompt, str):
        return prompt or ""
    if isinstance(prompt, Sequence):
        return "\n".join(completion_text([{**message, "role": "assistant"}]) for message in prompt)
    return str(prompt)
