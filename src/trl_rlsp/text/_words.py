"""Words of a text, and how many of them count as exploration: known ways to fake effort count zero.

A word here is a word, a number, a punctuation mark or one CJK character: about one token each in English mathematics.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence, Set
from functools import cache, lru_cache
from itertools import chain, groupby
from typing import Any

from trl_rlsp.text._completion import Reading, completion_text, read

MAX_CHARS = 400_000  # characters of a completion that are read; bounds the work, far above any context in use
MAX_WORDS = 50_000  # words of a completion that are checked for novelty
LONGEST_WORD = 24  # characters of the longest word that counts
LOOP = 3  # number of occurrences at which even the first stops counting

Gram = tuple[str, ...]
Span = tuple[int, int]
Piece = tuple[Gram, int, int]  # words in the form compared, and their start and end in the sequence of all words

_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
_IS_CJK = re.compile(f"[{_CJK}]")
_WORD = re.compile(rf"[{_CJK}]|[^\W{_CJK}]+|[^\w\s]")
_SEPARATORS = ",;:.|-"
_OPERATORS = frozenset("=+-*/^<>\\×·÷−≤≥≠≈∗⋅")
_SEGMENT = re.compile(r"(?<=[.!?;])\s+|\n+")
_WRAPPED = re.compile(r"\\(?:text|textbf|textit|mathrm|mbox)\{([^{}\\]*)\}")
_DIGITS = re.compile(r"\d+")
_ASCII_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1b\x7f]+")
_BLANKS = "\u115f\u1160\u3164\uffa0\u2800"
_HIDDEN = ("Cf", "Cc", "Co", "Cn", "Mn", "Mc", "Me")
_LOOKALIKES = str.maketrans("аеорсухіјѕοαυν", "aeopcyxijsoauv")  # Cyrillic and Greek letters, the Latin lookalikes


def visible(text: str) -> str:
    """The first `MAX_CHARS` of `text` without control and format characters, blank letters or combining marks."""
    text = text[:MAX_CHARS]
    if text.isascii():
        return _ASCII_CONTROL.sub("", text)
    return "".join(map(_shown, unicodedata.normalize("NFC", text)))


@cache
def _shown(character: str) -> str:
    hidden = character in _BLANKS or unicodedata.category(character) in _HIDDEN
    return "" if hidden and not character.isspace() else character


def words(text: str) -> list[str]:
    """The words, numbers, punctuation marks and CJK characters of `text`, in lower case.

    >>> words("So x = 3.5, right?")
    ['so', 'x', '=', '3', '.', '5', ',', 'right', '?']
    """
    return _WORD.findall(visible(text).lower())


def folded_words(text: str) -> Gram:
    """Words of a text in the form used for comparison: full-width and other compatibility forms are unified (NFKC)."""
    return tuple(words(unicodedata.normalize("NFKC", text)))


def ngrams(sequence: Sequence[str], size: int) -> frozenset[Gram]:
    """All runs of `size` words; the whole sequence if it is shorter, none if it is empty."""
    shorter = [tuple(sequence)] if 0 < len(sequence) < size else []
    return frozenset(shorter or (gram for gram, _, _ in _grams(sequence, size)))


def distance(grams: Set[Gram], others: Set[Gram]) -> float:
    """Jaccard distance: 0 for equal sets, 1 for disjoint ones."""
    return 1 - len(grams & others) / len(grams | others) if grams or others else 0.0


def effective_length(completion: Any, *, prompt: Any = None, ngram: int = 6) -> int:
    """Number of words of reasoning that count as exploration (see `novel_words`); 0 without exactly one final answer.

    `completion` is a `Reading`, or text or messages that answer a math problem; `prompt` is text or messages.
    """
    reading = completion if isinstance(completion, Reading) else read(completion)
    return novel_words(reading.exploration, ngram=ngram, before=prompt_text(prompt)) if reading.finished else 0


def prompt_text(prompt: Any) -> str:
    """The text of a prompt given as a string or messages; empty for `None`."""
    if isinstance(prompt, Sequence) and not isinstance(prompt, str):
        return "\n".join(completion_text([{**message, "role": "assistant"}]) for message in prompt)
    return str(prompt or "")


def novel_words(text: str, *, ngram: int, before: str = "") -> int:
    """Number of novel words among the first `MAX_WORDS` of `text`. These do not count:

    - words inside an n-gram that `before` or the earlier text already contains (2502.03373, section 4.2, uses n-grams
      of 40 tokens; 6 words are usual here, because with 40 whole sentences could be repeated once);
    - repeated sentences and lines, however short; reordering the words of a sentence without digits does not make it
      novel;
    - n-grams without a calculation in which only a number changes (`Look at it 7 times.`, `x_7 = y_7`): counting loops;
    - anything that occurs three times, including its first occurrence: that is a loop;
    - runs of more than about six numbers (`1, 2, 3, ...`), or of twice as many numbers and single letters;
    - words in a script that the prompt does not use, emoji, and words of more than 24 letters (omitted spaces);
    - invisible characters, combining marks, and `\\text{}` around words.

    `ngram` is a number of words, at least 2; `before` is the prompt: copying it is repetition.

    >>> novel_words("try two . add three . try two .", ngram=3)
    6
    """
    segments, known = _segments(text), _segments(before)
    sequence = list(chain.from_iterable(segments))
    alike = {word: _folded(word) for word in {*sequence, *chain.from_iterable(known)}}
    keys, earlier = ([alike[word] for word in chain.from_iterable(part)] for part in (segments, known))
    fresh = [len(word) <= LONGEST_WORD for word in sequence]
    numbers = {word for word in alike if word in _SEPARATORS or word.isdecimal()}
    letters = {word for word in alike if len(word) == 1 and word.isalpha() and not _IS_CJK.match(word)}
    struck = chain(
        _repeated(_sentences(segments, alike), _sentences(known, alike)),
        _repeated(_grams(keys, ngram), _grams(earlier, ngram)),
        _repeated(_counted(keys, ngram)),
        _runs(map(numbers.__contains__, sequence), longer_than=2 * ngram),
        _runs(map((numbers | letters).__contains__, sequence), longer_than=4 * ngram),
        _runs(_foreign(sequence, before)),
    )
    for start, end in struck:
        fresh[start:end] = [False] * (end - start)
    return sum(fresh)


def _segments(text: str) -> list[list[str]]:
    """The words of each sentence or line, `MAX_WORDS` in all."""
    found: list[list[str]] = []
    room = MAX_WORDS
    for segment in _SEGMENT.split(_WRAPPED.sub(r" \1 ", visible(text).lower())):
        found.append(_WORD.findall(segment)[:room])
        room -= len(found[-1])
    return found


def _folded(word: str) -> str:
    """A word in the form compared: full-width, bold and lookalike letters become the letters they resemble."""
    return word if word.isascii() else unicodedata.normalize("NFKC", word).lower().translate(_LOOKALIKES)


def _grams(keys: Sequence[str], size: int) -> Iterator[Piece]:
    return ((gram, i, i + size) for i, gram in enumerate(zip(*(keys[i:] for i in range(size)), strict=False)))


def _sentences(segments: list[list[str]], alike: dict[str, str]) -> Iterator[Piece]:
    """Sentences and lines, with the words sorted in those without a number."""
    end = 0
    for segment in filter(None, segments):
        keys = [alike[word] for word in segment]
        start, end = end, end + len(keys)
        yield tuple(keys if any(key[0].isdigit() for key in keys) else sorted(keys)), start, end


def _counted(keys: list[str], size: int) -> Iterator[Piece]:
    """N-grams without a calculation, with `#` in place of their numbers.

    They have a letter, a digit, and either no operator or no number outside a name (`x_1 + y_1 = z_1`).
    """
    masks = {key: _DIGITS.sub("#", key) for key in set(keys)}
    signs = {key: _sign(mask) for key, mask in masks.items()}
    within = f".{{0,{size - 1}}}"
    loop = rf"(?={within}[#db])(?={within}[lb])(?=[^o]{{{size}}}|[^#]{{{size}}})"
    for match in re.finditer(loop, "".join(signs[key] for key in keys)):
        start, end = match.start(), match.start() + size
        yield tuple(masks[key] for key in keys[start:end]), start, end


def _sign(mask: str) -> str:
    """The class of a word: number (#), operator (o), with digits (d), letters (l), both (b) or neither (.)."""
    if mask == "#" or mask in _OPERATORS:
        return "#" if mask == "#" else "o"
    digits, letters = "#" in mask, any(map(str.isalpha, mask))
    return "b" if digits and letters else "d" if digits else "l" if letters else "."


def _repeated(pieces: Iterable[Piece], before: Iterable[Piece] = ()) -> Iterator[Span]:
    """Spans of repetitions; also first occurrences of pieces that are in `before` or occur `LOOP` times."""
    known, spans = {piece for piece, _, _ in before}, defaultdict(list)
    for piece, start, end in pieces:
        spans[piece].append((start, end))
    for piece, found in spans.items():
        yield from found if piece in known or len(found) >= LOOP else found[1:]


def _runs(marks: Iterable[bool], longer_than: int = 0) -> Iterator[Span]:
    """Spans of more than `longer_than` marked words in a row."""
    end = 0
    for marked, run in groupby(marks):
        start, end = end, end + len(list(run))
        if marked and end - start > longer_than:
            yield start, end


def _foreign(sequence: list[str], before: str) -> Iterator[bool]:
    """For each word, whether it is foreign, an emoji, or a sign after one; all false if the prompt has no letters."""
    known, strange = _scripts_of(before), False
    foreign = {word: known != set() and _is_foreign(word, known) for word in set(sequence)}
    for word in sequence:
        strange = foreign[word] or (strange and not word[0].isalnum())
        yield strange


@lru_cache(maxsize=4096)
def _script_of(character: str) -> str | None:
    """The script of a letter or non-ASCII digit, from its Unicode name; Chinese, Japanese and Korean share one."""
    if not character.isalpha() and (character.isascii() or unicodedata.category(character) != "Nd"):
        return None
    script = unicodedata.name(character, "UNNAMED").split()[0]
    return "CJK" if script in ("HIRAGANA", "KATAKANA", "HANGUL") else script


def _scripts_of(text: str) -> Set[str]:
    return {script for script in map(_script_of, set(text)) if script is not None}


def _is_foreign(word: str, known: Set[str]) -> bool:
    """Whether a word is an emoji or in a script not in `known`; Latin, single Greek letters and signs never are."""
    scripts = _scripts_of(word) - known - {"LATIN"} - ({"GREEK"} if len(word) == 1 else set())
    return not word.isascii() and (scripts != set() or unicodedata.category(word[0]) in ("So", "Sk"))
