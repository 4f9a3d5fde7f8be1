"""Boxes and answer tags in a text, with what stands around a box and changes it. Linear time, no recursion."""

from __future__ import annotations

import re
from collections import deque

from trl_rlsp.text._phrases import Region, without_words

MAX_BOXES = 1024  # only so many boxes of a text, the last ones, are read
_BARE_BOX = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z]|\s*\{)\s*(?P<content>[^\s${}\\]*)")
_TOKEN = re.compile(r"(?s)(?P<box>\\(?:boxed|fbox)(?![A-Za-z])\s*\{)|\\.|[{}]")
_BOX_ALONE = re.compile(r"(?s)\\(?:boxed|fbox)\s*\{(.*)\}")
_TAG = re.compile(r"(?i)<answer>([^<]*(?:<(?!/?answer>)[^<]*)*)</answer>")
_MATH_OPEN = ("$", "\\[", "\\(")
_MATH_CLOSE = ("$", "\\]", "\\)")
_REACH = 200  # how far a formula around a box is followed, in characters

_RELATION = re.compile(
    r"(?:=|:|\\pmod.*|\\(?:approx|in|to|iff|implies|Rightarrow|rightarrow|Longrightarrow|therefore|quad|qquad|equiv|cong)"
    r"(?![A-Za-z])|⇒|→|≈|∴)"
)
_CUT_BEFORE = re.compile(
    r"\\begin\{\w+\*?\}(?:\{[^{}]*\})?|\\\\|\n|&|[,;:]\s|\\(?:text\w*|mathrm)\s*\{[^{}]*\}|\\item\b|\\(?:boxed|fbox)\b.*\}"
)
_CUT_AFTER = re.compile(
    r"[.,;]?\s*\\(?:end|boxed|fbox|mod|bmod|tag|label|checkmark|blacksquare|square|Box|qed)\b|\\\\|\n|&"
    r"|[.,;](?=\s|$)|[✓✔✅∎□]"
    r"|\(\s*(?:\\(?:text|mathrm|operatorname)\s*\{)?\s*mod\b"
    r"|\\(?:text\w*|mathrm)\s*\{\s*(?:or|and|if|when|where|for|is|as|since|because|so|which|with|by|from|but|mod)\b"
)
_PADDING = re.compile(
    r"\\(?:displaystyle|textstyle|quad|qquad|left|right|bf|large|Large|huge|Huge)(?![A-Za-z])|\\[,;:! ]"
    r"|\\color\{\w+\}|\*\*|[\s~&]|\\\\"
)
_PUNCTUATION = ".,;:!?"
_WORD_BEFORE = re.compile(
    r"(?i)(?:\b(?P<factor>half(?:\s+of)?|twice|double|triple)|\b(?P<minus>minus|negative))\s+(?:\$\$?|\\[(\[])?\s*\Z"
    r"|(?P<digits>\d)(?:\$|\\\()\Z"
)
_WORD_AFTER = re.compile(
    r"(?i)\s*(?:\$\$?|\\[)\]])?\s*(?:(?P<percent>percent|per\s+cent)|(?P<many>hundred|thousand|million|billion|trillion|dozen))\b"
    r"|(?:\$|\\\))(?P<digits>\.?\d+)"
)
_CHANGES = re.compile(  # relations and functions
    r"(?:[≤≥≠]|\\(?:lt|gt|leq?|geq?|neq?)(?![A-Za-z])|(?<=[\w)}]\s)[<>]=?)\s*\Z"
    r"|\\(?:log|ln|exp|sqrt|(?:arc)?(?:sin|cos|tan)h?)(?:[_^]\S{1,8})?\s*\Z"
)
_DIGIT_BEFORE = re.compile(r"(?:(?<!\d)1|\d[.,])\Z")  # any other is a factor: 2\boxed{7} is 14
_SIGN = re.compile(r"[-+−±]|\\(?:pm|mp)(?![A-Za-z])")
_TOUCHES_AFTER = re.compile(  # digits, powers of ten, units, scripts, then operations
    r"\.?\d+|\s?[eE][-+]?\d+\b|\s*\\(?:over|choose|atop)(?![A-Za-z])\s*\S+|\\?%|\^\s*\{?\s*\\(?:circ|degree)\s*\}?|°"
    r"|\\(?:text|mathrm|textbf|mbox)\s*\{[^{}]*\}(?:\^\{?\d\}?)?|\^\{?[\w-]{1,8}\}?|_\{?\w{1,8}\}?"
    r"|(?:[-+*/^}]|\s*[+*/^]|\s*\\(?:cdot|times|div|pm)(?![A-Za-z]))\s?[\d\\{(}A-Za-z](?![A-Za-z]{2})[\w\\{(}]*"
)


def find_boxes(text: str, start: int = 0) -> tuple[list[Region], bool]:
    """The last outermost boxes from `start` on, and whether a box is still open at the end of the text."""
    first = _first_box(text, start)
    if first < 0:
        return [], False
    spans, still_open = _box_spans(text, first, MAX_BOXES)
    regions = [_with_words(text, _in_context(text, *span)) for span in spans]
    for box in deque(_BARE_BOX.finditer(text, first), maxlen=MAX_BOXES):  # `\\boxed 7`: up to the next space
        content = box["content"].rstrip(_PUNCTUATION)
        regions.append(Region(box.start(), box.start("content") + len(content), content))
    return sorted(regions, key=lambda region: region.start), still_open


def without_boxes(text: str) -> str:
    """`text` without its boxes and what they hold."""
    first = _first_box(text, 0)
    if first < 0:
        return text
    kept, at = [], 0
    for begin, _, end in _box_spans(text, first)[0]:
        kept.append(text[at:begin])
        at = end + 1
    return _BARE_BOX.sub(" ", " ".join([*kept, text[at:]]))


