"""Where a completion's reasoning ends, and what its final answer is.

The last answer counts, but answers side by side in the closing statement (`7 or 8`, a list of boxes) are rivals. A
phrase counts only without a box or tag; next to one it can only contradict it, by stating a different bare value.
"""

from __future__ import annotations

import re
import textwrap
from bisect import bisect_left
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

from trl_rlsp.errors import ConfigError
from trl_rlsp.text._arithmetic import rational
from trl_rlsp.text._latex import MAX_CHARS, normalize
from trl_rlsp.text._marks import (
    NEGATION_BEFORE,
    TAKEN_BACK,
    Region,
    alternative_after,
    find_boxes,
    find_phrases,
    find_tags,
    is_bare_value,
    without_boxes,
)

Missing = Literal["no_answer", "several_answers", "unfinished"]
Completion = str | Sequence[Mapping[str, Any]] | Mapping[str, Any]
"""A completion as TRL passes it to a reward: a string, or the messages that the model wrote."""

MAX_RIVALS = 64  # at most twice this many answers are considered in a closing statement
MAX_GAP = 200  # characters; answers further apart than this are not side by side
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
    """The final answer of a text, as in `Reading`; `start` is where it is first stated, `None` if nowhere."""

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
    after = [
        phrase for phrase in bare if phrase.start >= last.end and answer_key(phrase.answer) != answer_key(last.answer)
    ]
    if after and last.answer:
        return Found(last.start, reason="several_answers", rivals=_distinct([last, *after]))
    before = [phrase for phrase in bare if phrase.final and phrase.end <= last.start]
    return _closing_statement(text, sorted([*marks, *before], key=lambda region: region.start))


def _marks(text: str, start: int) -> tuple[list[Region], bool]:
    """Boxes and tags in order, except those that only repeat the instruction; and whether the last was cut off."""
    boxes, cut_off = find_boxes(text, start)
    tags, tag_open = find_tags(text, start)
    if boxes:  # a tag that contains a box states the same answer
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
    """The last answer, with the answers side by side with it."""
    regions = [region for region in regions[:-1] if region.answer] + list(regions[-1:])
    if not regions:
        return Found(None, reason="no_answer")
    last, first = regions[-1], len(regions) - 1
    least = max(0, len(regions) - 2 * MAX_RIVALS)
    while first > least and _side_by_side(text, regions[first - 1], regions[first]):
        first -= 1
    rivals = _distinct([*regions[first:], *alternative_after(text, last.end)])
    while first > 0 and answer_key(regions[first - 1].answer) == answer_key(last.answer):
        first -= 1
    start = regions[first].start
    if not last.answer or TAKEN_BACK.match(text[last.end : last.end + 80]):
        return Found(start, reason="no_answer")
    return Found(start, reason="several_answers", rivals=rivals) if len(rivals) > 1 else Found(start, last.answer)


def _distinct(regions: Sequence[Region]) -> tuple[str, ...]:
    return tuple({answer_key(region.answer): region.answer for region in regions if region.answer}.values())


def _side_by_side(text: str, one: Region, other: Region) -> bool:
    """Whether no text between two answers marks the second as a correction, a consequence or the final answer."""
    gap = text[one.end : other.start]
    if len(gap) > MAX_GAP or _TURN.search(gap):
        return False
    joined = not _BREAK.search(gap) or _ALTERNATIVE.match(gap)
    return bool(joined) or len(re.findall(r"[^\W\d_]{2,}", _COMMAND.sub(" ", gap))) <= _WORDS_OF_A_LABEL


def answer_key(answer: str) -> Hashable:
    r"""A key that is equal for two answers that are obviously the same: by value for numbers, else in normal form.

    >>> answer_key("4.0") == answer_key(r"x = \\frac{8}{2}") == answer_key("2 + 2")
    True
    """
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


def is_task(value: Any) -> bool:
    """Whether a value of the column `task` is the JSON of a generated task rather than a label of the user's."""
    return isinstance(value, str) and value.lstrip().startswith("{")


class AnswerKind(NamedTuple):
    """A kind of answer: the column with the gold answer, how to find the answer, which column values are gold."""

    column: str
    find: Callable[[str, int], Found]
    holds: Callable[[Any], bool] = lambda value: True


KINDS: dict[str, AnswerKind] = {
    "code": AnswerKind("tests", find_program),
    "gym": AnswerKind("task", find_marked, is_task),
    "math": AnswerKind("solution", find_marked),
}
"""The kinds of answers, by name. A row is of the first kind whose column it has; add an entry for a new kind."""

GOLD_COLUMNS = tuple(sorted(kind.column for kind in KINDS.values()))
"""The columns of a data set that hold gold answers."""


