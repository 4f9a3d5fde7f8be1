"""Decode with transformers, dropping finished sequences from the batch; for evaluation and `GRPOTrainer` rollouts.

In `model.generate`, every completion of a batch waits for the longest one, prefill runs once per completion, and the
KV cache is copied for each new token. Here, finished sequences leave the batch every `SEGMENT` tokens, prefill runs
once per prompt, and the cache is written in place; transformers still prepares logits processors and stopping criteria.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import pad
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer
from transformers.utils import logging

from trl_rlsp.errors import ConfigError, SourceError
from trl_rlsp.generation.sampling import Prefixed, Prompts, Request, Sample, Sampling, chunks, render, seed_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase
    from trl import GRPOTrainer

log: Any = logging.get_logger(__name__)

SEGMENT = 8  # tokens decoded before finished sequences leave the batch
ROOM = 64  # tokens of free space in the cache after it is copied
# overrides a checkpoint's own generation_config, so that samples follow `Sampling`
NEUTRAL = {"top_k": 0, "min_p": None, "repetition_penalty": 1.0, "no_repeat_ngram_size": 0, "num_beams": 1}
POSITIONS = ("position_ids", "cache_position")
# logits processors without state about the batch; others declare this with an attribute `row_by_row`
ROW_BY_ROW = {"Temperature", "TopK", "TopP", "MinP"}


def load_model(name_or_path: str, **kwargs: Any) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a causal model or PEFT adapter (with its base) in evaluation mode, and its tokenizer, padding on the left.

    `kwargs` go to `from_pretrained` (`dtype`, `device_map`, `quantization_config`). SourceError: no such model.
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
        wanted = "it is neither a folder with config.json or adapter_config.json nor a reachable hub id"
        raise SourceError(f"no model at {name_or_path!r}: {wanted} ({error})") from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return model.eval(), tokenizer


class TransformersEngine:
    """Decodes with a causal language model and its tokenizer, padding on the left."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        self.model, self.tokenizer = model, tokenizer
        configured: Any = model.generation_config.eos_token_id
        ends = configured if isinstance(configured, list) else [configured]
        self.ends = sorted({token for token in (*ends, tokenizer.eos_token_id) if token is not None})

    def count(self, text: str) -> int:
        """Length of a text in tokens."""
        return len(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def sample(self, prompts: Prompts, requests: Sequence[Request], sampling: Sampling) -> Iterator[list[Sample]]:
        """Draw the requested completions, shortest prompts first; each batch is seeded by its first request."""
        asked = {index: Prefixed.of(prompts[index], sampling) for index in {r.prompt for r in requests}}
        length = {i: len("".join((render(one.prompt, self.tokenizer), *one.parts))) for i, one in asked.items()}
        for batch in chunks(sorted(requests, key=lambda r: (length[r.prompt], r)), sampling.batch_size):
            with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
                torch.manual_seed(seed_of(sampling.seed, batch[0]))
                yield self._decode(batch, [asked[request.prompt] for request in batch], sampling)

    def _decode(self, requests: Sequence[Request], asked: list[Prefixed], sampling: Sampling) -> list[Sample]:
        """One sample per request, cut after its first end token or at its limit."""
        model: Any = self.model
        tokenizer = self.tokenizer
        ids = [one.ids(tokenizer) for one in asked]
        inputs = {"input_ids": [[*prompt, *begun] for prompt, begun in ids]}
        batch = tokenizer.pad(inputs, padding_side="left", return_tensors="pt").to(model.device)
        limits = [one.limit for one in asked]
        drawn = {"temperature": sampling.temperature, "top_p": sampling.top_p} if sampling.temperature > 0 else {}
        with finished_leave(model, limits):
            found = model.generate(
                **batch,
                max_new_tokens=max(limits),
                eos_token_id=self.ends,
                pad_token_id=tokenizer.pad_token_id if isinstance(tokenizer.pad_token_id, int) else 0,
                use_cache=True,
                do_sample=bool(drawn),
                **drawn,
                **NEUTRAL,
            )
        samples = []
        new_ids = found[:, batch["input_ids"].shape[1] :].tolist()
        for request, one, (_, begun), new in zip(requests, asked, ids, new_ids, strict=True):
            end = next((place for place, token in enumerate(new[: one.limit]) if token in self.ends), None)
            own = new[: one.limit if end is None else end + 1]
            text = str(tokenizer.decode([*begun, *own], skip_special_tokens=True))
            samples.append(one.sample(request, text, len(own), end is None))
        return samples


def leaving_rollout(prompts: list[Any], trainer: GRPOTrainer) -> dict[str, Any]:
    """A `rollout_func` for `GRPOTrainer` that drops finished sequences; `RLSPGRPOTrainer` does this without it.

    Samples from the same distribution as TRL's own rollout, with other random numbers; the trainer computes `logprobs`.
    ConfigError for a trainer whose rollouts it cannot generate (see `why_not`).
    """
    if reason := why_not(trainer):
        raise ConfigError(f"leaving_rollout cannot generate these rollouts: {reason}. Omit rollout_func")
    prompt_ids, images, fields = trainer._tokenize_prompts(prompts)
    model: Any = trainer.accelerator.unwrap_model(trainer.model)
    generations = trainer.num_generations if model.training else trainer.num_generations_eval
    with finished_leave(model):
        completion_ids, _ = trainer._generate_single_turn(prompt_ids, images, fields, generations)
    return {"prompt_ids": prompt_ids, "completion_ids": completion_ids, "logprobs": None}


def why_not(trainer: GRPOTrainer) -> str | None:
    """Why this trainer must use TRL's own rollouts; `None` if finished sequences can be dropped."""
    args: Any = trainer.args
    peft = getattr(trainer.accelerator.unwrap_model(trainer.model), "active_peft_config", None)
    reasons = {
        "vLLM generates them": trainer.use_vllm,
        "continuous batching generates them": getattr(trainer, "use_transformers_continuous_batching", False),
        "FSDP shards weights": trainer.is_fsdp_enabled,
        "DeepSpeed shards weights": trainer.is_deepspeed_enabled,
        "the model takes images": getattr(trainer, "_is_vlm", False),
        "generation_kwargs or cache_implementation is set": args.generation_kwargs or args.cache_implementation,
        "prompt learning adds its own tokens": getattr(peft, "is_prompt_learning", False),
    }
    return next((reason for reason, applies in reasons.items() if applies), None)


@contextmanager
def finished_leave(
    model: Any, limits: Sequence[int] | None = None, left: Callable[[list[int], torch.Tensor], None] | None = None
) -> Iterator[list[torch.Tensor]]:
    """While open, `model.generate` (of a plain or PEFT model) drops finished sequences from its batch.

    `limits` is the maximum number of new tokens per sequence; it is ignored if the model's cache cannot be cut.
    `left` is called with sequences dropped while others continue: their rows and their tokens (R, T) after the prompt.
    Yields a list to which each call that samples from the model's own distribution at some temperature appends the
    log-probabilities of the sampled tokens, (B, tokens after the prompt); values after a sequence's end are undefined.
    """
    before = vars(model).get("generate")
    drawn: list[torch.Tensor] = []
    model.generate = functools.partial(model.generate, custom_generate=functools.partial(_loop, drawn, limits, left))
    try:
        yield drawn
    finally:
        del model.generate
        vars(model).update({"generate": before} if before is not None else {})


def _loop(
    drawn: list[torch.Tensor],
    limits: Sequence[int] | None,
    left: Callable[[list[int], torch.Tensor], None] | None,
    model: Any,
    input_ids: torch.Tensor,
    logits_processor: Any,
    stopping_criteria: Any,
    generation_config: Any,
    **given: Any,
) -> torch.Tensor:
    """The decoding loop that `generate` calls: (B, T) prompts to (B, at most `max_length`), padded on the right."""
    cache, mask_BT = given.pop("past_key_values", None), given.pop("attention_mask", None)
    settings = {name: value for name, value in given.items() if name == "logits_to_keep"}
    tensors = [name for name, value in given.items() if isinstance(value, torch.Tensor) and name not in POSITIONS]
    others = [_name(p) for p in logits_processor if _name(p) not in ROW_BY_ROW and not getattr(p, "row_by_row", 0)]
    if tensors or others or not can_be_cut(cache) or given.get("synced_gpus"):
        log.warning_once(
            f"using transformers' own decoding: sequences cannot leave {type(cache).__name__}, {tensors + others}"
        )
        given |= {"past_key_values": cache, "attention_mask": mask_BT}
        return type(model)._sample(model, input_ids, logits_processor, stopping_criteria, generation_config, **given)
    batch = _Batch(model, input_ids, mask_BT, generation_config, limits, settings)
    sequences_BT = batch.run(cache, logits_processor, stopping_criteria, left)
    if generation_config.do_sample and all(_name(each) == "Temperature" for each in logits_processor):
        drawn.append(batch.logps[:, input_ids.shape[1] : batch.length])
    return sequences_BT


def _name(processor: Any) -> str:
    return type(processor).__name__.removesuffix("LogitsWarper")


class _Batch:
    """B sequences; those in `rows` are still being decoded."""

    def __init__(
        self, model: Any, ids_BT: Any, mask_BT: Any, config: Any, limits: Any, settings: dict[str, Any]
    ) -> None:
        self.model, self.config, self.settings = model, config, settings
        size, self.length = ids_BT.shape
        room = (0, config.max_length - self.length)
        self.ids = pad(ids_BT, room, value=config.pad_token_id)
        self.whole = mask_BT is None  # transformers passes no mask if no prompt is padded
        self.mask = pad(torch.ones_like(ids_BT) if self.whole else mask_BT, room, value=1)
        self.logps = torch.zeros(self.ids.shape, device=ids_BT.device)
        self.rows = torch.arange(size, device=ids_BT.device)
        self.ended = torch.zeros_like(self.rows, dtype=torch.bool)
        self.limits = torch.full_like(self.rows, config.max_length) if limits is None else self.rows.new_tensor(limits)
        self.start = self.length
        self.placed = "position_ids" in inspect.signature(type(model).forward).parameters

    def run(self, cache: Any, logits_processor: Any, stopping_criteria: Any, left: Any) -> torch.Tensor:
        """Decode until every sequence has ended; returns all tokens, (B, at most `max_length`)."""
        prompts = torch.cat([self.ids[:, : self.length], self.mask[:, : self.length]], dim=1)
        unique, which = torch.unique(prompts, dim=0, return_inverse=True)
        ids, mask = unique.split(self.length, dim=1)
        logits = self._forward(ids, mask, cache)[which]
        cache, copied = kept(cache, which, ROOM), self.length
        while True:
            self._append(logits, logits_processor, stopping_criteria)
            whole_segment = (self.length - self.start) % SEGMENT == 0
            if self.length == self.config.max_length or (whole_segment and self.ended.all()):
                return self.ids[:, : self.length]
            gone = self.ended[self.rows]
            if whole_segment and (gone.any() or self.length - copied >= ROOM):
                if left and gone.any():
                    leaving = self.rows[gone]
                    left(leaving.tolist(), self.ids[leaving, self.start : self.length])
                self.rows = self.rows[~gone]
                cache, copied = kept(cache, (~gone).nonzero().flatten(), ROOM), self.length
            new = self.ids[self.rows, self.length - 1 : self.length]
            logits = self._forward(new, self.mask[self.rows, : self.length], cache)

    def _forward(self, ids: torch.Tensor, mask: torch.Tensor, cache: Any) -> torch.Tensor:
        given = {"attention_mask": None if self.whole else mask, **self.settings}
        if self.placed:
            given["position_ids"] = (mask.cumsum(dim=1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        return self.model(input_ids=ids, past_key_values=cache, use_cache=True, **given).logits[:, -1].float()

    def _append(self, logits: torch.Tensor, logits_processor: Any, stopping_criteria: Any) -> None:
        rows = self.rows
        scores = logits_processor(self.ids[rows, : self.length], logits)
        probabilities = scores.softmax(dim=-1)
        drawn = torch.multinomial(probabilities, 1) if self.config.do_sample else scores.argmax(dim=-1, keepdim=True)
        self.logps[rows, self.length] = probabilities.gather(1, drawn).squeeze(1).log()
        self.ids[rows, self.length] = drawn.squeeze(1).masked_fill(self.ended[rows], self.config.pad_token_id)
        self.length += 1
        stopped = stopping_criteria(self.ids[rows, : self.length], None)
        self.ended[rows] |= stopped | (self.length - self.start >= self.limits[rows])


class RoomyLayer(DynamicLayer):
    """One layer's keys and values (B, heads, T, width) of the remaining sequences, with free space for new tokens.

    When the space is used up, it grows by concatenation, like its base class.
    """

    def __init__(self, layer: Any, keep: torch.Tensor, room: int) -> None:
        super().__init__()
        self.dtype, self.device, self.is_initialized = layer.dtype, layer.device, True
        self._length = layer.keys.shape[-2]
        self._rooms = []
        for held in (layer.keys, layer.values):
            roomy = held.new_empty(len(keep), held.shape[1], self._length + room, held.shape[3])
            roomy[:, :, : self._length] = held[keep]
            self._rooms.append(roomy)
        self.keys, self.values = (held[:, :, : self._length] for held in self._rooms)

    def update(self, key_states: Any, value_states: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        """Append the states of new tokens (B, heads, new, width); returns all keys and values."""
        start, end = self._length, self._length + key_states.shape[-2]
        self._length = end
        if end > self._rooms[0].shape[-2]:
            return super().update(key_states, value_states)
        for held, new in zip(self._rooms, (key_states, value_states), strict=True):
            held[:, :, start:end] = new
        self.keys, self.values = (held[:, :, :end] for held in self._rooms)
        return self.keys, self.values


def kept(cache: Any, keep: torch.Tensor, room: int) -> Any:
    """A cache that `can_be_cut`, reduced to the sequences `keep`, with free space for new tokens where possible."""
    if all(type(layer) in (DynamicLayer, RoomyLayer) and layer.get_seq_length() > 0 for layer in cache.layers):
        for index, layer in enumerate(cache.layers):  # one at a time, so that only one layer exists twice
            cache.layers[index] = RoomyLayer(layer, keep, room)
    else:
        cache.batch_select_indices(keep)
    return cache


def can_be_cut(cache: Any) -> bool:
    """Whether `kept` can drop and repeat sequences of a cache created by `generate`, before it is filled."""
    lazily = getattr(cache, "layer_class_to_replicate", None)  # layers are created on first use
    kinds = {type(layer) for layer in getattr(cache, "layers", None) or []} | ({lazily} if lazily else set())
    return bool(kinds) and kinds <= {DynamicLayer, DynamicSlidingWindowLayer}
