"""Faster rollouts without vLLM: a `rollout_func` for `GRPOTrainer` that does not decode what has ended.

In TRL's own rollout every completion of a batch waits for the longest one. Where lengths differ much, as they do when a
model learns when to stop searching, most of that work is padding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trl_rlsp.errors import ConfigError
from trl_rlsp.generation.local import decode, end_tokens
from trl_rlsp.generation.sampling import Sampling

if TYPE_CHECKING:
    from trl import GRPOTrainer

NEUTRAL = {"top_k": 0, "min_p": None, "repetition_penalty": 1.0, "generation_kwargs": None}
"""Settings of `GRPOConfig` that the rollout does not know, with the values that change nothing."""


def leaving_rollout(prompts: list[Any], trainer: GRPOTrainer) -> dict[str, Any]:
    """Sample one completion a prompt; finished sequences leave the batch every few tokens.

    Draws from the same distribution as TRL's own rollout, with other random numbers. For text-only models without tools
    and without vLLM: `GRPOTrainer(rollout_func=leaving_rollout, ...)`.

    Args:
        prompts: B prompts of this process, each repeated once a completion.
        trainer: the trainer, for its model, tokenizer and sampling settings.

    Returns:
        `prompt_ids` and `completion_ids`, B lists of tokens each, and `logprobs`, `None`: the trainer computes them.

    Raises:
        ConfigError: a setting of the trainer that this rollout does not know.

    Example:
        >>> from trl_rlsp.generation import leaving_rollout
        >>> trainer = GRPOTrainer(model, rewards, rollout_func=leaving_rollout)  # doctest: +SKIP
    """
    import torch
    from trl.models import unwrap_model_for_generation

    sampling = _sampling(trainer)
    prompt_ids = trainer._tokenize_prompts(prompts)[0]
    tokenizer: Any = trainer.processing_class
    batch = tokenizer.pad({"input_ids": prompt_ids}, padding_side="left", return_tensors="pt")
    batch = batch.to(trainer.accelerator.device)
    args: Any = trainer.args
    unwrapped = unwrap_model_for_generation(
        trainer.model_wrapped,
        trainer.accelerator,
        gather_deepspeed3_params=args.ds3_gather_for_generation,
        gradient_checkpointing_kwargs=args.gradient_checkpointing_kwargs,
    )
    with unwrapped as model, torch.no_grad():
        ends = end_tokens(model, tokenizer)
        completion_ids = decode(
            model, batch["input_ids"], batch["attention_mask"], ends, sampling, tokenizer.pad_token_id
        )
    return {"prompt_ids": prompt_ids, "completion_ids": completion_ids, "logprobs": None}


def _sampling(trainer: GRPOTrainer) -> Sampling:
    args: Any = trainer.args
    for name, neutral in NEUTRAL.items():
        if getattr(args, name, neutral) not in (neutral, {}):
            raise ConfigError(
                f"leaving_rollout draws by temperature and top_p only, got {name}={getattr(args, name)!r}: "
                f"set it to {neutral!r}, or leave rollout_func out"
            )
    if trainer.use_vllm or getattr(trainer, "tools", None):
        raise ConfigError("leaving_rollout decodes with transformers, without tools: leave rollout_func out")
    return Sampling(temperature=args.temperature, top_p=args.top_p, max_new_tokens=args.max_completion_length)