@dataclass(frozen=True)
class Reading:
    """A completion split into reasoning and final answer.

    With `several_answers`, `rivals` are those of the closing statement; the verifier decides if their values are equal.
    """

    text: str  # the last assistant message
    reasoning: str  # everything before the final answer is first stated
    answer: str | None  # the final answer as written, without box or delimiters
    reason: Missing | None  # why there is no answer
    rivals: tuple[str, ...] = ()

    @property
    def finished(self) -> bool:
        """Whether the completion gives exactly one final answer."""
        return self.answer is not None

    @cached_property
    def exploration(self) -> str:
        """The reasoning without its boxes: their content is an answer, not a step."""
        return without_boxes(self.reasoning)


def read(
    completion: Completion | Reading | None,
    kind: str = "math",
    *,
    end_of_thinking: str | None = "</think>",
    thinking_required: bool = False,
) -> Reading:
    """Read a completion: where its reasoning ends and what its final answer is.

    Args:
        completion: a string, a message, or a list of messages; a `Reading` is returned unchanged.
        kind: the kind of answer of the completion's row, a key of `KINDS`; see `kinds_of`.
        end_of_thinking: tag that closes the reasoning. The answer is searched for after its last occurrence; a block
            that is opened (`<think>`) but never closed is unfinished. `None`: the whole message is searched.
        thinking_required: whether a completion that never closes its reasoning is unfinished (see `thinking_is_open`).

    >>> read(r"\\boxed{7}? Let me look again: it is one more. So \\boxed{8}").answer
    '8'
    >>> read("Add them:\\n```python\\nprint(3 + 4)\\n```", "code").answer
    'print(3 + 4)\\n'
    """
    if kind not in KINDS:
        raise ConfigError(f"the kind of answer must be one of {', '.join(KINDS)}; got {kind!r}")
    if isinstance(completion, Reading):
        return completion
    earlier, text, thought = _parts(completion)
    whole = f"{earlier}\n{text}" if earlier else text
    tag, opening = end_of_thinking or "", _opening(end_of_thinking)
    start = text.rfind(tag) + len(tag) if tag and tag in text else 0
    if (opening and opening in text[start:]) or (thinking_required and tag and not thought and tag not in whole):
        return Reading(text, whole, None, "unfinished")
    found = KINDS[kind].find(text, start)
    at = len(text) if found.start is None else found.start
    return Reading(text, whole[: len(whole) - len(text) + at], found.answer, found.reason, found.rivals)


def kinds_of(columns: Mapping[str, Any], count: int) -> list[str]:
    """The kind of each of `count` rows: the first of `KINDS` whose column it has, in the columns TRL gives a reward."""
    given = [(name, kind, columns[kind.column]) for name, kind in KINDS.items() if columns.get(kind.column) is not None]
    return [
        next((name for name, kind, values in given if values[i] is not None and kind.holds(values[i])), "math")
        for i in range(count)
    ]


def thinking_is_open(prompt: Any, end_of_thinking: str | None = "</think>", **template_options: Any) -> bool:
    """Whether the generation prompt already opens the thinking block, so that completions only close it.

    The chat templates of R1 distillations and Qwen3-Thinking do; a completion without the closing tag was then cut off.
    `prompt` is a rendered generation prompt, or a tokenizer whose chat template is rendered with `template_options`.

    >>> thinking_is_open("<|User|>2 + 2?<|Assistant|><think>\\n"), thinking_is_open("<|User|>2 + 2?<|Assistant|>")
    (True, False)
    """
    opening = _opening(end_of_thinking)
    if opening and not isinstance(prompt, str):
        turns = [{"role": "user", "content": "2 + 2?"}]
        options = {"tokenize": False, "add_generation_prompt": True, **template_options}
        prompt = prompt.apply_chat_template(turns, **options) if getattr(prompt, "chat_template", None) else ""
    return bool(opening) and prompt.rstrip().endswith(opening)


def completion_text(completion: Completion | None) -> str:
    """The text of the last assistant message; `""` if there is none."""
    return _parts(completion)[1]


def _parts(completion: Completion | None) -> tuple[str, str, bool]:
    """(text before the last message, text of the last message, whether its reasoning is in a separate field)."""
    if isinstance(completion, str):
        return "", completion, False
    messages = [completion] if isinstance(completion, Mapping) else completion or ()
    earlier, last, thoughts = [], "", []
    for turn in messages:
        if isinstance(turn, Mapping) and turn.get("role", "assistant") == "assistant":
            thoughts = [_content_text(turn.get(key)) for key in ("reasoning_content", "thinking", "reasoning")]
            earlier += [last, *thoughts]
            last = _content_text(turn.get("content"))
    return "\n".join(filter(None, earlier)), last, any(thoughts) and bool(last)


def _content_text(content: object) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, Sequence) else ()
    texts = (part.get("text") if isinstance(part, Mapping) else part for part in parts)
    return "".join(text for text in texts if isinstance(text, str))


def _opening(end_of_thinking: str | None) -> str | None:
    opening = (end_of_thinking or "").replace("/", "", 1)
    return opening if opening != end_of_thinking else None
