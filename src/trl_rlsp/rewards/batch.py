"""The batch of a step as every reward needs it: how each completion is parsed, and which group it belongs to.

TRL may split a group of completions across ranks, so values that depend on a group are gathered. Groups are identified
by their problem: two groups of one batch with the same problem are pooled. Gathering is a collective operation: in a
distributed run, every rank must call the functions here in the same order and equally often, or all ranks hang.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from typing import Any, TypeVar

from trl_rlsp.errors import ConfigError
from trl_rlsp.text import KINDS, Reading, kinds_of, normalize, prompt_text, read, thinking_is_open
from trl_rlsp.verification import Verdict, gold_text, is_list

T = TypeVar("T")


@dataclass
class Reader:
    """Parses the completions of a run, with the same settings for the verifier and every exploration reward.

    Args:
        end_of_thinking: tag that closes the reasoning (`</think>`); `None` if completions have no such tag.
        thinking_required: whether a completion without that tag is unfinished. `None`: only if the prompt, rendered
            with the chat template of the trainer that calls the reward, ends in an open thinking block.
    """

    end_of_thinking: str | None = "</think>"
    thinking_required: bool | None = None
    _template_opens: bool | None = field(default=None, init=False, repr=False, compare=False)

    def read(self, completions: Sequence[Any], columns: Mapping[str, Any]) -> list[Reading]:
        """One `Reading` for each of B completions; if the gold answer is a list, several answers count as one."""
        count = len(completions)
        prompts, golds = (columns.get(name) or [None] * count for name in ("prompts", "solution"))
        self.look_at(columns.get("log_metric"))
        return [self._one(*row) for row in zip(completions, kinds_of(columns, count), prompts, golds, strict=True)]

    def _one(self, completion: Any, kind: Any, prompt: Any, gold: Any) -> Reading:
        if (required := self.thinking_required) is None:
            opens = isinstance(prompt, str) and thinking_is_open(prompt, self.end_of_thinking)
            required = opens or bool(self._template_opens)
        reading = read(completion, kind, end_of_thinking=self.end_of_thinking, thinking_required=required)
        if reading.rivals and kind == "math" and is_list(gold_text(gold) or ""):
            reading = replace(reading, answer=", ".join(reading.rivals), reason=None)
        tag = self.end_of_thinking
        if not tag or tag not in reading.reasoning:
            return reading
        return replace(reading, reasoning=reading.reasoning.replace(tag, "\n").replace(tag.replace("/", "", 1), "\n"))

    def look_at(self, log_metric: Any) -> None:
        """Determine once whether the chat template of the trainer behind `log_metric` opens a thinking block."""
        trainer = getattr(log_metric, "__self__", None)
        tokenizer = getattr(trainer, "processing_class", None)
        if self._template_opens is None and tokenizer is not None:
            self.look_at_template(tokenizer, **(getattr(trainer, "chat_template_kwargs", None) or {}))

    def look_at_template(self, tokenizer: Any, **options: Any) -> None:
        """Determine whether a tokenizer's chat template, rendered with `options`, opens a thinking block."""
        self._template_opens = thinking_is_open(tokenizer, self.end_of_thinking, **options)


def as_explored(reading: Reading, verdict: Any = None) -> Reading:
    r"""The reading for exploration rewards: finished also if rivals are one answer, by the verdict or as text.

    Example:
        >>> as_explored(read("\\boxed{2\\sqrt2} or \\boxed{2\\sqrt{2}}")).finished
        True
    """
    if reading.finished or not reading.rivals:
        return reading
    if isinstance(verdict, Verdict) and verdict.score is not None:
        one = verdict.reason != "several_answers"
    else:
        right = bool(verdict) and not isinstance(verdict, Verdict)
        one = right or len(set(map(normalize, reading.rivals))) == 1
    return replace(reading, answer=reading.rivals[0], reason=None) if one else reading


@dataclass(frozen=True)
class Batch:
    """The B completions passed to an exploration reward, as TRL passes them.

    `columns` are the reward's other arguments: `prompts`, the data set's columns, `completion_ids`.
    """

    completions: Sequence[Any]
    readings: Sequence[Reading]
    columns: Mapping[str, Any]
    log_metric: Any = None

    @property
    def rows(self) -> Iterable[tuple[Reading, str]]:
        """Each completion's reading with the text of its prompt, `""` without prompts."""
        prompts = self.columns.get("prompts") or [None] * len(self.completions)
        return zip(self.readings, map(prompt_text, prompts), strict=True)

    @cached_property
    def keys(self) -> list[str]:
        """The identity of each completion's group; ConfigError without prompts."""
        return group_keys(self.columns.get("prompts"), self.columns)

    def members(self, values: Sequence[T]) -> list[list[T]]:
        """For each completion, the values of its whole group over all ranks; ConfigError without prompts."""
        groups = gather_groups(self.keys, values)
        return [groups[key] for key in self.keys]

    def log(self, name: str, values: Iterable[float | None]) -> None:
        """Log the mean of the known `values`, if there are any and the trainer logs."""
        log_mean(self.log_metric, name, values)


def mean(values: Iterable[float | None]) -> float | None:
    """The mean of the known values, `None` without any; exact, so that it does not depend on the order of ranks."""
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None


def log_mean(log_metric: Any, name: str, values: Iterable[float | None]) -> None:
    """Log the mean of the known values, if there are any and the trainer logs."""
    if log_metric is not None and (known := mean(values)) is not None:
        log_metric(name, known)


def group_keys(prompts: Sequence[Any] | None, columns: Mapping[str, Any]) -> list[str]:
    """The identity of each completion's group: a hash of prompt, `tests`, `task` and `solution`, equal on every rank.

    Example:
        >>> one, two, three = group_keys(["1 + 2", "3 + 4", "1 + 2"], {"solution": ["3", "7", "3"]})
        >>> one == three, one == two
        (True, False)
    """
    if prompts is None:
        raise ConfigError("a group is the completions of one prompt, got no prompts; pass prompts=[...]")
    given = [columns[kind.column] for kind in KINDS.values() if columns.get(kind.column) is not None]
    if odd := [len(column) for column in given if len(column) != len(prompts)]:
        raise ConfigError(f"{len(prompts)} prompts need {len(prompts)} values in each column, got {odd[0]}")
    written = (json.dumps(row, sort_keys=True, default=_written) for row in zip(prompts, *given, strict=True))
    return [hashlib.blake2b(row.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest() for row in written]


def _written(value: Any) -> Any:
    """The replacement for a value that JSON does not support: the bytes of an image or array, else its text."""
    if hasattr(value, "tobytes"):
        return hashlib.blake2b(value.tobytes(), digest_size=16).hexdigest()
    return sorted(map(str, value)) if isinstance(value, (set, frozenset)) else str(value)


def gather_groups(keys: Sequence[str], values: Sequence[T]) -> dict[str, list[T]]:
    """Key -> the values of its group over all ranks, in rank order; one collective call.

    Example:
        >>> gather_groups(["a", "b", "a"], [1, 2, 3])
        {'a': [1, 3], 'b': [2]}
    """
    groups: dict[str, list[T]] = {}
    for key, value in chain.from_iterable(gather_ranks(list(zip(keys, values, strict=True)))):
        groups.setdefault(key, []).append(value)
    return groups


def gather_ranks(items: list[T]) -> list[list[T]]:
    """The items (picklable) of all ranks, in rank order."""
    distributed: Any = sys.modules.get("torch.distributed")  # if not imported, there is only one rank
    if not (distributed and distributed.is_available() and distributed.is_initialized()):
        return [items]
    gathered: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(gathered, items)
    return gathered
