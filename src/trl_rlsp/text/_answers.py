"""The final answer of a text that marks it: with a box, an `<answer>` tag, or a phrase such as `The answer is ...`.

The last answer counts: a text that boxes 7, looks again and boxes 8 has answered 8. What stands side by side in the
closing statement is not a correction, though: `7 or 8`, a list of boxes, a table of them. Such answers are returned as
rivals. A phrase decides only where there is neither box nor tag; beside one it can only contradict it, and only with a
bare value: prose is never a rival.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Hashable, Sequence

from trl_rlsp.text._arithmetic import rational
from trl_rlsp.text._boxes import find_boxes, find_tags
from trl_rlsp.text._latex import MAX_CHARS, normalize
from trl_rlsp.text._phrases import Found, Region, alternative_after, denied, find_phrases, is_bare_value, taken_back

MAX_RIVALS = 64
"""More different answers than this in a closing statement are not told apart any more."""

MAX_GAP = 200
"""Answers further apart than this, in characters, do not stand side by side."""

_UNIT = re.compile(r"\\(?:text|mathrm|textbf|mbox)\{[^{}]*\}|\\%|\^\{?\\circ\}?")
_INSTRUCTION = re.compile(r"(?:\b(?:in|within|inside|into|using|with|a|an|the)|[`'\"])[\s$(:`'\"]*\Z", re.IGNORECASE)
_PLACEHOLDER = re.compile(
    r"(?:[\s.…_?]|\\(?:ldots|cdots|dots|text)|[{}])*|(?:\\text\{)?(?:your|the|final|\s)*answer(?:\s+here)?\}?",
    re.IGNORECASE,
)
_TURN = re.compile(
    r"\b(?:no|wait|hmm+|actually|wrong|incorrect|correct(?:ed|ion|ly)?|sorry|mistake|error|oops|instead|rather|check"
    r"|verify|re-?\w*(?:check|consider|calculat|comput|examin)\w*|final(?:ly)?|answer|so|thus|hence|therefore|then"
    r"|implies|gives|step|because|since|summary|conclusion)\b|\\(?:implies|Rightarrow|therefore|Longrightarrow)(?![A-Za-z])|⇒|∴",
    re.IGNORECASE,
)
_ALTERNATIVE = re.compile(r"[\s$.,;:)\]\\*!?-]*(?:or|and|alternatively|either|otherwise|also|&)\b", re.IGNORECASE)
_BREAK = re.compile(r"[.!?][\"')\]*$]*\s|\n")
_COMMAND = re.compile(r"\\(?:begin|end)\{\w*\*?\}|\\[A-Za-z]+")
_WORDS_OF_A_LABEL = 2


def find_marked(text: str, start: int) -> Found:
    """The final answer of `text` from `start` on.

    >>> find_marked(r"\\boxed{7}. That was too quick, 3 + 5 is one more: \\boxed{8}", 0).answer
    '8'
    """
    marks, cut_off = _marks(text, start)
    phrases = find_phrases(text, start)
    if cut_off:
        return Found(min((region.start for region in marks), default=None), None, "unfinished")
    if not marks:
        return _final(text, phrases)
    last = marks[-1]
    bare = [phrase for phrase in phrases if is_bare_value(phrase.answer)]
    before = [phrase for phrase in bare if phrase.final and phrase.end <= last.start]
    after = [phrase for phrase in bare if phrase.start >= last.end and _key(phrase.answer) != _key(last.answer)]
    if after and last.answer:
        rivals = _distinct([last, *after])
        return Found(last.start, None, "several_answers", rivals)
    return _final(text, sorted([*marks, *before], key=lambda region: region.start))


def _marks(text: str, start: int) -> tuple[list[Region], bool]:
    """Boxes and tags in order, without those that only repeat the instruction, and whether the last was cut off."""
    boxes, cut_off = find_boxes(text, start)
    tags, tag_open = find_tags(text, start)
    if tags and boxes:
        tags = _without_boxes(tags, boxes)
    marks = sorted([*boxes, *tags], key=lambda region: region.start)
    stated = [mark for mark in marks if not _is_mention(text, mark)]
    while len(stated) > 1 and denied(text, stated[-1].start):
        stated.pop()
    if stated and denied(text, stated[-1].start):
        stated.pop()
    return stated, cut_off or (tag_open and not boxes)


def _without_boxes(tags: Sequence[Region], boxes: Sequence[Region]) -> list[Region]:
    """The tags that hold no box: a box within a tag says what the tag says. Both are in order."""
    kept, at = [], 0
    for tag in tags:
        while at < len(boxes) and boxes[at].start < tag.start:
            at += 1
        if at == len(boxes) or boxes[at].start >= tag.end:
            kept.append(tag)
    return kept


def _is_mention(text: str, mark: Region) -> bool:
    """Whether a box only repeats the instruction: `put the answer in \\boxed{}`."""
    if len(mark.answer) > 40 or not _PLACEHOLDER.fullmatch(mark.answer):
        return False
    return mark.answer != "" or bool(_INSTRUCTION.search(text[max(0, mark.start - 20) : mark.start]))


def _final(text: str, regions: Sequence[Region]) -> Found:
    """The answer of the closing statement."""
    regions = _without_empty(regions)
    if not regions:
        return Found(None, None, "no_answer")
    last = regions[-1]
    first = len(regions) - 1
    while (
        first > 0 and len(regions) - first < 2 * MAX_RIVALS and _side_by_side(text, regions[first - 1], regions[first])
    ):
        first -= 1
    closing = [*regions[first:], *alternative_after(text, last.end)]
    rivals = _distinct(closing)
    key = _key(last.answer)
    while first > 0 and _key(regions[first - 1].answer) == key:
        first -= 1
    start = regions[first].start
    if not last.answer or taken_back(text, last.end):
        return Found(start, None, "no_answer")
    if len(rivals) > 1:
        return Found(start, None, "several_answers", rivals)
    return Found(start, last.answer, None)


def _without_empty(regions: Sequence[Region]) -> list[Region]:
    """Without the empty ones before the last one that says something."""
    return [region for region in regions[:-1] if region.answer] + list(regions[-1:])


def _distinct(regions: Sequence[Region]) -> tuple[str, ...]:
    return tuple({_key(region.answer): region.answer for region in regions if region.answer}.values())


def _side_by_side(text: str, one: Region, other: Region) -> bool:
    """Whether nothing between two answers makes the second more than an alternative to the first.

    They stand in one sentence, or a label at most stands between them, or the second begins with `or`; and no word
    says that the first was looked at again, or that the second follows from it or is final.
    """
    gap = text[one.end : other.start]
    if len(gap) > MAX_GAP or _TURN.search(gap):
        return False
    if not _BREAK.search(gap) or _ALTERNATIVE.match(gap):
        return True
    return len(re.findall(r"[^\W\d_]{2,}", _COMMAND.sub(" ", gap))) <= _WORDS_OF_A_LABEL


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


_FENCE = re.compile(r"^(?P<indent>[^\S\n]*)(?P<fence>`{3,}|~{3,})(?P<rest>[^\n]*)$", re.MULTILINE)
_PYTHON_LABELS = ("", "python", "python3", "py", "py3")


def find_program(text: str, start: int) -> Found:
    """The last program of `text` from `start` on, and where its fence begins.

    Blocks labeled with another language are passed over, and so is a block that was never closed: the completion
    was cut off.

    >>> find_program("So:\\n```python\\nprint(2)\\n```", 0).answer
    'print(2)\\n'
    """
    found = Found(None, None, "no_answer")
    answer = text[start:]
    opening: re.Match[str] | None = None
    for line in _FENCE.finditer(answer):
        rest = line["rest"].strip()
        if opening is None:
            opening = line if "`" not in rest else None
        elif line["fence"].startswith(opening["fence"]) and not rest:
            found = _program(answer, opening, line, start) or found
            opening = None
    return found


def _program(answer: str, opening: re.Match[str], closing: re.Match[str], start: int) -> Found | None:
    """What stands between two fences, if it is Python."""
    label = opening["rest"].split()
    if label and label[0].lower() not in _PYTHON_LABELS:
        return None
    program = answer[opening.end() + 1 : closing.start()].replace("\r\n", "\n")
    if not program.strip():
        return Found(None, None, "no_answer")
    return Found(start + opening.start(), textwrap.dedent(program) if opening["indent"] else program, None)
