"""Where a completion's reasoning ends, and what its final answer is.

The answer is looked for in the last assistant message, after the reasoning; `KINDS` says what it looks like.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from trl_rlsp.errors import ConfigError
from trl_rlsp.text._answers import Found, Missing, find_marked, find_program
from trl_rlsp.text._boxes import without_boxes

Completion = str | Sequence[Mapping[str, Any]] | Mapping[str, Any]
"""What TRL hands to a reward: a string, or the messages the model wrote."""


def is_task(value: Any) -> bool:
    """Whether a value of the column `task` is the JSON of a generated task, and not a label of the user's own."""
    return isinstance(value, str) and value.lstrip().startswith("{")


class AnswerKind(NamedTuple):
    """A kind of answer: the column with the truth, the search for the answer, and which values are a truth at all."""

    column: str
    find: Callable[[str, int], Found]
    holds: Callable[[Any], bool] = lambda value: True


KINDS: dict[str, AnswerKind] = {
    "code": AnswerKind("tests", find_program),
    "gym": AnswerKind("task", find_marked, is_task),
    "math": AnswerKind("solution", find_marked),
}
"""The kinds of answers, by name. The first whose column a row has is the row's; a further kind is one entry."""

GOLD_COLUMNS = tuple(sorted(kind.column for kind in KINDS.values()))
"""The columns of a data set that hold what an answer is compared with."""


@dataclass(frozen=True)
class Reading:
    """A completion split into reasoning and final answer.

    `rivals` are, with `several_answers`, those of the closing statement; the verifier says if they are equal by value.
    """

    text: str  # the last assistant message
    reasoning: str  # all that comes before the final answer is stated for the first time
    answer: str | None  # the final answer as written, without box or delimiters
    reason: Missing | None  # why there is no answer
    rivals: tuple[str, ...] = ()

    @property
    def finished(self) -> bool:
        """Whether the completion gives exactly one final answer."""
        return self.answer is not None

    @cached_property
    def exploration(self) -> str:
        """The reasoning without the boxes on the way: what they hold is an answer, not a step."""
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
        completion: a string, a message, or a list of messages; a reading stays as it is.
        kind: what an answer is for the completion's row, a key of `KINDS`; see `kinds_of`.
        end_of_thinking: closes the reasoning; the answer is looked for after its last occurrence, and a block opened
            (`<think>`) and never closed is unfinished. `None`: the whole message is searched.
        thinking_required: a completion that never closes its reasoning is unfinished (see `thinking_is_open`).

    >>> read(r"\\boxed{7}? Let me look again: it is one more. So \\boxed{8}").answer
    '8'
    >>> read("Add them:\\n```python\\nprint(3 + 4)\\n```", "code").answer
    'print(3 + 4)\\n'
    """
    if kind not in KINDS:
        raise ConfigError(f"a kind of answer is one of {', '.join(KINDS)}; got {kind!r}")
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
    """The kind of each of `count` rows: the first of `KINDS` whose column it has, as TRL passes columns to a reward."""
    given = [(name, kind, columns[kind.column]) for name, kind in KINDS.items() if columns.get(kind.column) is not None]
    return [
        next((name for name, kind, values in given if values[i] is not None and kind.holds(values[i])), "math")
        for i in range(count)
    ]


def thinking_is_open(prompt: Any, end_of_thinking: str | None = "</think>", **template_options: Any) -> bool:
    """Whether the prompt of a generation already opens the thinking block, so that completions only close it.

    Chat templates of R1 distillations and Qwen3-Thinking do; a completion without the closing tag was then cut off.
    `prompt` is a rendered generation prompt, or a tokenizer, whose chat template is rendered with `template_options`.

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
    """The text of the last assistant message, `""` if there is none."""
    return _parts(completion)[1]


def _parts(completion: Completion | None) -> tuple[str, str, bool]:
    """(what was written before the last message, that message's text, whether its reasoning has a field of its own)."""
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
