"""Sampling parameters, requests to an engine, and the samples that it returns."""

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
"""Prompts by index: messages, text or `Prefixed`."""


@dataclass(frozen=True)
class Sampling:
    """How completions are sampled; the default temperature, top-p and length are the paper's."""

    n: int = 1  # completions per prompt
    temperature: float = 0.7  # 0 is greedy
    top_p: float = 1.0
    max_new_tokens: int = 8192
    batch_size: int = 64  # sequences decoded at once (transformers), requests in flight (server); ignored by vLLM
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("n", "max_new_tokens", "batch_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)!r}")
        drawn = f"{self.temperature!r} and {self.top_p!r}"
        if not 0 <= self.temperature < float("inf") or not 0 < self.top_p <= 1:
            raise ConfigError(f"temperature must be 0 or more and top_p in (0, 1], got {drawn}")
        if self.temperature == 0 and self.n > 1:
            raise ConfigError(f"greedy decoding gives one completion per prompt, got n={self.n}; set a temperature")


class Request(NamedTuple):
    """One completion to draw: the index of its prompt, and its index among the prompt's completions, both from 0."""

    prompt: int
    sample: int


@dataclass(frozen=True)
class Sample:
    """One completion of the prompt at index `prompt_index`."""

    prompt_index: int
    text: str  # without special tokens
    tokens: int  # including the end token
    truncated: bool  # whether it reached the limit without an end token
    sample_index: int = 0

    @property
    def request(self) -> Request:
        """The request that this sample answers."""
        return Request(self.prompt_index, self.sample_index)


@dataclass(frozen=True)
class Prefixed:
    """A prompt with the beginning of its completion; a sample is the whole completion, including the beginning."""

    prompt: Any  # messages or text
    parts: tuple[str, ...]  # the beginning, each part tokenized separately
    tokens: int  # length of the beginning, which counts toward the sample's length
    limit: int  # maximum number of new tokens, instead of `Sampling.max_new_tokens`

    @classmethod
    def of(cls, prompt: Any, sampling: Sampling) -> Prefixed:
        """Any prompt as a `Prefixed`; plain prompts get an empty beginning."""
        return prompt if isinstance(prompt, cls) else cls(prompt, (), 0, sampling.max_new_tokens)

    def ids(self, tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[int]]:
        """Token ids of the prompt, and of the beginning of its completion."""
        texts = (render(self.prompt, tokenizer), *self.parts)
        prompt, *begun = (list(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts)
        return prompt, [token for ids in begun for token in ids]

    def sample(self, request: Request, text: str, added: int, truncated: bool) -> Sample:
        """A `Sample` from the whole text of a completion and the number of new tokens."""
        return Sample(request.prompt, text, self.tokens + added, truncated, request.sample)


class Engine(Protocol):
    """Draws completions. All samples that an engine yields before it fails are complete and final."""

    def count(self, text: str) -> int:
        """Length of a text in tokens; an engine without a tokenizer counts words."""

    def sample(self, prompts: Prompts, requests: Sequence[Request], sampling: Sampling) -> Iterator[list[Sample]]:
        """Draw each requested completion once, regardless of `sampling.n`; yields lists of samples as they finish.

        How samples are grouped into lists must not depend on their lengths: stopping after any list causes no bias.
        """
        ...


def all_requests(prompts: int, n: int) -> list[Request]:
    """Requests for `n` completions of each of the prompts."""
    return [Request(prompt, sample) for prompt in range(prompts) for sample in range(n)]


def seed_of(seed: int, request: Request) -> int:
    """The seed of one request, in 0..2**31 - 1, independent of other requests."""
    digest = hashlib.sha256(f"{seed} {request.prompt} {request.sample}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def render(prompt: Any, tokenizer: PreTrainedTokenizerBase) -> str:
    """The text that the model receives for a prompt given as messages or text."""
    if isinstance(prompt, str):
        return prompt
    return str(tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True))


def chunks(items: Sequence[T], size: int) -> list[Sequence[T]]:
    """Pieces of at most `size`, in order."""
    return [items[start : start + size] for start in range(0, len(items), size)]
