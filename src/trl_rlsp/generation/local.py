"""The engine that needs nothing but transformers: batches of prompts of like length, decoded with a KV cache.

Finished sequences leave the batch every `SEGMENT` tokens, cache and all, so that the long ones do not carry them along.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from trl_rlsp.errors import SourceError
from trl_rlsp.generation.sampling import (
    Prompts,
    Request,
    Sample,
    Sampling,
    all_requests,
    chunks,
    limit_of,
    render,
    sample_of,
    seed_of,
    token_ids,
)

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

NEUTRAL = {"top_k": 0, "min_p": None, "repetition_penalty": 1.0, "no_repeat_ngram_size": 0}
"""What a checkpoint's own generation_config must not change, or the samples would not be of `Sampling`."""

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

    def count(self, text: str) -> int:
        """Length of a text in tokens."""
        return len(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def sample(self, prompts: Prompts, requests: Sequence[Request], sampling: Sampling) -> Iterator[list[Sample]]:
        """Draw the requested completions, shortest prompts first; a batch's seed is that of its first request."""
        import torch

        length = {index: len(render(prompts[index], self.tokenizer)) for index in {r.prompt for r in requests}}
        for batch in chunks(sorted(requests, key=lambda r: (length[r.prompt], r)), sampling.batch_size):
            with torch.random.fork_rng(devices=range(torch.cuda.device_count())), torch.no_grad():
                torch.manual_seed(seed_of(sampling.seed, batch[0]))
                yield self._decode(batch, [prompts[request.prompt] for request in batch], sampling)

    def _decode(self, requests: Sequence[Request], prompts: list[Any], sampling: Sampling) -> list[Sample]:
        """A sample for each request, cut after its first end token."""
        tokenizer = self.tokenizer
        asked = [token_ids(prompt, tokenizer) for prompt in prompts]
        inputs = {"input_ids": [[*prompt, *begun] for prompt, begun in asked]}
        batch = tokenizer.pad(inputs, padding_side="left", return_tensors="pt").to(self.model.device)
        limits = [limit_of(prompt, sampling) for prompt in prompts]
        padding = tokenizer.pad_token_id if isinstance(tokenizer.pad_token_id, int) else 0
        ids, mask = batch["input_ids"], batch["attention_mask"]
        completions = decode(self.model, ids, mask, self.ends, sampling, padding, limits)
        texts = [
            str(tokenizer.decode([*begun, *new], skip_special_tokens=True))
            for (_, begun), new in zip(asked, completions, strict=True)
        ]
        return [
            sample_of(request, prompt, text, len(new), new[-1] not in self.ends)
            for request, prompt, text, new in zip(requests, prompts, texts, completions, strict=True)
        ]


def decode(
    model: Any,
    ids_BT: torch.Tensor,
    mask_BT: torch.Tensor,
    ends: Sequence[int],
    sampling: Sampling,
    padding: int,
    limits: Sequence[int] | None = None,
) -> list[list[int]]:
    """Continue B sequences, each until an end token or its limit.

    Args:
        model: a model with transformers' `generate`.
        ids_BT: prompts padded on the left, B sequences of T tokens.
        mask_BT: 1 where there is a token, 0 where there is padding.
        ends: tokens that end a completion.
        sampling: how to draw.
        padding: the token that stands behind an end token.
        limits: tokens that may be added to each of the B sequences; default `sampling.max_new_tokens` for all.

    Returns:
        B lists of at least one token and at most its limit, the end token included.
    """
    import torch

    from trl_rlsp.generation.cache import kept

    drawn: dict[str, Any] = {"do_sample": False}
    if sampling.temperature > 0:
        drawn = {"do_sample": True, "temperature": sampling.temperature, "top_p": sampling.top_p}
    completions: list[list[int]] = [[] for _ in range(len(ids_BT))]
    limits = [sampling.max_new_tokens] * len(ids_BT) if limits is None else limits
    rows, cache, done = list(range(len(ids_BT))), None, 0
    stops = torch.tensor(list(ends), device=ids_BT.device)
    while rows:
        found = model.generate(
            input_ids=ids_BT,
            attention_mask=mask_BT,
            max_new_tokens=min(SEGMENT, max(limits[row] for row in rows) - done),
            past_key_values=cache,
            eos_token_id=list(ends),
            pad_token_id=padding,
            use_cache=True,
            return_dict_in_generate=True,
            **drawn,
            **NEUTRAL,
        )
        new_BS = found.sequences[:, ids_BT.shape[1] :]
        for row, new in zip(rows, new_BS.tolist(), strict=True):
            completions[row] += _until_end(new[: limits[row] - done], ends)
        done += new_BS.shape[1]
        within_B = torch.tensor([limits[row] > done for row in rows], device=new_BS.device)
        keep = (within_B & ~torch.isin(new_BS, stops).any(dim=1)).nonzero().flatten()
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
