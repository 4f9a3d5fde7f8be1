"""Answers that a text states in words, and the words that deny an answer or take it back. Linear time."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass

MAX_PHRASES = 256  # only so many phrases, the last ones, are looked at
LONGEST = 400  # characters in which a phrase must state its answer
_HEAD = re.compile(
    r"(?i)(?<!\w)(?:(?P<hashes>####)[ \t]*"
    r"|(?P<final>final\s{1,5})?(?<![\d_]final\s)(?P<word>answers?)"
    r"(?P<says>(?:\s+(?:to|for)\s[^.:\n$\\=]{1,60}?)?\s+(?:is|are|equals|will be|must be|should be)\b\s{0,3}:?"
    r"|[*_]{0,3}\s?[:=])?(?:\s+(?:of|as)\s)?[*_\s]{0,12})"
)
_FORMULA = re.compile(r"(?s)\$\$.{1,400}?\$\$|\$[^$\n]{1,400}\$|\\\[.{1,400}?\\\]|\\\([^\n]{1,400}?\\\)")
_SENTENCE_END = re.compile(
    r"[.!?](?=[\s*\"'<]|$)|\n|\s(?:because|since|which)\b|,\s+(?:as|so|where|not|rather|which)\b|<\|"
)
_DELIMITERS = re.compile(r"(?<!\\)\$+|\\[()\[\]]|\*\*|`")
_FILLER = re.compile(r"(?i)(?:(?:indeed|therefore|thus|simply|just|exactly|equal to|hence|given by|now|then)\b|:)\s*")
_IS_THE_ANSWER = re.compile(
    r"(?i),?\s*(?:\\(?:text\w*|mathrm|mbox)\s*\{)?\s*is\s+(?:the|our|my)\s+(?:final\s+|correct\s+)?(?:answer|solution|result)\.?\s*\}?\Z"
)
_SENTENCE = re.compile(
    r"(?is)(?:\\(?:text\w*|mathrm|mbox)\s*\{)?(?P<words>[A-Za-z][^{}\\]{0,120})(?:\b(?:is|are|equals)\b[\s:]*|(?<=answer)\s*:)"
    r"\s*(?P<close>\}?)\s*(?P<rest>\S.*)"
)
_VALUE_START = re.compile(r"-?\s*(?:\d|\\(?!text)|\$|\([^)]{1,3}\))")
_NO_VALUE = re.compile(
    r"(?i)(?:in)?(?:correct|valid|complete)\b|right\b|wrong\b|verified|confirmed|consistent|reasonable|clear\b"
    r"|as follows|below|above|obtained|found|given|boxed|in\s|unique\b(?!\s*\w)"
)
_WORD_IN_VALUE = re.compile(r"(?i)[^\W\d_]{3,}|\b(?:is|it|in|as|to|of|we|no|so|at|by|an|if)\b")
_LATEX = re.compile(r"\\(?:text|mathrm|textbf|mbox)\{[^{}]*\}|\\[A-Za-z]+|\b(?:sin|cos|tan|log|exp|sqrt|pi|inf)\b")
_REVERSED = re.compile(
    r"(?i)(?<!if )(?<!whether )(?<!that )"
    r"(?:\$([^$\n]{1,120})\$|\\\(([^\n]{1,120}?)\\\)|\*\*([^*\n]{1,60})\*\*|(?<![\w.$\\])(-?\d[\d.,/]*))"
    r"\s+is\s+(?:the|our|my)\s+(?:final\s+|correct\s+)?\Z"
)
NEGATION_BEFORE = re.compile(
    r"(?i)(?:\b(?:not|never|cannot be|can't be|isn't|isnt|wasn't|aren't|instead of|rather than|except|unlike)"
    r"|\banything\s+but|\bwrong,?\s+(?:and\s+)?so\s+is|(?:\A|[.!?\n]\s*)(?:wrong|incorrect|false)\s*:"
    r"|\b(?:wrong|incorrect|false)\s+(?:answer|guess|result|solution|value)\s+(?:is|was|would\s+be)\b\s*:?"
    r"|\\(?:ne|neq|not)|≠)\s*(?:equal\s+to\s*|simply\s*|just\s*)?(?:the\s+answer\s*(?:is)?\s*)?[$\\(\[\s:]*\Z"
)
TAKEN_BACK = re.compile(
    r"(?i)[\s$.,;)\]\\!?*(–—-]*(?:no,?\s*wait\b|no[,.]\s|scratch that|never ?mind|oops|just kidding"
    r"|actually,?\s+no\b|correction\s*:|i(?:'ve|\s+have)?\s+changed\s+my\s+mind|hmm+,?\s+rather\b"
    r"|is\s+(?:one|a)\s+(?:wrong\s+)?(?:candidate|guess)\b|would\s+be\s+a\s+guess|if\b[^.\n$]{1,40}\botherwise\b"
    r"|(?:(?:hmm+|wait|no|but|actually|well|oh|sorry|however|and)\b[\s,.!–—-]*){0,3}"
    r"(?:(?:this|that|it|the answer|which)(?:\s+|(?='s)))?(?:"
    r"(?:'s|is|was|seems|looks|must be|would be)\s+(?:\w+ly\s+|also\s+)?(?:wrong|incorrect|false|a guess and wrong)"
    r"|(?:(?:'s|is|was|seems)\s+(?:\w+ly\s+)?not|(?:is|was|does)n'?t|can'?t\s+be|cannot\s+be)\s+(?:\w+ly\s+|also\s+)?"
    r"(?:right|correct|true|possible|(?:the|our|my)\s+(?:right\s+|correct\s+|final\s+)?answer))\b)"
)
_ALTERNATIVE = re.compile(
    r"(?i)(?:[\s$.,;)\]\\!?*(–—-]*(?:or|and|xor)\s+|\s*\\text\w*\{\s*(?:or|and)\s*\}\s*)(?:maybe\s+|perhaps\s+|possibly\s+)?"
    r"(?:\$([^$\n]{1,80})\$|\\\((.{1,80}?)\\\)|(-?\d[\d.,/]*(?:\\?%)?|\\[dt]?frac\{\d+\}\{\d+\}))"
    r"|\s*[,;]\s*(-?\d[\d./]*)(?=\s*(?:\$|\\[)\]]|[,;]|\Z))"
)


@dataclass(frozen=True)
class Region:
    """A place in a text where a final answer is stated; `final`: it says of itself that it is final."""

    start: int
    end: int
    answer: str
    final: bool = True


def find_phrases(text: str, start: int = 0) -> list[Region]:
    """Phrases that say `final`, else only the last `the answer is ...`; of a phrase within a phrase the inner one."""
    firsts = [at for mark in ("nswer", "NSWER", "####") if (at := text.find(mark, start)) >= 0]
    if not firsts:
        return []
    last_line = text.rfind("\n", start, len(text.rstrip())) + 1
    found: list[Region] = []
    for head in deque(_HEAD.finditer(text, max(start, min(firsts) - 12)), maxlen=MAX_PHRASES):
        region = _after_head(text, head, last_line) or _before_head(text, head, start)
        if region is not None:
            if found and found[-1].end > region.start:
                found.pop()
            found.append(region)
    found = [region for region in found if region.answer]
    return [region for region in found if region.final] or found[-1:]


def _after_head(text: str, head: re.Match[str], last_line: int) -> Region | None:
    """`The answer is 12`."""
    at = head.end()
    formula = _FORMULA.match(text, at)
    stop = _SENTENCE_END.search(text, formula.end() if formula else at, at + LONGEST)
    end = stop.start() if stop else min(at + LONGEST, len(text))
    answer = _stated(text[at:end])
    if head["hashes"]:
        heading = text[text.rfind("\n", 0, head.start()) + 1 : head.start()].strip() or not is_bare_value(answer)
        answer = "" if heading and head.start() < last_line else answer
    elif not head["says"] and not (is_bare_value(answer) and (formula or "\n" in head.group() or head["final"])):
        return None
    return Region(head.start(), end, answer, final=bool(head["final"] or head["hashes"]))


def _before_head(text: str, head: re.Match[str], start: int) -> Region | None:
    """`12 is the answer`."""
    before = max(start, head.start() - 160)
    said = _REVERSED.search(text[before : head.start("word")]) if head["word"] else None
    if said is None or not is_bare_value(answer := next(filter(None, said.groups())).strip()):
        return None
    return Region(before + said.start(), head.start("word"), answer, final=False)


def _stated(rest: str) -> str:
    """The answer in what follows a phrase; empty where a box says it, or where nothing is stated."""
    if "\\boxed" in rest or "\\fbox" in rest or "<answer>" in rest.lower():
        return ""
    answer = _DELIMITERS.sub("", rest).strip().rstrip(".,;:!*").strip("\"' ")
    while filler := _FILLER.match(answer):
        answer = answer[filler.end() :]
    return "" if _NO_VALUE.match(answer) else without_words(answer)


def without_words(answer: str) -> str:
    """An answer without the sentence around it; unchanged where what is left is not a value, as in `It is not 12`."""
    if len(answer) > LONGEST or " " not in answer:
        return answer
    answer = _IS_THE_ANSWER.sub("", answer)
    sentence = _SENTENCE.match(answer)
    if sentence is None or re.search(r"\b(?:not|never|no|or|either|whether|if)\b", sentence["words"]):
        return answer
    rest = sentence["rest"]
    if not sentence["close"] and answer.startswith("\\"):  # the brace of `\text{There are 12 ways}`
        rest = rest.replace("}", "", 1)
    return rest if _VALUE_START.match(rest) or is_bare_value(rest) else answer


def is_bare_value(answer: str) -> bool:
    """Whether an answer is a value alone, without words: a fraction or `5 km`, not `the sum of both`."""
    return bool(answer) and len(answer) <= 200 and not _WORD_IN_VALUE.search(_LATEX.sub(" ", answer))


def alternative_after(text: str, end: int) -> list[Region]:
    """The unmarked value that follows an answer as an alternative: `or 8`, `and $8$`."""
    other = _ALTERNATIVE.match(text, end, end + 200)
    if other is None or (" and " in other.group() and text[other.end() : other.end() + 3].lstrip()[:1].isalpha()):
        return []
    value = next(filter(None, other.groups()))
    return [] if re.search("[=<>]", value) else [Region(end, other.end(), value.strip().rstrip(".,"))]
