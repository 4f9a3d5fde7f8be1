"""The engine that needs nothing but transformers: batches of prompts of like length, decoded with a KV cache.

Finished sequences leave the batch every `SEGMENT` tokens, cache and all, so that the long ones do not carry them along.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from trl_rlsp.errors import SourceError
from trl_rlsp.generation.sampling import Request, Sample, Sampling, all_requests, chunks, render, seed_of

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

NEUTRAL = {"top_k": 0, "min_p": None, "repetition_penalty": 1.0, "no_repeat_ngram_size": 0}
"""What a checkpoint's own generation_config must not change, or the figures would not be of `Sampling`."""

SEGMENT = 16
"""Tokens decoded before finished sequences leave the batch (`benchmarks/decoding.py` compares 16, 32 and 64)."""


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
    done = 0
    requests = all_requests(len(prompts), sampling.n)
    for batch in TransformersEngine(model, tokenizer).sample(prompts, requests, sampling):
        yield batch
        done += len(batch)
        if on_batch is not None:
            on_batch(done)


class TransformersEngine:
    """Decodes with `model.generate`.

    Args:
        model: a causal language model.
        tokenizer: its tokenizer, padding on the left.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.ends = end_tokens(model, tokenizer)

    def sample(self, prompts: Sequence[Any], requests: Sequence[Request], sampling: Sampling) -> Iterator[list[Sample]]:
        """Draw the requested completions, shortest prompts first; a batch's seed is that of its first request."""
        import torch

        wanted = sorted({request.prompt for request in requests})
        texts = {index: render(prompts[index], self.tokenizer) for index in wanted}
        for batch in chunks(sorted(requests, key=lambda r: (len(texts[r.prompt]), r)), sampling.batch_size):
            with torch.random.fork_rng(devices=range(torch.cuda.device_count())), torch.no_grad():
                torch.manual_seed(seed_of(sampling.seed, batch[0]))
                completions = self._decode([texts[request.prompt] for request in batch], sampling)
            yield [self._to_sample(request, ids) for request, ids in zip(batch, completions, strict=True)]

    def _decode(self, texts: list[str], sampling: Sampling) -> list[list[int]]:
        """Token ids of a completion for each text, cut after its first end token."""
        inputs = self.tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
        batch = inputs.to(self.model.device)
        return decode(self.model, batch["input_ids"], batch["attention_mask"], self.ends, sampling, self._padding())

    def _padding(self) -> int:
        padding = self.tokenizer.pad_token_id
        return int(padding if isinstance(padding, int) else 0)

    def _to_sample(self, request: Request, ids: list[int]) -> Sample:
        text = str(self.tokenizer.decode(ids, skip_special_tokens=True))
        return Sample(request.prompt, text, len(ids), ids[-1] not in self.ends, request.sample)


def decode(
    model: Any,
    ids_BT: torch.Tensor,
    mask_BT: torch.Tensor,
    ends: Sequence[int],
    sampling: Sampling,
    padding: int,
) -> list[list[int]]:
    """Continue B sequences, each until an end token or `sampling.max_new_tokens`.

    Args:
        model: a model with transformers' `generate`.
        ids_BT: prompts padded on the left, B sequences of T tokens.
        mask_BT: 1 where there is a token, 0 where there is padding.
        ends: tokens that end a completion.
        sampling: how to draw.
        padding: the token that stands behind an end token.

    Returns:
        B lists of 1 to `max_new_tokens` tokens, the end token included.
    """
    import torch

    from trl_rlsp.generation.cache import kept

    drawn: dict[str, Any] = {"do_sample": False}
    if sampling.temperature > 0:
        drawn = {"do_sample": True, "temperature": sampling.temperature, "top_p": sampling.top_p}
    completions: list[list[int]] = [[] for _ in range(len(ids_BT))]
    rows, cache, left = list(range(len(ids_BT))), None, sampling.max_new_tokens
    stops = torch.tensor(list(ends), device=ids_BT.device)
    while rows and left > 0:
        found = model.generate(
            input_ids=ids_BT,
            attention_mask=mask_BT,
            max_new_tokens=min(SEGMENT, left),
            past_key_values=cache,
            eos_token_id=list(ends),
            pad_token_id=padding,
            use_cache=True,
            return_dict_in_generate=True,
            **drawn,
            **NEUTRAL,
        )
        new_BS = found.sequences[:, ids_BT.shape[1] :]
        left -= new_BS.shape[1]
        for row, new in zip(rows, new_BS.tolist(), strict=True):
            completions[row] += _until_end(new, ends)
        alive_B = ~torch.isin(new_BS, stops).any(dim=1)
        keep = alive_B.nonzero().flatten()
        rows = [rows[i] for i in keep.tolist()]
        mask_BT = torch.cat([mask_BT, torch.ones_like(new_BS)], dim=1)[keep]
        ids_BT = found.sequences[keep]
        cache = kept(found.past_key_values, keep, SEGMENT) if rows else None
    return completions


def _until_end(ids: list[int], ends: Sequence[int]) -> list[int]:
    length = next((i + 1 for i, token in enumerate(ids) if token in ends), len(ids))
    return ids[:length]


def end_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The tokens that end a completion: those of the model's generation config, and the tokenizer's own."""
    configured = model.generation_config.eos_token_id
    ends = configured if isinstance(configured, list) else [configured]
    return sorted({token for token in (*ends, tokenizer.eos_token_id) if token is not None})
