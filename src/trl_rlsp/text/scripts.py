"""Which writing systems a text uses: filler in a script that the problem does not use is not reasoning about it."""

from __future__ import annotations

import unicodedata
from collections.abc import Set
from functools import lru_cache

LOOKALIKES = str.maketrans("аеорсухіјѕοαυν", "aeopcyxijsoauv")
"""Cyrillic and Greek letters -> the Latin ones they pass for; for `str.translate`."""

_EAST_ASIAN = frozenset({"CJK", "HIRAGANA", "KATAKANA", "HANGUL"})


@lru_cache(maxsize=4096)
def script_of(character: str) -> str | None:
    """The script of a letter or a digit by the first word of its Unicode name; `None` for everything else.

    Chinese, Japanese and Korean characters share one, as they share texts. ASCII digits belong to every script.

    Example:
        >>> [script_of(character) for character in "aé\u0436\u4e09\uff11+1"]
        ['LATIN', 'LATIN', 'CYRILLIC', 'CJK', 'FULLWIDTH', None, None]
    """
    is_number = unicodedata.category(character) == "Nd" and not character.isascii()
    if not character.isalpha() and not is_number:
        return None
    script = unicodedata.name(character, "UNNAMED").split()[0]
    return "CJK" if script in _EAST_ASIAN else script


def scripts_of(text: str) -> frozenset[str]:
    """The scripts of all letters and digits of `text`.

    Example:
        >>> sorted(scripts_of("3 \u03b1 of x"))
        ['GREEK', 'LATIN']
    """
    return frozenset(script for script in map(script_of, set(text)) if script is not None)


def is_foreign(word: str, known: Set[str]) -> bool:
    """Whether a word has letters of a script outside `known`, or is a picture.

    Latin, the script of mathematics, is never foreign; nor is a Greek letter standing alone, or a mathematical sign.

    Example:
        >>> [is_foreign(word, {"LATIN"}) for word in ("wait", "w\u0430it", "\u03b1", "\u4e09", "\u2264", "\u2606")]
        [False, True, False, True, False, True]
    """
    if word.isascii():
        return False
    if unicodedata.category(word[0]) in ("So", "Sk"):
        return True
    scripts = scripts_of(word) - known - {"LATIN"}
    return bool(scripts) and not (len(word) == 1 and scripts == {"GREEK"})
