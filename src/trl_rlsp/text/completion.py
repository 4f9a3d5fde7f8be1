"""Where a completion's reasoning ends, and what its final answer is.

Promises: time linear in the completion's length whatever it holds; the same answer for a string, a message list,
content parts or a multi-turn conversation with tool messages. Knows nothing of mathematics: whether an answer is
right is decided in `trl_rlsp.verification`.

The final answer is looked for in the last assistant message, after the reasoning delimiter:

1. a box (`\\boxed{...}`, `\\fbox{...}`) or an `<answer>...</answer>` tag;
2. failing that, an explicit phrase: `The final answer is ...`, `Answer: ...`, `#### ...`.

Text that changes a box belongs to the answer: `-\\boxed{7}` is -7, `2\\boxed{7}` is 2(7), `\\boxed{5}\\text{ cm}` has
a unit, and `\\boxed{7} is wrong` is no answer at all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from trl_rlsp.text.boxes import Region, find_boxes, find_tags
from trl_rlsp.text.phrases import find_phrases, retracted
from trl_rlsp.text.program import last_program

Completion = str | Sequence[Mapping[str, Any]] | Mapping[str, Any]
"""What TRL hands to a reward: a string, or the messages the model wrote."""

Kind = Literal["math", "code", "gym"]
"""What the answer of a row is: a mathematical value, a program, or the answer to a generated task."""

MAX_REGIONS = 64
"""More answer regions than this are several answers; they are not compared one by one."""

_REASONING_KEYS = ("reasoning_content", "thinking", "reasoning")
_SPACING = re.compile(r"\\[,;:! ]|\\q?quad\b|\\displaystyle\b|\\left\b|\\right\b|[\s$~]+")


@dataclass(frozen=True)
class Reading:
    """A completion split into reasoning and final answer.

    Attributes:
        text: the last assistant message.
        reasoning: everything the model wrote before its first final-answer region (all of it if there is none);
            the part that exploration rewards may count.
        answer: the final answer as written, without box or delimiters; `None` if there is none.
        reason: why there is no answer; `None` if there is one.
    """

    text: str
    reasoning: str
    answer: str | None
    reason: Literal["no_answer", "several_answers", "unfinished"] | None

    @property
    def finished(self) -> bool:
        """Whether the completion gives exactly one final answer."""
        return self.answer is not None


def completion_text(completion: Completion | None) -> str:
    """The text of the last assistant message, `""` if there is none.

    >>> completion_text([{"role": "assistant", "content": [{"type": "text", "text": "hi"}]}])
    'hi'
    """
    if isinstance(completion, str):
        return completion
    return _message_texts(completion)[1]


def kinds_of(columns: Mapping[str, Any], count: int) -> list[Kind]:
    """The kind of each of `count` rows: the first of `tests`, `task`, `solution` that a row has decides.

    Args:
        columns: the data set's columns as TRL passes them to a reward; others are ignored.
        count: number of rows.

    >>> kinds_of({"tests": [None, "[]"], "solution": ["1", None]}, 2)
    ['math', 'code']
    """
    tests, tasks = (columns.get(name) or [None] * count for name in ("tests", "task"))
    return ["code" if t is not None else "gym" if g is not None else "math" for t, g in zip(tests, tasks, strict=True)]


def read(
    completion: Completion | None,
    kind: Kind = "math",
    *,
    end_of_thinking: str | None = "</think>",
    thinking_required: bool = False,
    allow_list: bool = False,
) -> Reading:
    """Read a completion: where its reasoning ends and what its final answer is.

    Args:
        completion: a string, a message, or a list of messages.
        kind: what an answer is for the completion's row.
        end_of_thinking: closes the reasoning; only text after its last occurrence is searched for the answer. A block
            opened (`<think>` for `</think>`) and never closed is unfinished. `None`: the whole message is searched.
        thinking_required: the prompt ends in an open thinking block, so a completion without `end_of_thinking` is
            unfinished.
        allow_list: join several different boxes to one comma-separated answer, for problems whose answer is a list.

    >>> read(r"<think>3 + 4</think> So $x = \\boxed{7}$.").answer
    '7'
    >>> read("Add them:\\n```python\\nprint(3 + 4)\\n```", "code").answer
    'print(3 + 4)\\n'
    """
    earlier, text = ("", completion) if isinstance(completion, str) else _message_texts(completion)
    whole = f"{earlier}\n{text}" if earlier else text
    if thinking_required and end_of_thinking and end_of_thinking not in whole:
        return Reading(text, whole, None, "unfinished")
    if kind != "code":
        return _parse(earlier, text, end_of_thinking, allow_list)
    start, open_block = _answer_region_start(text, end_of_thinking)
    if open_block:
        return Reading(text, whole, None, "unfinished")
    at, program = last_program(text, start)
    return Reading(text, whole[: len(whole) - len(text) + at], program, None if program else "no_answer")


def parse_completion(
    completion: Completion | None, *, delimiter: str | None = "</think>", allow_list: bool = False
) -> Reading:
    """Split a completion into reasoning and final answer.

    Args:
        completion: a string, a message, or a list of messages.
        delimiter: closes the reasoning; only text after its last occurrence is searched for the answer. A block
            opened (`<think>` for `</think>`) and never closed is unfinished. `None`: the whole message is searched.
        allow_list: join several different boxes to one comma-separated answer instead of refusing them; for
            problems whose answer is a list.

    >>> parse_completion(r"<think>3 + 4</think> So $x = \\boxed{7}$.").answer
    '7'
    >>> parse_completion(r"\\boxed{7} or \\boxed{8}").reason
    'several_answers'
    """
    if isinstance(completion, str):
        return _parse("", completion, delimiter, allow_list)
    earlier, text = _message_texts(completion)
    return _parse(earlier, text, delimiter, allow_list)


def _message_texts(completion: Completion | None) -> tuple[str, str]:
    """(all the model wrote before its last message, the text of its last message)."""
    if completion is None:
        return "", ""
    messages = [completion] if isinstance(completion, Mapping) else completion
    turns = [m for m in messages if isinstance(m, Mapping) and m.get("role", "assistant") == "assistant"]
    if not turns:
        return "", ""
    if len(turns) == 1 and not any(key in turns[0] for key in _REASONING_KEYS):
        return "", _content_text(turns[0].get("content"))
    earlier: list[str] = []
    for turn in turns:
        earlier.extend(_content_text(turn.get(key)) for key in _REASONING_KEYS)
        earlier.append(_content_text(turn.get("content")))
    last = earlier.pop()
    return "\n".join(part for part in earlier if part), last


def _content_text(content: object) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, Sequence):
        return ""
    parts = (part.get("text") if isinstance(part, Mapping) else part for part in content)
    return "".join(part for part in parts if isinstance(part, str))


@lru_cache(maxsize=2048)
def _parse(earlier: str, text: str, delimiter: str | None, allow_list: bool) -> Reading:
    start, open_block = _answer_region_start(text, delimiter)
    whole = f"{earlier}\n{text}" if earlier else text
    if open_block:
        return Reading(text, whole, None, "unfinished")
    regions, cut_off = _regions(text, start)
    if not regions:
        return Reading(text, whole, None, "unfinished" if cut_off else "no_answer")
    reasoning = whole[: len(whole) - len(text) + min(region.start for region in regions)]
    if cut_off:
        return Reading(text, reasoning, None, "unfinished")
    answer, reason = _one_answer(regions, allow_list)
    if answer is not None and retracted(text, regions[-1].start, regions[-1].end):
        answer, reason = None, "no_answer"
    return Reading(text, reasoning, answer, reason)


def _answer_region_start(text: str, delimiter: str | None) -> tuple[int, bool]:
    """(where the text after the reasoning starts, whether a reasoning block is still open)."""
    if not delimiter:
        return 0, False
    close = text.rfind(delimiter)
    start = close + len(delimiter) if close >= 0 else 0
    opening = delimiter.replace("/", "", 1)
    return start, opening != delimiter and text.find(opening, start) >= 0


def _regions(text: str, start: int) -> tuple[list[Region], bool]:
    """Final-answer regions in order, and whether the last of them was cut off."""
    boxes, cut_off = find_boxes(text, start)
    if not boxes and not cut_off:
        boxes, cut_off = find_tags(text, start)
    phrases = find_phrases(text, start)
    if not boxes:
        return phrases, cut_off
    # A phrase beside a box only matters if it may contradict it: any after the last box, `final answer` before it.
    rivals = [p for p in phrases if p.final or p.start > boxes[-1].end]
    rivals = [p for p in rivals if not any(p.start < b.end and b.start < p.end for b in boxes)]
    return sorted(boxes + rivals, key=lambda region: region.start), cut_off


def _one_answer(
    regions: list[Region], allow_list: bool
) -> tuple[str | None, Literal["no_answer", "several_answers"] | None]:
    if len(regions) > MAX_REGIONS and len({region.answer for region in regions[:MAX_REGIONS]}) > 1:
        return None, "several_answers"
    distinct = list({_SPACING.sub("", region.answer).rstrip("."): region.answer for region in regions}.values())
    if len(distinct) == 1:
        return (distinct[0], None) if distinct[0].strip() else (None, "no_answer")
    if allow_list and all(answer.strip() for answer in distinct):
        return ", ".join(distinct), None
    return None, "several_answers"
