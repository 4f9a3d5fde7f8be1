"""What is asked of an engine and what comes back."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from trl_rlsp.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

T = TypeVar("T")
Prompts = Sequence[Any] | Mapping[int, Any]
"""Prompts by number: messages, text or `Prefixed`."""


@dataclass(frozen=True)
class Sampling:
    """How completions are drawn; temperature, top-p and length are the paper's."""

    n: int = 1  # completions a prompt
    temperature: float = 0.7  # 0 is greedy
    top_p: float = 1.0
    max_new_tokens: int = 8192
    batch_size: int = 64  # sequences decoded at once (transformers), requests in flight (server); vLLM decides itself
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("n", "max_new_tokens", "batch_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is at least 1, got {getattr(self, name)!r}")
        drawn = f"{self.temperature!r} and {self.top_p!r}"
        if not 0 <= self.temperature < float("inf") or not 0 < self.top_p <= 1:
            raise ConfigError(f"temperature is 0 or more and top_p in (0, 1], got {drawn}")
        if self.temperature == 0 and self.n > 1:
            raise ConfigError(f"greedy decoding gives one completion a prompt, got n={self.n}; set a temperature")


class Request(NamedTuple):
    """One completion to draw: the position of its prompt, and which of the prompt's completions, both from 0."""

    prompt: int
    sample: int


@dataclass(frozen=True)
class Sample:
    """One completion of the prompt at a position in the list given."""

    prompt_index: int
    text: str  # without special tokens
    tokens: int  # the end token included
    truncated: bool  # it ran into the limit
    sample_index: int = 0

    @property
    def request(self) -> Request:
        """What was asked for."""
        return Request(self.prompt_index, self.sample_index)


@dataclass(frozen=True)
class Prefixed:
    """A prompt with the beginning of its completion; a sample of it is the whole completion, beginning included."""

    prompt: Any  # messages or text
    parts: tuple[str, ...]  # the beginning, each part tokenized on its own
    tokens: int  # length of the beginning, counted in the sample's length
    limit: int  # tokens that may be added, in the place of `Sampling.max_new_tokens`

    @classmethod
    def of(cls, prompt: Any, sampling: Sampling) -> Prefixed:
        """Any prompt as such, that of a whole completion with an empty beginning."""
        return prompt if isinstance(prompt, cls) else cls(prompt, (), 0, sampling.max_new_tokens)

    def sample(self, request: Request, text: str, added: int, truncated: bool) -> Sample:
        """A sample from the whole text of a completion and the number of tokens added."""
        return Sample(request.prompt, text, self.tokens + added, truncated, request.sample)


class Engine(Protocol):
    """Draws completions. An engine that has failed has yielded only whole, final samples before."""

    def count(self, text: str) -> int:
        """Length of a text in tokens; an engine without a tokenizer counts words."""

    def sample(self, prompts: Prompts, requests: Sequence[Request], sampling: Sampling) -> Iterator[list[Sample]]:
        """Draw the requested completions, each once, whatever `sampling.n`; yields lists of samples as they are done.

        A list must not depend on the completions' lengths, so that a run may be cut off after any without a bias.
        """
        ...


def all_requests(prompts: int, n: int) -> list[Request]:
    """`n` completions of each of the prompts."""
    return [Request(prompt, sample) for prompt in range(prompts) for sample in range(n)]


def seed_of(seed: int, request: Request) -> int:
    """A seed of a request's own, in 0..2**31 - 1, the same whatever else is drawn."""
    digest = hashlib.sha256(f"{seed} {request.prompt} {request.sample}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def render(prompt: Any, tokenizer: PreTrainedTokenizerBase) -> str:
    """The text that a model sees for a prompt given as messages or as text."""
    if isinstance(prompt, str):
        return prompt
    return str(tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True))


def token_ids(asked: Prefixed, tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[int]]:
    """Token ids of a prompt, and of the beginning of its completion."""
    texts = (render(asked.prompt, tokenizer), *asked.parts)
    prompt, *begun = (list(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts)
    return prompt, [token for ids in begun for token in ids]


def chunks(items: Sequence[T], size: int) -> list[Sequence[T]]:
    """Pieces of at most `size`, in order."""
    return [items[start : start + size] for start in range(0, len(items), size)]
