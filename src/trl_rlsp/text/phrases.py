"""Explicit final-answer phrases, and phrases that take an answer back. Linear time."""

from __future__ import annotations

import re
from collections import deque

from trl_rlsp.text.boxes import Region

MAX_PHRASES = 256
"""Only so many phrases, the last ones, are looked at."""

_WORD = re.compile(r"nswer|NSWER|####")
_PHRASE = re.compile(
    r"(?:(?P<final>final\s+answer|####)|answer)(?:\s+is(?:\s*:)?|\s*[:=]|(?<=####))\**[ \t]*\n?[ \t]*"
    r"(?P<rest>[^\n]{1,400})",
    re.IGNORECASE,
)
_FINAL = re.compile(r"(?<![A-Za-z])final\s{1,5}\Z", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.!?](?=\s|$)|\s(?:because|since|which)\b")
_DELIMITERS = re.compile(r"\$+|\\[()\[\]]|\*\*|`")
_NEGATIONS = (
    "not",
    "NOT",
    "Not",
    "n't",
    "never",
    "Never",
    "isnt",
    "instead",
    "rather",
    "except",
    "unlike",
    "\\ne",
    "≠",
)
_NEGATION_BEFORE = re.compile(
    r"(?:\b(?:not|never|cannot be|can't be|isn't|isnt|wasn't|aren't|instead of|rather than|except|unlike)"
    r"|\\(?:ne|neq|not)|≠)\s*(?:equal\s+to\s*|simply\s*|just\s*)?(?:the\s+answer\s*(?:is)?\s*)?[$\\(\[\s:]*$",
    re.IGNORECASE,
)
_RETRACTION_AFTER = re.compile(
    r"^[\s$.,;)\]\\!*-]*(?:(?:this|that|it|the answer|which)\s+)?(?:"
    r"(?:is|was|seems|looks|must be|can'?t be|cannot be|isn'?t|wasn'?t)\s+(?:obviously\s+|clearly\s+|also\s+)?"
    r"(?:wrong|incorrect|false|not\b|(?:right|correct|the (?:right |correct |final )?answer)(?<=n't right|not right))"
    r"|(?:is|was)n'?t\b|no,?\s*wait\b|no[,.]\s|scratch that|never ?mind|oops|just kidding|is a guess and wrong"
    r"|(?:or|and|xor)\s+(?:maybe\s+|perhaps\s+|possibly\s+)?[$\\(]*-?[\d\\])",
    re.IGNORECASE,
)


def find_phrases(text: str, start: int = 0) -> list[Region]:
    """Explicit answer phrases: all that say `final`, else only the last `the answer is ...`."""
    firsts = [at for mark in ("nswer", "NSWER", "####") if (at := text.find(mark, start)) >= 0]
    if not firsts:
        return []
    found = []
    for word in deque(_WORD.finditer(text, min(firsts)), maxlen=MAX_PHRASES):
        match = _PHRASE.match(text, _phrase_start(text, word.start(), start))
        if match and (region := _phrase_region(match)).answer:
            found.append(region)
    final = [region for region in found if region.final]
    return final or found[-1:]


def _phrase_start(text: str, at: int, start: int) -> int:
    """Where a phrase with `nswer` or `####` at `at` begins: at `final` if that comes before `answer`."""
    if text[at] == "#":
        return at
    before = _FINAL.search(text, max(start, at - 12), at - 1)
    return before.start() if before else max(start, at - 1)


def _phrase_region(match: re.Match[str]) -> Region:
    rest = match.group("rest")
    stop = _SENTENCE_END.search(rest)
    if stop:
        rest = rest[: stop.start()]
    if "\\boxed" in rest or "\\fbox" in rest:
        return Region(match.start(), match.end(), "")  # the box speaks for itself
    answer = _DELIMITERS.sub("", rest).strip().rstrip(".,;:!")
    return Region(match.start(), match.start("rest") + len(rest), answer, final=match.group("final") is not None)


def retracted(text: str, start: int, end: int) -> bool:
    """Whether the words around the answer at [start, end) deny it or add an alternative.

    >>> retracted("7 is wrong", 0, 1), retracted("7 is right", 0, 1)
    (True, False)
    """
    before, after = text[max(0, start - 60) : start], text[end : end + 60]
    denied = any(word in before for word in _NEGATIONS) and _NEGATION_BEFORE.search(before)
    return bool(denied or _RETRACTION_AFTER.search(after))