def find_tags(text: str, start: int = 0) -> tuple[list[Region], bool]:
    """The last `<answer>...</answer>` regions from `start` on, and whether a tag is still open at the end."""
    if text.find("<", start) < 0:
        return [], False
    tags = deque(_TAG.finditer(text, start), maxlen=MAX_BOXES)
    still_open = re.compile("(?i)<answer>").search(text, tags[-1].end() if tags else start) is not None
    return [Region(tag.start(), tag.end(), without_words(tag[1].strip())) for tag in tags], still_open


def _first_box(text: str, start: int) -> int:
    return min((at for command in ("\\boxed", "\\fbox") if (at := text.find(command, start)) >= 0), default=-1)


def _box_spans(text: str, start: int, most: int | None = None) -> tuple[list[tuple[int, int, int]], bool]:
    """(box start, content start, content end) of the last braced boxes, and whether one is open."""
    spans: deque[tuple[int, int, int]] = deque(maxlen=most)
    stack: list[re.Match[str] | None] = []  # None: a plain brace
    boxes_open = 0
    for token in _TOKEN.finditer(text, start):
        if token["box"]:
            stack.append(token)
            boxes_open += 1
        elif token[0] == "{":
            stack.append(None)
        elif token[0] == "}" and stack and (box := stack.pop()):
            boxes_open -= 1
            if boxes_open == 0:
                spans.append((box.start(), box.end(), token.start()))
    return list(spans), boxes_open > 0


def _with_words(text: str, box: Region) -> Region:
    """A box together with a word beside it that makes another number of it: `minus`, `half of`, `million`."""
    before = _WORD_BEFORE.search(text[max(0, box.start - 24) : box.start])
    after = _WORD_AFTER.match(text, box.end, box.end + 24)
    answer = box.answer
    if not answer or not (before or after):
        return box
    if after:
        answer += after["digits"] or ("\\%" if after["percent"] else rf"\text{{ {after['many']}}}")
    if before:
        factor = before["digits"] or rf"\text{{{before['factor']} }}"
        answer = f"-({answer})" if before["minus"] else factor + answer
    return Region(box.start, after.end() if after else box.end, answer)


def _in_context(text: str, start: int, content_start: int, content_end: int) -> Region:
    """The box's content together with the signs, factors and units that stand around it."""
    content, end = text[content_start:content_end].strip(), content_end + 1
    for _ in range(8):  # a box that holds nothing but a box says what that one says; each step copies the content
        inner = _BOX_ALONE.fullmatch(content)
        content = inner[1].strip() if inner else content
    content = without_words(content)
    if text[max(0, start - 2) : start].endswith(_MATH_OPEN) and text.startswith(_MATH_CLOSE, end):
        return Region(start, end, content)  # nothing but the box in its formula: the usual case
    before, after, in_math = _surroundings(text, start, end)
    before = _PADDING.sub(" ", _RELATION.split(_CUT_BEFORE.split(before)[-1])[-1])
    after = _PADDING.sub(" ", _RELATION.split(_CUT_AFTER.split(after)[0])[0]).rstrip()
    if not in_math:
        before = _adjacent_before(before)
        touching = _TOUCHES_AFTER.match(after)
        after = after.split(" ", 1)[0] if before.endswith("{") else touching.group() if touching else ""
    before, after = before.strip(), after.strip().rstrip(".,;:?" if in_math else _PUNCTUATION)
    if not (before or after) or not content:
        return Region(start, end, content)
    joined = content[:1].isdigit() and _DIGIT_BEFORE.search(before)  # 1\boxed{7} is 17
    grouped = (before and not _SIGN.fullmatch(before)) or (after.startswith("^") and "circ" not in after)
    plain = joined or (re.fullmatch(r"[\w.]+", content) and not grouped)
    return Region(start, end, f"{before}{content if plain else f'({content})'}{after}")


def _surroundings(text: str, start: int, end: int) -> tuple[str, str, bool]:
    """Text before and after a box up to the delimiters of the formula, and whether it stands in a formula."""
    line_start = max(text.rfind("\n", 0, start) + 1, start - _REACH)
    before, after = text[line_start:start], text[end : end + _REACH]
    opened = max((before.rfind(mark) + len(mark) for mark in _MATH_OPEN if mark in before), default=-1)
    closed = max((before.rfind(mark) for mark in _MATH_CLOSE[1:] if mark in before), default=-1)
    stop = min((after.find(mark) for mark in _MATH_CLOSE if mark in after), default=-1)
    # an odd number of dollars before the box on its line: it stands inside $...$
    if stop >= 0 and opened > closed and (before[opened - 1] != "$" or before.count("$") % 2 == 1):
        return before[opened:], after[:stop], True
    return before, after.split("\n", 1)[0], False


def _adjacent_before(before: str) -> str:
    """Outside a formula only a sign, a factor or an open group that touches the box is part of the answer."""
    if changed := _CHANGES.search(before):
        return changed.group()
    run = before[max(before.rfind(" "), before.rfind("\n")) + 1 :]
    if run in ("!", "$-$", "$−$", r"\(-\)"):
        return run.strip("$\\()")
    if (run.endswith("{") and ("\\" in run or run[-2:-1] in ("^", "_"))) or _DIGIT_BEFORE.search(run):
        return run
    if re.search(r"[A-Za-z]{3,}[).]?$", run) and "\\" not in run:
        return ""
    return run if re.search(r"(?:[-+*/^_\d)}−±]|\\(?:pm|mp|cdot|times|sqrt|ne|neq|not))$", run) else ""
