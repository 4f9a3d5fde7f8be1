"""Boxes and answer tags in a text, with what stands around a box and changes it. Linear time, no recursion."""

from __future__ import annotations

import re
from collections import deque

from trl_rlsp.text._phrases import Region, without_words

MAX_BOXES = 1024
"""Only so many boxes of a text, the last ones, are read."""

MAX_IN_CONTEXT = 64
"""What stands around a box is looked at for so many boxes, the last ones of a text."""

_BOX = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])\s*")
_BARE_BOX = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z]|\s*\{)\s*")
_TOKEN = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])\s*\{|\\.|[{}]", re.DOTALL)
_BARE = re.compile(r"[^\s${}\\]+")
_TAG = re.compile(r"<(/?)answer>", re.IGNORECASE)
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
    r"(?:\b(?P<factor>half(?:\s+of)?|twice|double|triple)|\b(?P<minus>minus|negative))\s+(?:\$\$?|\\[(\[])?\s*\Z"
    r"|(?P<digits>\d)(?:\$|\\\()\Z",
    re.IGNORECASE,
)
_WORD_AFTER = re.compile(
    r"\s*(?:\$\$?|\\[)\]])?\s*(?:(?P<percent>percent|per\s+cent)|(?P<many>hundred|thousand|million|billion|trillion|dozen))\b"
    r"|(?:\$|\\\))(?P<digits>\.?\d+)",
    re.IGNORECASE,
)
_RELATED = re.compile(r"(?:[≤≥≠]|\\(?:lt|gt|leq?|geq?|neq?)(?![A-Za-z])|(?<=[\w)}]\s)[<>]=?)\s*\Z")
_FUNCTION = re.compile(r"\\(?:log|ln|exp|sqrt|(?:arc)?(?:sin|cos|tan)h?)(?:[_^]\S{1,8})?\s*\Z")
_DIGIT_BEFORE = re.compile(r"(?:(?<!\d)1|\d[.,])\Z")  # any other is a factor: 2\boxed{7} is 14
_SIGN = re.compile(r"[-+−±]|\\(?:pm|mp)(?![A-Za-z])")
_SUFFIX = re.compile(
    r"(?:\.?\d+|\s?[eE][-+]?\d+\b|\s*\\(?:over|choose|atop)(?![A-Za-z])\s*\S+|\\?%|\^\s*\{?\s*\\(?:circ|degree)\s*\}?|°|\\(?:text|mathrm|textbf|mbox)\s*\{[^{}]*\}(?:\^\{?\d\}?)?"
    r"|\^\{?[\w-]{1,8}\}?|_\{?\w{1,8}\}?)"
)
_OPERATION = re.compile(
    r"(?:[-+*/^}]|\s*[+*/^]|\s*\\(?:cdot|times|div|pm)(?![A-Za-z]))\s?[\d\\{(}A-Za-z](?![A-Za-z]{2})[\w\\{(}]*"
)


def find_boxes(text: str, start: int = 0) -> tuple[list[Region], bool]:
    """The last outermost boxes from `start` on, and whether a box is still open at the end of the text."""
    firsts = [at for command in ("\\boxed", "\\fbox") if (at := text.find(command, start)) >= 0]
    if not firsts:
        return [], False
    spans, still_open = _box_spans(text, min(firsts))
    regions = [Region(begin, end + 1, text[inside:end].strip()) for begin, inside, end in spans[:-MAX_IN_CONTEXT]]
    regions += [_with_words(text, _in_context(text, *span)) for span in spans[-MAX_IN_CONTEXT:]]
    regions += [_bare_box(text, box) for box in deque(_BARE_BOX.finditer(text, min(firsts)), maxlen=MAX_BOXES)]
    return sorted(regions, key=lambda region: region.start), still_open


def without_boxes(text: str) -> str:
    r"""`text` without its boxes and what they hold.

    >>> without_boxes(r"Maybe \boxed{\frac{1}{2}}, or \boxed 3 ?")
    'Maybe  , or   ?'
    """
    first = min((at for command in ("\\boxed", "\\fbox") if (at := text.find(command)) >= 0), default=-1)
    if first < 0:
        return text
    kept, at = [], 0
    for begin, _, end in _box_spans(text, first, None)[0]:
        kept.append(text[at:begin])
        at = end + 1
    return re.sub(_BARE_BOX.pattern + _BARE.pattern, " ", " ".join([*kept, text[at:]]))


def _box_spans(text: str, start: int, most: int | None = MAX_BOXES) -> tuple[list[tuple[int, int, int]], bool]:
    """(box start, content start, content end) of the last braced boxes, and whether one is open."""
    spans: deque[tuple[int, int, int]] = deque(maxlen=most)
    stack: list[tuple[int, int] | None] = []  # None: a plain brace
    boxes_open = 0
    for token in _TOKEN.finditer(text, start):
        piece = token.group()
        if piece == "{":
            stack.append(None)
        elif piece == "}":
            opened = stack.pop() if stack else None
            if opened is not None:
                boxes_open -= 1
                if boxes_open == 0:
                    spans.append((*opened, token.start()))
        elif piece.endswith("{") and len(piece) > 2:
            stack.append((token.start(), token.end()))
            boxes_open += 1
    return list(spans), boxes_open > 0


