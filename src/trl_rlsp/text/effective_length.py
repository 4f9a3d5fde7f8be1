"""Which part of a completion counts as exploration: the known ways to fake effort, priced at zero.

Length is counted in *units* of text (a word, a number, a punctuation mark, one CJK character), not in tokens: a unit
count cannot be raised by invisible characters, odd spellings or digits glued together, and old completions can be
scored without their tokenizer. In English mathematics a unit is about one token. What does not count:

- everything from the final answer on, and the whole of a completion without exactly one final answer;
- units inside an n-gram that the completion, or its prompt, already contained (2502.03373, section 4.2, uses
  n-grams of 40 tokens; here 6, because whole sentences said twice would pass under 40);
- sentences and lines that the completion, or its prompt, already contained, however short; the order of their words
  does not make one without digits new;
- the first saying, too, of what is said three times: that is a loop;
- more numbers in a row than a list of six or so (`1, 2, 3, ...`);
- words in a script that the prompt does not use, pictures, and words of more than 24 letters (blanks left out);
- invisible characters and combining marks.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence, Set
from functools import lru_cache
from typing import Any

from trl_rlsp.text.completion import completion_text, parse_completion
from trl_rlsp.text.scripts import LOOKALIKES, is_foreign, scripts_of

MAX_CHARS = 400_000
"""Characters of a completion that are looked at; far beyond any context in use, it bounds the work."""

LONGEST_WORD = 24
"""Letters of the longest word that counts."""

LOOP = 3
"""Sayings from which on not even the first one counts."""

_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
_UNIT = re.compile(rf"[{_CJK}]|[^\W{_CJK}]+|[^\w\s]")
_SEPARATORS = frozenset(",;.:|")
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
    fresh = [len(unit) <= LONGEST_WORD for unit in sequence]
    _strike_repeated_segments(text, fresh, before)
    _strike_repeated_grams(_keys(sequence), fresh, ngram, _keys(units(before)))
    _strike_enumerations(sequence, fresh, 2 * ngram)
    _strike_foreign(sequence, fresh, before)
    return sum(fresh)


def _strike_repeated_grams(keys: list[str], fresh: list[bool], size: int, earlier: list[str]) -> None:
    known = {tuple(earlier[i : i + size]) for i in range(len(earlier) - size + 1)}
    spans = [slice(i, i + size) for i in range(len(keys) - size + 1)]
    _strike([tuple(keys[span]) for span in spans], spans, fresh, known)


def _strike_repeated_segments(text: str, fresh: list[bool], before: str) -> None:
    known = {_content(segment) for segment in _segments(before)} if before else set()
    segments, spans, position = _segments(text), [], 0
    for segment in segments:
        spans.append(slice(position, position + len(segment)))
        position += len(segment)
    _strike([_content(segment) for segment in segments], spans, fresh, known)


def _strike(
    pieces: Sequence[tuple[str, ...]], spans: Sequence[slice], fresh: list[bool], known: Set[tuple[str, ...]]
) -> None:
    """Strike every repetition, everything `known`, and the first saying of what is said `LOOP` times."""
    said: dict[tuple[str, ...], list[slice]] = {}
    for piece, span in zip(pieces, spans, strict=True):
        sayings = said.setdefault(piece, [])
        if len(sayings) < LOOP:
            sayings.append(span)
        repeated = piece in known or len(sayings) > 1
        for where in ([span] if repeated else []) + (sayings[:1] if len(sayings) == LOOP else []):
            fresh[where] = [False] * (where.stop - where.start)


def _strike_enumerations(sequence: list[str], fresh: list[bool], most: int) -> None:
    """Strike runs of more than `most` numbers and separators, whatever the numbers are."""
    start = 0
    for i in range(len(sequence) + 1):
        if i < len(sequence) and (sequence[i] in _SEPARATORS or sequence[i].isdecimal()):
            continue
        if i - start > most:
            fresh[start:i] = [False] * (i - start)
        start = i + 1


def _strike_foreign(sequence: list[str], fresh: list[bool], before: str) -> None:
    """Strike foreign words and pictures, and the signs that follow them; nothing where the prompt has no letters."""
    known = scripts_of(before)
    strange = False
    for i, unit in enumerate(sequence if known else ()):
        strange = is_foreign(unit, known) or (strange and not unit[0].isalnum())
        fresh[i] = fresh[i] and not strange


def _content(segment: tuple[str, ...]) -> tuple[str, ...]:
    """What makes a sentence the same: its units, in any order where there is no number among them."""
    return segment if any(unit[0].isdigit() for unit in segment) else tuple(sorted(segment))


def _segments(text: str) -> list[tuple[str, ...]]:
    """Sentences and lines of `text`, in keys of units."""
    return [tuple(_keys(_UNIT.findall(segment))) for segment in _SEGMENT.split(visible(text).lower())]


def _keys(sequence: list[str]) -> list[str]:
    """Units as they are compared: full-width, bold and lookalike letters are the letters they look like."""
    return [
        unit if unit.isascii() else unicodedata.normalize("NFKC", unit).lower().translate(LOOKALIKES)
        for unit in sequence
    ]


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
