"""The final answer of a text: marked with a box, an `<answer>` tag or a phrase, or the last program.

The last answer counts: a text that boxes 7, looks again and boxes 8 has answered 8. What stands side by side in the
closing statement is no correction, though: `7 or 8`, a list of boxes, a table of them; such answers are rivals. A
phrase decides only where there is neither box nor tag; beside one it can only contradict it, with a bare value.
"""

from __future__ import annotations

import re
import textwrap
from bisect import bisect_left
from collections.abc import Hashable, Sequence
from typing import Literal, NamedTuple

from trl_rlsp.text._arithmetic import rational
from trl_rlsp.text._boxes import find_boxes, find_tags
from trl_rlsp.text._latex import MAX_CHARS, normalize
from trl_rlsp.text._phrases import NEGATION_BEFORE, TAKEN_BACK, Region, alternative_after, find_phrases, is_bare_value

Missing = Literal["no_answer", "several_answers", "unfinished"]

MAX_RIVALS = 64  # more answers than twice this are not looked at in a closing statement
MAX_GAP = 200  # answers further apart than this, in characters, do not stand side by side
_UNIT = re.compile(r"\\(?:text|mathrm|textbf|mbox)\{[^{}]*\}|\\%|\^\{?\\circ\}?")
_INSTRUCTION = re.compile(r"(?i)(?:\b(?:in|within|inside|into|using|with|a|an|the)|[`'\"])[\s$(:`'\"]*\Z")
_PLACEHOLDER = re.compile(
    r"(?i)(?:[\s.…_?]|\\(?:ldots|cdots|dots|text)|[{}])*|(?:\\text\{)?(?:your|the|final|\s)*answer(?:\s+here)?\}?"
)
_TURN = re.compile(
    r"(?i)\b(?:no|wait|hmm+|actually|wrong|incorrect|correct(?:ed|ion|ly)?|sorry|mistake|error|oops|instead|rather|check"
    r"|verify|re-?\w*(?:check|consider|calculat|comput|examin)\w*|final(?:ly)?|answer|so|thus|hence|therefore|then"
    r"|implies|gives|step|because|since|summary|conclusion)\b|\\(?:implies|Rightarrow|therefore|Longrightarrow)(?![A-Za-z])|⇒|∴"
)
_ALTERNATIVE = re.compile(r"(?i)[\s$.,;:)\]\\*!?-]*(?:or|and|alternatively|either|otherwise|also|&)\b")
_BREAK = re.compile(r"[.!?][\"')\]*$]*\s|\n")
_COMMAND = re.compile(r"\\(?:begin|end)\{\w*\*?\}|\\[A-Za-z]+")
_WORDS_OF_A_LABEL = 2
_FENCE = re.compile(r"(?m)^(?P<indent>[^\S\n]*)(?P<fence>`{3,}|~{3,})(?P<rest>[^\n]*)$")
_PYTHON_LABELS = ("", "python", "python3", "py", "py3")


class Found(NamedTuple):
    """The final answer of a text, as in `Reading`; `start` is where it is stated for the first time, if at all."""

    start: int | None
    answer: str | None = None
    reason: Missing | None = None
    rivals: tuple[str, ...] = ()


def find_marked(text: str, start: int) -> Found:
    """The final answer of `text` from `start` on."""
    marks, cut_off = _marks(text, start)
    if cut_off:
        return Found(min((mark.start for mark in marks), default=None), reason="unfinished")
    phrases = find_phrases(text, start)
    if not marks:
        return _closing_statement(text, phrases)
    last = marks[-1]
    bare = [phrase for phrase in phrases if is_bare_value(phrase.answer)]
    after = [phrase for phrase in bare if phrase.start >= last.end and _key(phrase.answer) != _key(last.answer)]
    if after and last.answer:
        return Found(last.start, reason="several_answers", rivals=_distinct([last, *after]))
    before = [phrase for phrase in bare if phrase.final and phrase.end <= last.start]
    return _closing_statement(text, sorted([*marks, *before], key=lambda region: region.start))


