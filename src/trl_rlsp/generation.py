"""Sampling completions for a list of prompts: one function, to which engines other than transformers can be added.

Knows nothing of rewards, verdicts or files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trl_rlsp.errors import ConfigError, SourceError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

NEUTRAL = {"top_k": 0, "min_p": None, "repetition_penalty": 1.0, "no_repeat_ngram_size": 0}
"""What a checkpoint's own generation_config must not change, or the figures would not be of `Sampling`."""


@dataclass(frozen=True)
class Sampling:
    """How completions are drawn.

    Args:
        n: completions a prompt.
        temperature: 0 is greedy; 0.7 in the paper.
        top_p: nucleus mass; 1 in the paper.
        max_new_tokens: longest completion in tokens; 8192 in the paper.
        batch_size: sequences decoded at once.
        seed: seed of the whole draw.

    Raises:
        ConfigError: a value out of its range.
    """

    n: int = 1
    temperature: float = 0.7
    top_p: float = 1.0
    max_new_tokens: int = 8192
    batch_size: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("n", "max_new_tokens", "batch_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is at least 1, got {getattr(self, name)!r}")
        if self.temperature < 0 or not 0 < self.top_p <= 1:
            raise ConfigError(
                f"temperature is 0 or more and top_p in (0, 1], got {self.temperature!r} and {self.top_p!r}"
            )
        if self.temperature == 0 and self.n > 1:
            raise ConfigError(f"greedy decoding gives one completion a prompt, got n={self.n}; set a temperature")


@dataclass(frozen=True)
class Sample:
    """One completion.

    Attributes:
        prompt_index: position of its prompt in the list given.
        text: the completion, without special tokens.
        tokens: its length in tokens, the end token included.
        truncated: whether it ran into `max_new_tokens`.
    """

    prompt_index: int
    text: str
    tokens: int
    truncated: bool


def load_model(name_or_path: str, **kwargs: Any) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A causal model in evaluation mode, an adapter loaded over its base, with its tokenizer padded on the left.

    Args:
        name_or_path: hub id or folder of a model or of a PEFT adapter.
        kwargs: passed to `from_pretrained` (`dtype`, `device_map`, `quantization_config`).

    Raises:
        SourceError: neither a folder with a model nor a hub id that can be reached.
    """
    from peft import AutoPeftModelForCausalLM
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import cached_file

    try:
        adapter = cached_file(name_or_path, "adapter_config.json", _raise_exceptions_for_missing_entries=False)
        auto = AutoPeftModelForCausalLM if adapter else AutoModelForCausalLM
        model = auto.from_pretrained(name_or_path, **kwargs)
        tokenizer = AutoTokenizer.from_pretrained(name_or_path, padding_side="left")
    except (OSError, ValueError) as error:
        raise SourceError(
            f"no model at {name_or_path!r}: neither a folder with config.json or adapter_config.json, nor a hub id "
            f"that can be reached ({error})"
        ) from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return model.eval(), tokenizer


def render(prompt: Any, tokenizer: PreTrainedTokenizerBase) -> str:
    """The text that a model sees for a prompt given as messages or as text."""
    if isinstance(prompt, str):
        return prompt
    return str(tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True))


def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Any],
    sampling: Sampling,
    *,
    on_batch: Callable[[int], None] | None = None,
) -> Iterator[list[Sample]]:
    """Sample completions with transformers, shortest prompts first, batch by batch.

    Args:
        model: a causal language model.
        tokenizer: its tokenizer, padding on the left.
        prompts: P prompts, messages or text.
        sampling: how to draw; `sampling.n` completions a prompt.
        on_batch: called with the number of completions done so far.

    Yields:
        Lists of at most `sampling.batch_size` samples; P * n in all.
    """
    import torch

    texts = [render(prompt, tokenizer) for prompt in prompts]
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    todo = [index for index in order for _ in range(sampling.n)]
    done = 0
    with torch.random.fork_rng(devices=_cuda_devices()), torch.no_grad():
        torch.manual_seed(sampling.seed)
        for start in range(0, len(todo), sampling.batch_size):
            indices = todo[start : start + sampling.batch_size]
            yield _decode_batch(model, tokenizer, [texts[i] for i in indices], indices, sampling)
            done += len(indices)
            if on_batch is not None:
                on_batch(done)


def _cuda_devices() -> list[int]:
    import torch

    return list(range(torch.cuda.device_count()))


def _decode_batch(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: list[str],
    indices: list[int],
    sampling: Sampling,
) -> list[Sample]:
    inputs = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False).to(model.device)
    drawn = {"do_sample": True, "temperature": sampling.temperature, "top_p": sampling.top_p}
    sampler: Any = model
    output: torch.Tensor = sampler.generate(
        input_ids=inputs["input_ids"],
        attention_mask=inputs["attention_mask"],
        max_new_tokens=sampling.max_new_tokens,
        pad_token_id=tokenizer.pad_token_id,
        use_cache=True,
        **(drawn if sampling.temperature > 0 else {"do_sample": False}),
        **NEUTRAL,
    )
    ends = _end_tokens(model, tokenizer)
    samples = []
    for index, ids in zip(indices, output[:, inputs["input_ids"].shape[1] :].tolist(), strict=True):
        length = next((i + 1 for i, token in enumerate(ids) if token in ends), None)
        kept = ids if length is None else ids[:length]
        text = str(tokenizer.decode(kept, skip_special_tokens=True))
        samples.append(Sample(index, text, len(kept), truncated=length is None))
    return samples


def _end_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> set[int]:
    configured = model.generation_config.eos_token_id
    ends = configured if isinstance(configured, list) else [configured]
    return {token for token in (*ends, tokenizer.eos_token_id) if token is not None}
