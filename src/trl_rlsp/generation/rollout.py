"""Rollouts without vLLM that do not decode what has ended.

In TRL's own rollout every completion of a batch waits for the longest one, and each prompt is read once a completion.
Here a prompt is read once, and completions that have ended leave the batch. TRL prepares the sampling, transformers the
logits processors and stopping criteria; only the loop over tokens is replaced.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from trl_rlsp.errors import ConfigError
from trl_rlsp.generation.cache import can_be_cut, kept

if TYPE_CHECKING:
    import torch
    from trl import GRPOTrainer

log = logging.getLogger(__name__)

SEGMENT = 8
"""Tokens decoded before finished sequences leave the batch."""

ROOM = 64
"""Tokens for which the cache has room when it is copied."""


def leaving_rollout(prompts: list[Any], trainer: GRPOTrainer) -> dict[str, Any]:
    """Sample one completion a prompt; finished sequences leave the batch every few tokens.

    Draws from the same distribution as TRL's own rollout, with other random numbers, for `GRPOTrainer`:
    `GRPOTrainer(rollout_func=leaving_rollout, ...)`. `RLSPGRPOTrainer` needs no `rollout_func` for it.

    Args:
        prompts: B prompts of this process, each repeated once a completion.
        trainer: the trainer, for its model, tokenizer and sampling settings.

    Returns:
        `prompt_ids` and `completion_ids`, B lists of tokens each, and `logprobs`, `None`: the trainer computes them.

    Raises:
        ConfigError: a trainer whose rollouts this cannot draw (`why_not`).

    Example:
        >>> from trl_rlsp.generation import leaving_rollout
        >>> trainer = GRPOTrainer(model, rewards, rollout_func=leaving_rollout)  # doctest: +SKIP
    """
    if reason := why_not(trainer):
        raise ConfigError(f"leaving_rollout cannot draw these rollouts: {reason}. Leave rollout_func out")
    prompt_ids, images, fields = trainer._tokenize_prompts(prompts)
    model: Any = trainer.accelerator.unwrap_model(trainer.model)
    generations = trainer.num_generations if model.training else trainer.num_generations_eval
    with finished_leave(model):
        completion_ids, _ = trainer._generate_single_turn(prompt_ids, images, fields, generations)
    return {"prompt_ids": prompt_ids, "completion_ids": completion_ids, "logprobs": None}


def why_not(trainer: GRPOTrainer) -> str | None:
    """Why this trainer's rollouts must be TRL's own, or `None` if finished sequences can leave them."""
    args: Any = trainer.args
    peft = getattr(trainer.accelerator.unwrap_model(trainer.model), "active_peft_config", None)
    reasons = {
        "vLLM draws them": trainer.use_vllm,
        "continuous batching draws them": getattr(trainer, "use_transformers_continuous_batching", False),
        "ranks that shard weights decode in step (FSDP, DeepSpeed)": (
            trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled
        ),
        "the model reads images": getattr(trainer, "_is_vlm", False),
        "generation_kwargs and cache_implementation are transformers' own": (
            args.generation_kwargs or args.cache_implementation
        ),
        "prompt learning adds tokens of its own": getattr(peft, "is_prompt_learning", False),
    }
    return next((reason for reason, applies in reasons.items() if applies), None)


@contextmanager
def finished_leave(model: Any) -> Iterator[list[torch.Tensor]]:
    """While open, `model.generate` drops sequences that have ended from its batch.

    Args:
        model: a model with transformers' `generate`, or a PEFT model around one.

    Yields:
        A list that gets the log-probabilities of the tokens drawn, (B, tokens after the prompt), for each call that
        samples from the model's own distribution at some temperature; what follows a sequence's end means nothing.
    """
    before = vars(model).get("generate")
    drawn: list[torch.Tensor] = []
    model.generate = functools.partial(model.generate, custom_generate=functools.partial(_decode, drawn))
    try:
        yield drawn
    finally:
        del model.generate
        if before is not None:
            model.generate = before


def _decode(
    drawn: list[torch.Tensor],
    model: Any,
    input_ids: torch.Tensor,
    logits_processor: Any,
    stopping_criteria: Any,
    generation_config: Any,
    **given: Any,
) -> torch.Tensor:
    """The loop that `generate` calls: B prompts of T tokens become B rows of at most `max_length`, padded behind."""
    import torch

    cache, mask_BT = given.pop("past_key_values", None), given.pop("attention_mask", None)
    settings = {name: value for name, value in given.items() if name in ("logits_to_keep",)}
    tensors = [name for name, value in given.items() if isinstance(value, torch.Tensor) and name not in POSITIONS]
    others = [type(each).__name__ for each in logits_processor if not _is_row_by_row(each)]
    if tensors or others or not can_be_cut(cache) or given.get("synced_gpus"):
        _say_once(f"rollouts are transformers' own: sequences cannot leave {type(cache).__name__}, {tensors + others}")
        given |= {"past_key_values": cache, "attention_mask": mask_BT}
        return type(model)._sample(model, input_ids, logits_processor, stopping_criteria, generation_config, **given)
    batch = _Batch(model, input_ids, mask_BT, generation_config, settings)
    sequences_BT = batch.run(cache, logits_processor, stopping_criteria)
    if generation_config.do_sample and all(_name(each) == "Temperature" for each in logits_processor):
        drawn.append(batch.done_logps[:, input_ids.shape[1] : batch.length])
    return sequences_BT


POSITIONS = ("position_ids", "cache_position")
ROW_BY_ROW = {"Temperature", "TopK", "TopP", "MinP"}


def _name(processor: Any) -> str:
    return type(processor).__name__.removesuffix("LogitsWarper")


def _is_row_by_row(processor: Any) -> bool:
    """Whether a logits processor keeps nothing of the batch: one of these, or one that says so itself."""
    return _name(processor) in ROW_BY_ROW or getattr(processor, "row_by_row", False)


@functools.cache
def _say_once(message: str) -> None:
    log.warning(message)


class _Batch:
    """The sequences still being decoded, each with its row in the result."""

    def __init__(
        self, model: Any, ids_BT: torch.Tensor, mask_BT: torch.Tensor | None, config: Any, settings: dict[str, Any]
    ) -> None:
        import torch

        self.model, self.config, self.settings = model, config, settings
        rows, self.length = ids_BT.shape
        self.padding = config.pad_token_id
        self.done = ids_BT.new_full((rows, config.max_length), self.padding)
        self.done[:, : self.length] = ids_BT
        self.ids = self.done.clone()
        self.done_logps = torch.zeros(self.done.shape, device=ids_BT.device)
        self.logps = self.done_logps.clone()
        self.mask = torch.ones_like(self.ids)
        self.whole = mask_BT is None  # transformers' word for prompts without padding
        if mask_BT is not None:
            self.mask[:, : self.length] = mask_BT
        self.rows = torch.arange(rows, device=ids_BT.device)
        self.finished = torch.zeros(rows, dtype=torch.bool, device=ids_BT.device)
        self.placed = "position_ids" in inspect.signature(type(model).forward).parameters

    def run(self, cache: Any, logits_processor: Any, stopping_criteria: Any) -> torch.Tensor:
        """Decode until every sequence has ended; returns them (B, max_length at most)."""
        import torch

        prompts = torch.cat([self.ids[:, : self.length], self.mask[:, : self.length]], dim=1)
        unique, which = torch.unique(prompts, dim=0, return_inverse=True)
        ids, mask = unique.split(self.length, dim=1)
        logits = self._forward(ids, mask, cache)[which]
        cache = kept(cache, which, ROOM)
        copied = start = self.length
        while True:
            self._append(logits, logits_processor, stopping_criteria)
            if self.length == self.config.max_length:
                return self._collect()
            if (self.length - start) % SEGMENT == 0:
                keep = (~self.finished).nonzero().flatten()
                if not len(keep):
                    return self._collect()
                if len(keep) < len(self.rows) or self.length - copied >= ROOM:
                    self._leave(keep)
                    cache, copied = kept(cache, keep, ROOM), self.length
            new = self.ids[:, self.length - 1 : self.length]
            logits = self._forward(new, self.mask[:, : self.length], cache)

    def _forward(self, ids: torch.Tensor, mask: torch.Tensor, cache: Any) -> torch.Tensor:
        places: dict[str, Any] = {}
        if self.placed:
            places["position_ids"] = (mask.cumsum(dim=1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        places["attention_mask"] = None if self.whole else mask
        output = self.model(input_ids=ids, past_key_values=cache, use_cache=True, **places, **self.settings)
        return output.logits[:, -1].float()

    def _append(self, logits: torch.Tensor, logits_processor: Any, stopping_criteria: Any) -> None:
        import torch

        scores = logits_processor(self.ids[:, : self.length], logits)
        if self.config.do_sample:
            probabilities = scores.softmax(dim=-1)
            drawn = torch.multinomial(probabilities, 1)
            self.logps[:, self.length] = probabilities.gather(1, drawn).squeeze(1).log()
            drawn = drawn.squeeze(1)
        else:
            drawn = scores.argmax(dim=-1)
        self.ids[:, self.length] = drawn.masked_fill(self.finished, self.padding)
        self.length += 1
        self.finished = self.finished | stopping_criteria(self.ids[:, : self.length], None)

    def _leave(self, keep: torch.Tensor) -> None:
        self._collect()
        self.ids, self.mask, self.logps = self.ids[keep], self.mask[keep], self.logps[keep]
        self.rows, self.finished = self.rows[keep], self.finished[keep]

    def _collect(self) -> torch.Tensor:
        self.done[self.rows, : self.length] = self.ids[:, : self.length]
        self.done_logps[self.rows, : self.length] = self.logps[:, : self.length]
        return self.done[:, : self.length]