def _marks(text: str, start: int) -> tuple[list[Region], bool]:
    """Boxes and tags in order, without those that only repeat the instruction, and whether the last was cut off."""
    boxes, cut_off = find_boxes(text, start)
    tags, tag_open = find_tags(text, start)
    if boxes:  # a box within a tag says what the tag says
        starts = [box.start for box in boxes]
        tags = [tag for tag in tags if bisect_left(starts, tag.start) == bisect_left(starts, tag.end)]
    marks = sorted([*boxes, *tags], key=lambda region: region.start)
    stated = [mark for mark in marks if not _is_mention(text, mark)]
    while stated and NEGATION_BEFORE.search(text[max(0, stated[-1].start - 60) : stated[-1].start]):
        stated.pop()
    return stated, cut_off or (tag_open and not boxes)


def _is_mention(text: str, mark: Region) -> bool:
    """Whether a box only repeats the instruction: `put the answer in \\boxed{}`."""
    if len(mark.answer) > 40 or not _PLACEHOLDER.fullmatch(mark.answer):
        return False
    return mark.answer != "" or bool(_INSTRUCTION.search(text[max(0, mark.start - 20) : mark.start]))


def _closing_statement(text: str, regions: Sequence[Region]) -> Found:
    """The last answer with those that stand beside it."""
    regions = [region for region in regions[:-1] if region.answer] + list(regions[-1:])
    if not regions:
        return Found(None, reason="no_answer")
    last, first = regions[-1], len(regions) - 1
    least = max(0, len(regions) - 2 * MAX_RIVALS)
    while first > least and _side_by_side(text, regions[first - 1], regions[first]):
        first -= 1
    rivals = _distinct([*regions[first:], *alternative_after(text, last.end)])
    while first > 0 and _key(regions[first - 1].answer) == _key(last.answer):
        first -= 1
    start = regions[first].start
    if not last.answer or TAKEN_BACK.match(text[last.end : last.end + 80]):
        return Found(start, reason="no_answer")
    return Found(start, reason="several_answers", rivals=rivals) if len(rivals) > 1 else Found(start, last.answer)


def _distinct(regions: Sequence[Region]) -> tuple[str, ...]:
    return tuple({_key(region.answer): region.answer for region in regions if region.answer}.values())


def _side_by_side(text: str, one: Region, other: Region) -> bool:
    """Whether nothing between two answers says that the second corrects the first, follows from it or is final."""
    gap = text[one.end : other.start]
    if len(gap) > MAX_GAP or _TURN.search(gap):
        return False
    joined = not _BREAK.search(gap) or _ALTERNATIVE.match(gap)
    return bool(joined) or len(re.findall(r"[^\W\d_]{2,}", _COMMAND.sub(" ", gap))) <= _WORDS_OF_A_LABEL


def _key(answer: str) -> Hashable:
    """Equal for two answers that are obviously the same."""
    if len(answer) > MAX_CHARS:
        return answer
    text = normalize(answer)
    bare = _UNIT.sub("", text).strip(" *.")
    text = bare if any(char.isdigit() for char in bare) else text
    if text.count("=") == 1 and "," not in text:
        text = text.partition("=")[2]
    value = rational(text)
    return text if value is None else value


def find_program(text: str, start: int) -> Found:
    """The last closed fenced block of Python in `text` from `start` on, and where its fence begins."""
    found = Found(None, reason="no_answer")
    opening: re.Match[str] | None = None
    text = text[start:]
    for line in _FENCE.finditer(text):
        rest = line["rest"].strip()
        if opening is None:
            opening = line if "`" not in rest else None
        elif line["fence"].startswith(opening["fence"]) and not rest:
            label = (opening["rest"].split() or [""])[0].lower()
            program = text[opening.end() + 1 : line.start()].replace("\r\n", "\n")
            if label in _PYTHON_LABELS:
                program = textwrap.dedent(program) if opening["indent"] else program
                found = Found(start + opening.start(), program) if program.strip() else Found(None, reason="no_answer")
            opening = None
    return found
