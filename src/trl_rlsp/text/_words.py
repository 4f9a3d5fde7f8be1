"""Which part of a completion counts as exploration: the known ways to fake effort, priced at zero.

Length is counted in *words* of text (a word, a number, a punctuation mark, one CJK character each count as one), not in
tokens: a word count cannot be raised by invisible characters, odd spellings or digits glued together, and old
completions can be scored without their tokenizer. In English mathematics a word is about one token. What does not
count:

- everything from the final answer on, and the whole of a completion without a final answer;
- words inside an n-gram that the completion, or its prompt, already contained (2502.03373, section 4.2, uses n-grams
  of 40 tokens; here 6, because whole sentences repeated once would pass under 40);
- sentences and lines that the completion, or its prompt, already contained, however short; the order of their words
  does not make one without digits new;
- n-grams that do not calculate in which only a number changes (`Look at it 7 times.`, `x_7 = y_7`): counted loops;
- the first occurrence, too, of what occurs three times: that is a loop;
- more numbers in a row than a list of six or so (`1, 2, 3, ...`), and twice as many with single letters among them;
- words in a script that the prompt does not use, pictures, and words of more than 24 letters (blanks left out);
- invisible characters, combining marks, and `\\text{}` around words.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence, Set
from functools import lru_cache
from itertools import accumulate, chain
from typing import Any

from trl_rlsp.text._completion import Reading, completion_text, read

MAX_CHARS = 400_000
"""Characters of a completion that are looked at; far beyond any context in use, it bounds the work."""

MAX_WORDS = 50_000
"""Words of a completion that are looked at for novelty."""

LONGEST_WORD = 24
"""Letters of the longest word that counts."""

LOOP = 3
"""Number of occurrences at which even the first stops counting."""

_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
_IS_CJK = re.compile(f"[{_CJK}]")
_WORD = re.compile(rf"[{_CJK}]|[^\W{_CJK}]+|[^\w\s]")
_SEPARATORS = frozenset(",;:.|-")
_OPERATORS = frozenset("=+-*/^<>\\×·÷−≤≥≠≈∗⋅")
_SEGMENT = re.compile(r"(?<=[.!?;])\s+|\n+")
_WRAPPED = re.compile(r"\\(?:text|textbf|textit|mathrm|mbox)\{([^{}\\]*)\}")
_DIGITS = re.compile(r"\d+")
_ASCII_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1b\x7f]+")
_BLANKS = "\u115f\u1160\u3164\uffa0\u2800"
_HIDDEN = ("Cf", "Cc", "Co", "Cn", "Mn", "Mc", "Me")


class _Visible(dict[int, str | None]):
    """For `str.translate`: what each character looks like, found at its first use."""

    def __missing__(self, code: int) -> str | None:
        character = chr(code)
        hidden = character in _BLANKS or unicodedata.category(character) in _HIDDEN
        shown = None if hidden and not character.isspace() else character
        return self.setdefault(code, shown)


_VISIBLE = _Visible()


def visible(text: str) -> str:
    """The first `MAX_CHARS` of `text` without what adds nothing to read.

    Control and format characters other than white space, blank letters (Hangul fillers, the empty Braille cell), and
    combining marks that are not part of a composed letter, of which any number can be put on one letter.
    """
    text = text[:MAX_CHARS]
    if text.isascii():
        return _ASCII_CONTROL.sub("", text)
    return unicodedata.normalize("NFC", text).translate(_VISIBLE)


def words(text: str) -> list[str]:
    """Words, numbers, punctuation marks and CJK characters of `text`, in lower case.

    Example:
        >>> words("So x = 3.5, right?")
        ['so', 'x', '=', '3', '.', '5', ',', 'right', '?']
    """
    return _WORD.findall(visible(text).lower())


def novel_words(text: str, *, ngram: int, before: str = "") -> int:
    """Words among the first `MAX_WORDS` of `text` that are new, see the list at the top of this module.

    Args:
        text: the reasoning.
        ngram: length of the n-grams in words, at least 2.
        before: text that came before (the prompt); copying it is repetition.

    Example:
        >>> novel_words("try two . add three . try two .", ngram=3)
        6
    """
    segments, known = _segments(text), _segments(before)
    sequence = list(chain.from_iterable(segments))
    alike = _alike({*sequence, *chain.from_iterable(known)})
    fresh = [len(word) <= LONGEST_WORD for word in sequence]
    _strike_repeated_segments(segments, known, alike, fresh)
    keys, earlier = [alike[word] for word in sequence], [alike[word] for word in chain.from_iterable(known)]
    _strike_repeated_grams(keys, earlier, fresh, ngram)
    _strike_counted_loops(keys, fresh, ngram)
    numbers = {word for word in alike if word in _SEPARATORS or word.isdecimal()}
    letters = {word for word in alike if len(word) == 1 and word.isalpha() and not _IS_CJK.match(word)}
    _strike_runs(sequence, fresh, numbers, 2 * ngram)
    _strike_runs(sequence, fresh, numbers | letters, 4 * ngram)
    _strike_foreign(sequence, fresh, before)
    return sum(fresh)


def _segments(text: str) -> list[list[str]]:
    """The words of each sentence or line, `MAX_WORDS` in all."""
    shown = visible(text).lower()
    if "\\" in shown:
        shown = _WRAPPED.sub(r" \1 ", shown)
    found: list[list[str]] = []
    room = MAX_WORDS
    for segment in _SEGMENT.split(shown):
        if room <= 0:
            break
        found.append(_WORD.findall(segment)[:room])
        room -= len(found[-1])
    return found


def _alike(distinct: Iterable[str]) -> dict[str, str]:
    """Words as they are compared: full-width, bold and lookalike letters are the letters they look like."""
    return {
        word: word if word.isascii() else unicodedata.normalize("NFKC", word).lower().translate(LOOKALIKES)
        for word in distinct
    }


def _grams(keys: Sequence[str], size: int) -> list[tuple[str, ...]]:
    return list(zip(*(keys[i:] for i in range(size)), strict=False))


def _strike_repeated_grams(keys: list[str], earlier: list[str], fresh: list[bool], size: int) -> None:
    grams = _grams(keys, size)
    _strike(grams, range(len(grams)), range(size, len(grams) + size), fresh, set(_grams(earlier, size)))


def _strike_counted_loops(keys: list[str], fresh: list[bool], size: int) -> None:
    """Strike what repeats but for its numbers, among n-grams that do not calculate.

    These have a letter, a digit, and no operator, or no number outside a name (`x_1 + y_1 = z_1`).
    """
    masks = {key: _DIGITS.sub("#", key) for key in set(keys)}
    masked = [masks[key] for key in keys]
    signs = {mask: (mask in _OPERATORS, mask == "#", "#" in mask, any(map(str.isalpha, mask))) for mask in set(masked)}
    operator = number = digit = letter = -1  # where each stood last
    grams, starts = [], []
    for i, mask in enumerate(masked):
        is_operator, is_number, has_digit, has_letter = signs[mask]
        operator = i if is_operator else operator
        number = i if is_number else number
        digit = i if has_digit else digit
        letter = i if has_letter else letter
        begin = i - size + 1
        if 0 <= begin <= digit and begin <= letter and (operator < begin or number < begin):
            starts.append(begin)
            grams.append(tuple(masked[begin : i + 1]))
    _strike(grams, starts, [start + size for start in starts], fresh, frozenset())


def _strike_repeated_segments(
    segments: list[list[str]], known: list[list[str]], alike: dict[str, str], fresh: list[bool]
) -> None:
    ends = list(accumulate(map(len, segments)))
    contents = [_content(segment, alike) for segment in segments]
    _strike(contents, [0, *ends], ends, fresh, {_content(segment, alike) for segment in known if segment})


def _content(segment: list[str], alike: dict[str, str]) -> tuple[str, ...]:
    """What makes a sentence the same: its words, in any order where there is no number among them."""
    keys = [alike[word] for word in segment]
    return tuple(keys if any(key[0].isdigit() for key in keys) else sorted(keys))


def _strike(
    pieces: Sequence[tuple[str, ...]],
    starts: Sequence[int],
    ends: Sequence[int],
    fresh: list[bool],
    known: Set[tuple[str, ...]],
) -> None:
    """Strike every repetition, everything `known`, and the first occurrence of what occurs `LOOP` times."""
    first: dict[tuple[str, ...], int] = {}
    again: Counter[tuple[str, ...]] = Counter()
    for i, piece in enumerate(pieces):
        before = first.setdefault(piece, i)
        if before < i:
            again[piece] += 1
            if again[piece] == LOOP - 1:
                _clear(fresh, starts[before], ends[before])
        if before < i or piece in known:
            _clear(fresh, starts[i], ends[i])


def _clear(fresh: list[bool], start: int, end: int) -> None:
    fresh[start:end] = [False] * (end - start)


def _strike_runs(sequence: list[str], fresh: list[bool], listed: Set[str], most: int) -> None:
    """Strike runs of more than `most` of the `listed` words, whatever they are."""
    start = 0
    for i in range(len(sequence) + 1):
        if i < len(sequence) and sequence[i] in listed:
            continue
        if i - start > most:
            _clear(fresh, start, i)
        start = i + 1


def _strike_foreign(sequence: list[str], fresh: list[bool], before: str) -> None:
    """Strike foreign words and pictures, and the signs that follow them; nothing where the prompt has no letters."""
    known = scripts_of(before)
    if not known:
        return
    foreign = {word: is_foreign(word, known) for word in set(sequence)}
    strange = False
    for i, word in enumerate(sequence):
        strange = foreign[word] or (strange and not word[0].isalnum())
        fresh[i] = fresh[i] and not strange


def effective_length(completion: Any, *, prompt: Any = None, ngram: int = 6) -> int:
    """Words of reasoning that count as exploration; 0 without a final answer.

    Args:
        completion: a `Reading`, or the text or message list of a completion to a mathematical problem.
        prompt: text or message list; text copied from it does not count.
        ngram: length of the repeated n-grams that do not count, in words.
    """
    reading = completion if isinstance(completion, Reading) else read(completion)
    if not reading.finished:
        return 0
    return novel_words(reading.exploration, ngram=ngram, before=prompt_text(prompt))


def prompt_text(prompt: Any) -> str:
    """All text of a prompt given as a string or as messages; empty for `None`."""
    if prompt is None or isinstance(prompt, str):
        return prompt or ""
    if isinstance(prompt, Sequence):
        return "\n".join(completion_text([{**message, "role": "assistant"}]) for message in prompt)
    return str(prompt)


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


Gram = tuple[str, ...]


def folded_words(text: str) -> Gram:
    """Words of a text as they are compared: without case, blanks and invisible characters.

    Example:
        >>> folded_words("So  X = 3.5")
        ('so', 'x', '=', '3', '.', '5')
    """
    return tuple(words(unicodedata.normalize("NFKC", text)))


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
