r"""A thinking budget over any engine: at least and at most N reasoning tokens (budget forcing, 2501.19393).

Completions are drawn in rounds. One that has not answered within the budget is cut and its answer begun for it; one
that answers too early is cut before its answer and made to go on. Both go back to the engine as the beginning of a
completion. Every segment is stored under its round, so that a run that was killed loses only the batch in flight.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from trl_rlsp.errors import ConfigError, DataError
from trl_rlsp.generation import Engine, Prefixed, Request, Sample, Sampling, all_requests

if TYPE_CHECKING:
    from datasets import Dataset

    from trl_rlsp.evaluation._store import SampleStore

_OPENING = re.compile(r"(?:\s|\$|\*\*|\\\(|\\\[)*\Z")
"""What a completion may have opened for the answer that is cut off after it."""


@dataclass(frozen=True)
class ThinkingBudget:
    r"""How many tokens a model reasons for, and what makes it go on or stop.

    Reasoning is what a completion holds before its answer begins, forced words included. A budget that does not bind
    changes nothing: the completion is what the engine draws without one. A ConfigError for texts that contradict that.

    Args:
        at_least: a completion that begins its answer or ends earlier is cut there and goes on with `continuation`.
        at_most: one that has not begun its answer by then goes on with `answer`, without what it has written of it
            already; `None`: `Sampling.max_new_tokens` cuts it.
        ends: texts, each of which ends the reasoning.
        settled: texts after which a completion may answer before `at_least`: it has found what it looked for.
        answer_tokens: tokens that may follow once the answer has begun.
    """

    at_least: int = 0
    at_most: int | None = None
    continuation: str = "Wait"
    answer: str = "\\boxed{"
    ends: Sequence[str] = ("\\boxed",)
    settled: Sequence[str] = ()
    answer_tokens: int = 32

    def __post_init__(self) -> None:
        if not 0 <= self.at_least <= (math.inf if self.at_most is None else self.at_most):
            got = f"at_least={self.at_least} and at_most={self.at_most}"
            raise ConfigError(f"0 <= at_least <= at_most must hold, got {got}")
        if self.answer_tokens < 1:
            raise ConfigError(f"answer_tokens is at least 1, got {self.answer_tokens}")
        if isinstance(self.ends, str) or isinstance(self.settled, str):
            raise ConfigError(f"ends and settled are lists of texts, got {self.ends!r} and {self.settled!r}")
        if not all((self.continuation, self.answer, *self.ends, *self.settled)) or not self.ends:
            raise ConfigError("continuation, answer and each of ends and settled is a text, got an empty one")
        if self.at_least and not _OPENING.sub("", self.continuation):
            raise ConfigError(f"the continuation must hold a word or a mark of its own, got {self.continuation!r}")
        held = [end for end in self.ends if end in self.continuation]
        if self.at_least and held:
            got = f"{self.continuation!r} holds the end {held[0]!r}"
            raise ConfigError(f"the continuation must not end the reasoning itself, but {got}; give another text")

    def check(self, engine: Engine) -> None:
        """A ConfigError for texts that the tokenizer of an engine, if it has one, can only write as "unknown"."""
        tokenizer = getattr(engine, "tokenizer", None)
        for name, text in {"continuation": self.continuation if self.at_least else "", "answer": self.answer}.items():
            if tokenizer and tokenizer.unk_token_id in tokenizer(text, add_special_tokens=False)["input_ids"]:
                raise ConfigError(
                    f"{name} must be words of the tokenizer's vocabulary, but {text!r} holds {tokenizer.unk_token!r}; "
                    "give a text that the model can write"
                )


@dataclass(frozen=True)
class Thought:
    """A completion, `truncated` only where no budget stopped it; how often it was made to go on, and to answer."""

    sample: Sample
    continued: int = 0
    forced: bool = False


@dataclass(frozen=True)
class _Turn:
    """What is asked next for one completion."""

    asked: Prefixed
    answering: bool = False
    continued: int = 0
    forced: bool = False


def draw_within(
    engine: Engine, dataset: Dataset, sampling: Sampling, budget: ThinkingBudget, *, store: SampleStore | None = None
) -> list[Thought]:
    """`sampling.n` completions of every problem within a budget, in the order of problems and samples.

    `sampling.max_new_tokens` matters only where the budget has no `at_most`. The store keeps every segment, and those
    that it has are not drawn again; segment r of sample s of a problem stands there as sample `s + r * sampling.n`.
    """
    if len(dataset) == 0:
        raise DataError("there are no problems to evaluate on")
    budget.check(engine)
    requests, prompts = all_requests(len(dataset), sampling.n), list(dataset["prompt"])
    most = sampling.max_new_tokens if budget.at_most is None else budget.at_most
    turns = {request: _Turn(Prefixed(prompts[request.prompt], (), 0, most)) for request in requests}
    if most == 0:
        turns = {request: _answer(budget, turn, "", 0, engine.count) for request, turn in turns.items()}
    done: dict[Request, Thought] = {}
    number = 0
    while turns:
        drawn = _round(engine, turns, sampling, number, store)
        following: dict[Request, _Turn] = {}
        for request, turn in turns.items():
            sample = drawn[request]
            if more := _next(budget, turn, sample, most, engine.count):
                following[request] = more
            else:
                whole = replace(_named(sample, request), truncated=sample.truncated and not turn.answering)
                done[request] = Thought(whole, turn.continued, turn.forced)
        turns, number = following, number + 1
    return [done[request] for request in requests]


def _round(
    engine: Engine, turns: dict[Request, _Turn], sampling: Sampling, number: int, store: SampleStore | None
) -> dict[Request, Sample]:
    """The next segment of each open completion: what the store has, else what the engine draws."""
    n = sampling.n
    stored = {request: Request(request.prompt, request.sample + number * n) for request in turns}
    known = {} if store is None else store.samples
    drawn = {request: known[name] for request, name in stored.items() if name in known}
    # The first round asks for the very requests of a run without a budget, so that it draws the same.
    asked = {
        request if number == 0 else Request(request.prompt * n + request.sample, n + number): request
        for request in turns
        if request not in drawn
    }
    prompts = {name.prompt: turns[request].asked for name, request in asked.items()}
    for batch in engine.sample(prompts, list(asked), sampling) if asked else ():
        found = {asked[sample.request]: sample for sample in batch}
        if store is not None:
            store.append([_named(sample, stored[request]) for request, sample in found.items()])
        drawn |= found
    return drawn


def _named(sample: Sample, request: Request) -> Sample:
    return replace(sample, prompt_index=request.prompt, sample_index=request.sample)


def _next(budget: ThinkingBudget, turn: _Turn, sample: Sample, most: int, count: Callable[[str], int]) -> _Turn | None:
    """What a completion must still write; `None` where it is whole."""
    if turn.answering:
        return None
    text, prompt = sample.text, turn.asked.prompt
    begins = min((at for end in budget.ends if (at := text.find(end)) >= 0), default=None)
    thought = text[:begins]
    if begins is None and sample.truncated:
        return None if budget.at_most is None else _answer(budget, turn, text, sample.tokens, count)
    kept = _OPENING.sub("", thought)
    if count(thought) < budget.at_least and not kept.endswith(tuple(budget.settled)):
        spent = count(kept) + count(budget.continuation)
        if spent >= most:
            return _answer(budget, turn, kept, count(kept), count)
        asked = Prefixed(prompt, (kept, budget.continuation), spent, most - spent)
        return _Turn(asked, continued=turn.continued + 1)
    if sample.truncated and budget.at_most is not None:
        asked = Prefixed(prompt, (text,), sample.tokens, budget.answer_tokens)
        return replace(turn, asked=asked, answering=True)
    return None


def _answer(budget: ThinkingBudget, turn: _Turn, text: str, tokens: int, count: Callable[[str], int]) -> _Turn:
    """Begin the answer after `text`, which may end in a part of what begins it."""
    answer, written = budget.answer, 0
    if not answer[0].isalnum():  # a letter may belong to another word
        written = next((size for size in range(len(answer) - 1, 0, -1) if text.endswith(answer[:size])), 0)
    kept = text[: len(text) - written]
    spent = (count(kept) if written else tokens) + count(answer)
    asked = Prefixed(turn.asked.prompt, (kept, answer), spent, budget.answer_tokens)
    return replace(turn, asked=asked, answering=True, forced=True)
