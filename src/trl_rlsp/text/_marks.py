"""Where a text states answers: in boxes (with the signs, factors and units around them), `<answer>` tags, phrases.

Linear time, no recursion.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass

from trl_rlsp.text._latex import MAX_CHARS, balanced

MAX_MARKS = 1024  # the last boxes, tags and phrases of a text that are read, each
_BARE_BOX = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z]|\s*\{)\s*(?P<content>[^\s${}\\]*)")
_TOKEN = re.compile(r"(?s)(?P<box>\\(?:boxed|fbox)(?![A-Za-z])\s*\{)|\\.|[{}]")
_ENDS_IN_BOX = re.compile(
    r"(?s)(?:.*(?:=|:|\\approx|\\in))?[\s$]*(?:\\[(\[])?\s*\\(?:boxed|fbox)\s*\{(.*)\}\s*\.?\s*(?:\\[)\]])?[\s$.]*"
)
_TAG = re.compile(r"(?i)<answer>([^<]*(?:<(?!/?answer>)[^<]*)*)</answer>")
_MATH_OPEN = ("$", "\\[", "\\(")
_MATH_CLOSE = ("$", "\\]", "\\)")
_REACH = 200  # characters around a box that are searched for its formula

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
_DIGIT_BEFORE = re.compile(r"(?:(?<!\d)1|\d[.,])\Z")  # any other digit is a factor: 2\boxed{7} is 14
_SIGN = re.compile(r"[-+−±]|\\(?:pm|mp)(?![A-Za-z])")
_TOUCHES_AFTER = re.compile(  # digits, powers of ten, units, scripts, then operations
    r"\.?\d+|\s?[eE][-+]?\d+\b|\s*\\(?:over|choose|atop)(?![A-Za-z])\s*\S+|\\?%|\^\s*\{?\s*\\(?:circ|degree)\s*\}?|°"
    r"|\\(?:text|mathrm|textbf|mbox)\s*\{[^{}]*\}(?:\^\{?\d\}?)?|\^\{?[\w-]{1,8}\}?|_\{?\w{1,8}\}?"
    r"|(?:[-+*/^}]|\s*[+*/^]|\s*\\(?:cdot|times|div|pm)(?![A-Za-z]))\s?[\d\\{(}A-Za-z](?![A-Za-z]{2})[\w\\{(}]*"
)
LONGEST = 400  # characters within which a phrase must state its answer
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
    """A place in a text where a final answer is stated; `final`: whether the text calls it final."""

    start: int
    end: int
    answer: str
    final: bool = True


def find_boxes(text: str, start: int = 0) -> tuple[list[Region], bool]:
    """The last outermost boxes after `start`, and whether a box is still open at the end of the text."""
    spans, still_open = _box_spans(text, start, MAX_MARKS)
    regions = [_with_words(text, _in_context(text, *span)) for span in spans]
    for box in deque(_BARE_BOX.finditer(text, start), maxlen=MAX_MARKS):  # `\\boxed 7`: content up to the next space
        content = box["content"].rstrip(_PUNCTUATION)
        regions.append(Region(box.start(), box.start("content") + len(content), content))
    return sorted(regions, key=lambda region: region.start), still_open


def without_boxes(text: str) -> str:
    """`text` without its boxes and their content."""
    kept, at = [], 0
    for begin, _, end in _box_spans(text, 0)[0]:
        kept.append(text[at:begin])
        at = end + 1
    return _BARE_BOX.sub(" ", " ".join([*kept, text[at:]]))


def find_tags(text: str, start: int = 0) -> tuple[list[Region], bool]:
    """The last `<answer>...</answer>` regions after `start`, and whether a tag is still open at the end."""
    if text.find("<", start) < 0:
        return [], False
    tags = deque(_TAG.finditer(text, start), maxlen=MAX_MARKS)
    still_open = re.compile("(?i)<answer>").search(text, tags[-1].end() if tags else start) is not None
    return [Region(tag.start(), tag.end(), without_words(tag[1].strip())) for tag in tags], still_open


def _box_spans(text: str, start: int, most: int | None = None) -> tuple[list[tuple[int, int, int]], bool]:
    """(box start, content start, content end) of the last braced boxes, and whether one is open."""
    spans: deque[tuple[int, int, int]] = deque(maxlen=most)
    stack: list[re.Match[str] | None] = []  # None: a plain brace
    boxes_open = 0
    first = min((at for command in ("\\boxed", "\\fbox") if (at := text.find(command, start)) >= 0), default=len(text))
    for token in _TOKEN.finditer(text, first):
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
    """A box together with an adjacent word that changes its value: `minus`, `half of`, `million`."""
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
    """The content of a box together with the signs, factors and units around it."""
    content, end = text[content_start:content_end].strip(), content_end + 1
    content = _unboxed(without_words(content))
    if text[max(0, start - 2) : start].endswith(_MATH_OPEN) and text.startswith(_MATH_CLOSE, end):
        return Region(start, end, content)  # the common case: the box is the whole formula
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


def _unboxed(content: str) -> str:
    """The content of the inner box if a box ends in one; a box with other words around it is returned unchanged."""
    for _ in range(8):  # each step copies the content
        inner = _ENDS_IN_BOX.fullmatch(content) if "box" in content and len(content) <= MAX_CHARS else None
        if inner is None or not balanced(inner[1]):
            break
        content = without_words(inner[1].strip())
    return content


def _surroundings(text: str, start: int, end: int) -> tuple[str, str, bool]:
    """Text before and after a box up to the delimiters of its formula, and whether it is in a formula."""
    line_start = max(text.rfind("\n", 0, start) + 1, start - _REACH)
    before, after = text[line_start:start], text[end : end + _REACH]
    opened = max((before.rfind(mark) + len(mark) for mark in _MATH_OPEN if mark in before), default=-1)
    closed = max((before.rfind(mark) for mark in _MATH_CLOSE[1:] if mark in before), default=-1)
    stop = min((after.find(mark) for mark in _MATH_CLOSE if mark in after), default=-1)
    # an odd number of dollar signs before the box on its line: the box is inside $...$
    if stop >= 0 and opened > closed and (before[opened - 1] != "$" or before.count("$") % 2 == 1):
        return before[opened:], after[:stop], True
    return before, after.split("\n", 1)[0], False


def _adjacent_before(before: str) -> str:
    """Outside a formula: the sign, factor or open group directly before the box, which is part of the answer."""
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


def find_phrases(text: str, start: int = 0) -> list[Region]:
    """Phrases that say `final`, else only the last `the answer is ...`; of nested phrases, the inner one."""
    firsts = [at for mark in ("nswer", "NSWER", "####") if (at := text.find(mark, start)) >= 0]
    if not firsts:
        return []
    last_line = text.rfind("\n", start, len(text.rstrip())) + 1
    found: list[Region] = []
    for head in deque(_HEAD.finditer(text, max(start, min(firsts) - 12)), maxlen=MAX_MARKS):
        if region := _after_head(text, head, last_line) or _before_head(text, head, start):
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
    match = _REVERSED.search(text[before : head.start("word")]) if head["word"] else None
    if match is None or not is_bare_value(answer := next(filter(None, match.groups())).strip()):
        return None
    return Region(before + match.start(), head.start("word"), answer, final=False)


def _stated(rest: str) -> str:
    """The answer in the text after a phrase; empty if a box states it or there is none."""
    if "\\boxed" in rest or "\\fbox" in rest or "<answer>" in rest.lower():
        return ""
    answer = _DELIMITERS.sub("", rest).strip().rstrip(".,;:!*").strip("\"' ")
    while filler := _FILLER.match(answer):
        answer = answer[filler.end() :]
    return "" if _NO_VALUE.match(answer) else without_words(answer)


def without_words(answer: str) -> str:
    """An answer without the sentence around it; unchanged if the rest is not a value, as in `It is not 12`."""
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
    """Whether an answer is only a value, without words: a fraction or `5 km`, not `the sum of both`."""
    return bool(answer) and len(answer) <= 200 and not _WORD_IN_VALUE.search(_LATEX.sub(" ", answer))


def alternative_after(text: str, end: int) -> list[Region]:
    """The unmarked value that follows an answer as an alternative (`or 8`, `and $8$`), if any."""
    other = _ALTERNATIVE.match(text, end, end + 200)
    if other is None or (" and " in other.group() and text[other.end() : other.end() + 3].lstrip()[:1].isalpha()):
        return []
    value = next(filter(None, other.groups()))
    return [] if re.search("[=<>]", value) else [Region(end, other.end(), value.strip().rstrip(".,"))]
