"""A completion as a demonstration: its reasoning and its one final answer, or the reason why it is none.

A completion that was cut off at the token limit either gives no final answer or goes on after it; both are refused,
so that no token count is needed. A completion that spells out the control tokens of a chat template is refused too:
in a training text they would start a turn of their own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from trl_rlsp.errors import DataError
from trl_rlsp.problems.demonstrations import completion_text
from trl_rlsp.text import Gram, folded_words, read

AFTER_ANSWER = 40
"""Words that may follow the answer (`7 apples, as we wanted to know.`); more is going on."""

CONTROL = re.compile(
    r"<\|[^<>|\s]{1,40}\|>|<(?:user|assistant|system|tool|eos|bos|pad|unk)>|</?s>|\[/?INST\]|<(?:start|end)_of_turn>",
    re.IGNORECASE,
)
"""Control tokens of the usual chat templates, and of the quickstart's tokenizer."""

SURROGATE = re.compile("[\ud800-\udfff]")
"""Half a character, which no UTF-8 file can hold."""

NO_ANSWER = {"no_answer": "no final answer", "several_answers": "several answers", "unfinished": "cut off"}


@dataclass(frozen=True)
class Trace:
    """A completion that can be a demonstration.

    Attributes:
        reasoning: the completion as it is where it ends in its boxed answer, else what comes before the answer;
            together with `answer` a row for `rlsp sft`.
        answer: the final answer as written.
        before: what comes before the answer.
    """

    reasoning: str
    answer: str
    before: str

    @cached_property
    def words(self) -> Gram:
        """The words before the answer."""
        return folded_words(self.before)


def read_trace(text: str, *, messages: int = 1, finished: bool | None = None) -> Trace | str:
    r"""Split a completion into a trace.

    Args:
        text: the completion.
        messages: how many messages it consists of; only one can be a demonstration.
        finished: whether it was recorded as finished.

    Returns:
        The trace, or the reason why there is none, in words.

    Example:
        >>> read_trace(r"3 + 4 = 7, so \boxed{7}.").answer
        '7'
        >>> read_trace("3 + 4 = 7")
        'no final answer'
    """
    if messages != 1:
        return "several messages"
    if CONTROL.search(text):
        return "control tokens"
    if SURROGATE.search(text):
        return "broken text"
    parsed = read(text)
    if parsed.answer is None:
        return NO_ANSWER[parsed.reason or "no_answer"]
    rest = folded_words(text[len(parsed.reasoning) :])
    if finished is False or len(rest) - len(folded_words(parsed.answer)) > AFTER_ANSWER:
        return "cut off"
    if not parsed.reasoning.strip():
        return "no reasoning"
    answer = parsed.answer.strip()
    reasoning = _as_demonstration(text.strip(), parsed.reasoning.strip(), answer)
    return Trace(reasoning, answer, parsed.reasoning) if reasoning else "several answers"


def _as_demonstration(whole: str, before: str, answer: str) -> str | None:
    """The reasoning that `rlsp sft` turns back into a completion with this answer."""
    for reasoning in (whole, before):
        try:
            written = completion_text(reasoning, answer)
        except DataError:
            continue
        if (written == whole or reasoning == before) and read(written).answer is not None:
            return reasoning
    return None
