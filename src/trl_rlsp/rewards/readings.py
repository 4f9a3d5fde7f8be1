"""How the completions of a run are read: one setting for the verifier and every exploration reward."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from trl_rlsp.text.completion import Reading, kinds_of, read, thinking_is_open
from trl_rlsp.text.latex import normalize
from trl_rlsp.verification import Verdict
from trl_rlsp.verification.math.gold import gold_text
from trl_rlsp.verification.math.verifier import is_list


class Reader:
    """Reads a batch of completions.

    Args:
        end_of_thinking: closes the reasoning (`</think>`); `None` if completions have no such mark.
        thinking_required: whether a completion without `end_of_thinking` is unfinished. `None`: where the prompt ends
            in an open thinking block, as the chat templates of R1 distillations write it. The template is that of the
            trainer that calls the reward, or of `look_at_template`; without one only prompts that are strings are
            looked at.
    """

    def __init__(self, end_of_thinking: str | None = "</think>", thinking_required: bool | None = None) -> None:
        self.end_of_thinking, self.thinking_required = end_of_thinking, thinking_required
        self._template_opens: bool | None = None

    @property
    def settings(self) -> tuple[str | None, bool | None]:
        """Both arguments."""
        return self.end_of_thinking, self.thinking_required

    def read(self, completions: Sequence[Any], columns: Mapping[str, Any]) -> list[Reading]:
        """One `Reading` for each of B completions.

        Several answers to a problem whose gold answer is a list are one, and the tags are no part of the reasoning.

        Args:
            completions: strings or message lists.
            columns: the reward's other arguments; `prompts`, `tests`, `task`, `solution` and `log_metric` are used.
        """
        count = len(completions)
        prompts, golds = (columns.get(name) or [None] * count for name in ("prompts", "solution"))
        self.look_at(columns.get("log_metric"))
        rows = zip(completions, kinds_of(columns, count), prompts, golds, strict=True)
        return [self._one(*row) for row in rows]

    def _one(self, completion: Any, kind: Any, prompt: Any, gold: Any) -> Reading:
        required = self.thinking_required
        if required is None:
            required = thinking_is_open(prompt, self.end_of_thinking) if isinstance(prompt, str) else False
            required = required or bool(self._template_opens)
        reading = read(completion, kind, end_of_thinking=self.end_of_thinking, thinking_required=required)
        if reading.rivals and kind == "math" and is_list(gold_text(gold) or ""):
            reading = replace(reading, answer=", ".join(reading.rivals), reason=None)
        tag = self.end_of_thinking
        if tag and tag in reading.reasoning:
            reasoning = reading.reasoning.replace(tag, "\n").replace(tag.replace("/", "", 1), "\n")
            reading = replace(reading, reasoning=reasoning)
        return reading

    def look_at(self, log_metric: Any) -> None:
        """Find out once whether the chat template of the trainer that passes `log_metric` opens a thinking block."""
        trainer = getattr(log_metric, "__self__", None)
        tokenizer = getattr(trainer, "processing_class", None)
        if self._template_opens is None and tokenizer is not None:
            self.look_at_template(tokenizer, **(getattr(trainer, "chat_template_kwargs", None) or {}))

    def look_at_template(self, tokenizer: Any, **options: Any) -> None:
        """Find out whether a tokenizer's chat template, rendered with `options`, opens a thinking block."""
        self._template_opens = thinking_is_open(tokenizer, self.end_of_thinking, **options)


def readings_of(readings: Sequence[Reading] | None, completions: Sequence[Any], **columns: Any) -> Sequence[Reading]:
    """`readings` as the suite passes them, else the completions read with the default settings."""
    if readings is not None:
        return readings
    return [as_explored(reading) for reading in Reader().read(completions, columns)]


def as_explored(reading: Reading, verdict: Any = None) -> Reading:
    r"""The reading as exploration sees it: answers side by side that are one answer finish it.

    Args:
        reading: how a completion was read.
        verdict: the verifier's `Verdict`, or its score. Where it does not say whether the answers are one, they are if
            they are equal as text (`trl_rlsp.text.latex.normalize`).

    Example:
        >>> from trl_rlsp.text.completion import read
        >>> as_explored(read("\\boxed{2\\sqrt2} or \\boxed{2\\sqrt{2}}")).finished
        True
    """
    if reading.finished or not reading.rivals:
        return reading
    if isinstance(verdict, Verdict) and verdict.score is not None:
        one = verdict.reason != "several_answers"
    else:
        one = bool(verdict) and not isinstance(verdict, Verdict)
        one = one or len(set(map(normalize, reading.rivals))) == 1
    return replace(reading, answer=reading.rivals[0], reason=None) if one else reading
