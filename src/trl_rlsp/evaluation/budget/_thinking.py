r"""A thinking budget for any engine: at least and at most N reasoning tokens (budget forcing, 2501.19393).

Completions that answer too early or too late are cut, and the engine continues them from there.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from trl_rlsp.errors import ConfigError, DataError
from trl_rlsp.evaluation._store import SampleStore
from trl_rlsp.generation import Engine, Prefixed, Request, Sample, Sampling, all_requests

if TYPE_CHECKING:
    from datasets import Dataset

_OPENING = re.compile(r"(?:\s|\$|\*\*|\\\(|\\\[)*\Z")
"""Markup that a completion may have opened for the answer that is cut off."""


@dataclass(frozen=True)
class ThinkingBudget:
    r"""How many tokens a model reasons for, and the texts that make it continue or stop.

    Reasoning is the part of a completion before its answer, inserted texts included. A budget that does not bind
    changes nothing: the completion is the one sampled without a budget. A ConfigError for texts that contradict that.

    Args:
        at_least: a completion that ends or begins its answer earlier is cut there and continued with `continuation`.
        at_most: a completion that has not begun its answer by then is continued with `answer`; a partial `answer` at
            its end is removed first. With `None`, `Sampling.max_new_tokens` cuts it.
        ends: texts, each of which ends the reasoning.
        settled: texts after which a completion may answer before `at_least`, because it has found a solution.
        answer_tokens: most tokens once the answer has begun.
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
        """Raise a ConfigError for texts that the engine's tokenizer, if it has one, encodes with its unknown token."""
        tokenizer: Any = getattr(engine, "tokenizer", None)
        names = ("continuation", "answer") if self.at_least else () if self.at_most is None else ("answer",)
        for name, text in ((name, getattr(self, name)) for name in names if tokenizer):
            if tokenizer.unk_token_id in tokenizer(text, add_special_tokens=False)["input_ids"]:
                rule = f"{name} must be words of the tokenizer's vocabulary, but {text!r} holds {tokenizer.unk_token!r}"
                raise ConfigError(f"{rule}; give a text that the model can write")


@dataclass(frozen=True)
class Thought:
    """A completion (`truncated` only if no budget stopped it), how often it was continued, and if it was forced."""

    sample: Sample
    continued: int = 0
    forced: bool = False


def draw_within(
    engine: Engine, dataset: Dataset, sampling: Sampling, budget: ThinkingBudget, *, store: SampleStore | None = None
) -> list[Thought]:
    """`sampling.n` completions of every problem within a budget, in the order of problems and samples.

    `sampling.max_new_tokens` matters only if the budget has no `at_most`. The store keeps every segment, and stored
    segments are not drawn again; segment r of sample s of a problem is stored as sample `s + r * sampling.n`.
    """
    if len(dataset) == 0:
        raise DataError("there are no problems to evaluate on")
    budget.check(engine)
    requests, prompts = all_requests(len(dataset), sampling.n), list(dataset["prompt"])
    thinking = {request: _think(prompts[request.prompt], budget, sampling, engine.count) for request in requests}
    asked = {request: next(completion) for request, completion in thinking.items()}
    done: dict[Request, Thought] = {}
    number = 0
    while asked:
        drawn = _round(engine, asked, sampling, number, store)
        for request in list(asked):
            try:
                asked[request] = thinking[request].send(drawn[request])
            except StopIteration as end:
                done[request] = replace(end.value, sample=_named(end.value.sample, request))
                del asked[request]
        number += 1
    return [done[request] for request in requests]


def _think(
    prompt: Any, budget: ThinkingBudget, sampling: Sampling, count: Callable[[str], int]
) -> Generator[Prefixed, Sample, Thought]:
    """One completion: yields the next request for the engine, and receives the sample."""
    most = sampling.max_new_tokens if budget.at_most is None else budget.at_most
    begun: tuple[str, ...] = ()
    spent, continued, text, tokens = 0, 0, "", 0
    while spent < most:
        sample = yield Prefixed(prompt, begun, spent, most - spent)
        text, tokens = sample.text, sample.tokens
        begins = min((at for end in budget.ends if (at := text.find(end)) >= 0), default=None)
        if begins is None and sample.truncated:
            if budget.at_most is None:
                return Thought(sample, continued)
            break
        kept = _OPENING.sub("", text[:begins])
        if count(text[:begins]) >= budget.at_least or kept.endswith(tuple(budget.settled)):
            if sample.truncated and budget.at_most is not None:
                sample = replace((yield Prefixed(prompt, (text,), tokens, budget.answer_tokens)), truncated=False)
            return Thought(sample, continued)
        text, tokens = kept, count(kept)
        begun, spent = (kept, budget.continuation), tokens + count(budget.continuation)
        continued += spent < most
    written = 0  # characters of the answer at the end of the text
    if not budget.answer[0].isalnum():  # a letter may be part of another word
        written = next((n for n in range(len(budget.answer) - 1, 0, -1) if text.endswith(budget.answer[:n])), 0)
    kept = text[: len(text) - written]
    spent = (count(kept) if written else tokens) + count(budget.answer)
    sample = yield Prefixed(prompt, (kept, budget.answer), spent, budget.answer_tokens)
    return Thought(replace(sample, truncated=False), continued, forced=True)


def _round(
    engine: Engine, asked: dict[Request, Prefixed], sampling: Sampling, number: int, store: SampleStore | None
) -> dict[Request, Sample]:
    """The next segment of each open completion, from the store or else from the engine."""
    n, known = sampling.n, {} if store is None else store.samples
    stored = {request: Request(request.prompt, request.sample + number * n) for request in asked}
    drawn = {request: known[name] for request, name in stored.items() if name in known}
    # The first round makes the same requests as a run without a budget, so that it draws the same samples.
    missing = {
        request if number == 0 else Request(request.prompt * n + request.sample, n + number): request
        for request in asked
        if request not in drawn
    }
    prompts = {name.prompt: asked[request] for name, request in missing.items()}
    for batch in engine.sample(prompts, list(missing), sampling) if missing else ():
        found = {missing[sample.request]: sample for sample in batch}
        if store is not None:
            store.append([_named(sample, stored[request]) for request, sample in found.items()])
        drawn |= found
    return drawn


def _named(sample: Sample, request: Request) -> Sample:
    return replace(sample, prompt_index=request.prompt, sample_index=request.sample)