def _bare_box(text: str, box: re.Match[str]) -> Region:
    """A box without braces, as in `\\boxed 7`: up to the next space."""
    token = _BARE.match(text, box.end())
    content = token.group().rstrip(_PUNCTUATION) if token else ""
    return Region(box.start(), box.end() + len(content), content)


def _with_words(text: str, box: Region) -> Region:
    """A box together with a word beside it that makes another number of it: `minus`, `half of`, `million`."""
    before = _WORD_BEFORE.search(text[max(0, box.start - 24) : box.start])
    after = _WORD_AFTER.match(text, box.end, box.end + 24)
    answer = box.answer
    if not answer or (before is None and after is None):
        return box
    if after:
        answer += after["digits"] or ("\\%" if after["percent"] else rf"\text{{ {after['many']}}}")
    if before:
        factor = before["digits"] or rf"\text{{{before['factor']} }}"
        answer = f"-({answer})" if before["minus"] else factor + answer
    return Region(box.start, after.end() if after else box.end, answer)


def _in_context(text: str, start: int, content_start: int, content_end: int) -> Region:
    """The box's content together with the signs, factors and units that stand around it."""
    content = without_words(_innermost(text[content_start:content_end].strip()))
    end = content_end + 1
    if text[max(0, start - 2) : start].endswith(_MATH_OPEN) and text.startswith(_MATH_CLOSE, end):
        return Region(start, end, content)  # nothing but the box in its formula: the usual case
    before, after, in_math = _surroundings(text, start, end)
    before = _PADDING.sub(" ", _RELATION.split(_CUT_BEFORE.split(before)[-1])[-1])
    after = _PADDING.sub(" ", _RELATION.split(_CUT_AFTER.split(after)[0])[0]).rstrip()
    if not in_math:
        before = _adjacent_before(before)
        after = _adjacent_after(after, in_group=before.endswith("{"))
    before, after = before.strip(), after.strip().rstrip(".,;:?" if in_math else _PUNCTUATION)
    if (not before and not after) or not content:
        return Region(start, end, content)
    joined = content[:1].isdigit() and _DIGIT_BEFORE.search(before)  # 1\boxed{7} is 17
    plain = joined or (re.fullmatch(r"[\w.]+", content) and not _needs_group(before, after))
    body = content if plain else f"({content})"
    return Region(start, end, f"{before}{body}{after}")


def _innermost(content: str) -> str:
    """A box that holds nothing but another box says what the inner one says."""
    for _ in range(8):  # each step copies the content
        inner = _BOX.match(content)
        if not inner or content[inner.end() : inner.end() + 1] != "{" or content[-1] != "}":
            break
        content = content[inner.end() + 1 : -1].strip()
    return content


def _needs_group(before: str, after: str) -> bool:
    return (bool(before) and not _SIGN.fullmatch(before)) or (after.startswith("^") and "circ" not in after)


def _surroundings(text: str, start: int, end: int) -> tuple[str, str, bool]:
    """Text before and after a box up to the delimiters of the formula, and whether it stands in a formula."""
    line_start = max(text.rfind("\n", 0, start) + 1, start - _REACH)
    before, after = text[line_start:start], text[end : end + _REACH]
    opened = max((before.rfind(mark) + len(mark) for mark in _MATH_OPEN if mark in before), default=-1)
    closed = max((before.rfind(mark) for mark in _MATH_CLOSE[1:] if mark in before), default=-1)
    stop = min((after.find(mark) for mark in _MATH_CLOSE if mark in after), default=-1)
    # an odd number of dollars before the box on its line: it stands inside $...$
    inside = stop >= 0 and opened > closed and (text[line_start + opened - 1] != "$" or before.count("$") % 2 == 1)
    if inside:
        return before[opened:], after[:stop], True
    return before, after.split("\n", 1)[0], False


def _adjacent_before(before: str) -> str:
    """Outside a formula only a sign, a factor or an open group that touches the box is part of the answer."""
    for pattern in (_RELATED, _FUNCTION):
        if match := pattern.search(before):
            return match.group()
    run = before[max(before.rfind(" "), before.rfind("\n")) + 1 :]
    if run.endswith("{") and ("\\" in run or run[-2:-1] in ("^", "_")):
        return run
    if run in ("!", "$-$", "$−$", r"\(-\)"):
        return run.strip("$\\()")
    if _DIGIT_BEFORE.search(run):
        return run
    if re.search(r"[A-Za-z]{3,}[).]?$", run) and "\\" not in run:
        return ""
    return run if re.search(r"(?:[-+*/^_\d)}−±]|\\(?:pm|mp|cdot|times|sqrt|ne|neq|not))$", run) else ""


def _adjacent_after(after: str, *, in_group: bool) -> str:
    if in_group:
        return after.split(" ", 1)[0]
    match = _SUFFIX.match(after) or _OPERATION.match(after)
    return match.group() if match else ""


def find_tags(text: str, start: int = 0) -> tuple[list[Region], bool]:
    """The last `<answer>...</answer>` regions from `start` on, and whether a tag is still open at the end."""
    regions: deque[Region] = deque(maxlen=MAX_BOXES)
    opened: tuple[int, int] | None = None
    for tag in _TAG.finditer(text, start):
        if not tag.group(1):
            opened = (tag.start(), tag.end())
        elif opened is not None:
            regions.append(Region(opened[0], tag.end(), without_words(text[opened[1] : tag.start()].strip())))
            opened = None
    return list(regions), opened is not None
