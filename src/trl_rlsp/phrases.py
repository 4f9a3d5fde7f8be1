"""Explicit final-answer phrases, and phrases that take an answer back. Linear time."""

from __future__ import annotations

import re

from trl_rlsp.boxes import Region

_PHRASE = re.compile(
    r"(?:(?P<final>\bfinal\s+answer|####)|\banswer)(?:\s+is(?:\s*:)?|\s*[:=]|(?<=####))\**[ \t]*\n?[ \t]*(?P<rest>[^\n]{1,400})",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"[.!?](?=\s|$)|\s(?:because|since|which)\b")
_DELIMITERS = re.compile(r"\$+|\\[()\[\]]|\*\*|`")
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
    lowered = (
        text.find("nswer", start) >= 0 or text.find("NSWER", start) >= 0 or text.find("####", start) >= 0
    )
    if not lowered:
        return []
    found = [_phrase_region(match) for match in _PHRASE.finditer(text, start)]
    found = [region for region in found if region.answer]
    final = [region for region in found if region.final]
    return final or found[-1:]


def _phrase_region(match: re.Match[str]) -> Region:
    rest = match.group("rest")
    stop = _SENTENCE_END.search(rest)
    if stop:
        rest = rest[: stop.start()]
    if "\\boxed" in rest or "\\fbox" in rest:
        return Region(match.start(), match.end(), "")  # the box speaks for itself
    answer = _DELIMITERS.sub("", rest).strip().rstrip(".,;:!")
    return Region(match.start(), match.end(), answer, final=match.group("final") is not None)


def retracted(text: str, start: int, end: int) -> bool:
    """Whether the words around the answer at [start, end) deny it or add an alternative.

    >>> retracted("7 is wrong", 0, 1), retracted("7 is right", 0, 1)
    (True, False)
    """
    before, after = text[max(0, start - 60) : start], text[end : end + 60]
    return bool(_NEGATION_BEFORE.search(before) or _RETRACTION_AFTER.search(after))
