"""The vLLM engine, for many completions on a GPU. vLLM is an optional extra, imported only when it is used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from trl_rlsp.errors import ConfigError, MissingDependencyError
from trl_rlsp.generation.sampling import Prefixed, Prompts, Request, Sample, Sampling, chunks, seed_of

if TYPE_CHECKING:
    from peft import PeftConfig

HIGHEST_RANK = 512
AT_ONCE = 4096  # completions per call, stored after each call; vLLM decides how many are decoded at once


class VLLMEngine:
    """Decodes with vLLM, each completion with its own seed.

    Args:
        name_or_path: hub id or folder of a model, or of a PEFT adapter, which is served on its base model.
        prompts: the prompts to be sampled; the context holds the longest of them and `new_tokens` more.
        options: passed to `vllm.LLM` (`tensor_parallel_size`, `gpu_memory_utilization`).
    """

    def __init__(
        self, name_or_path: str, *, prompts: Iterable[Any], new_tokens: int, dtype: str = "auto", **options: Any
    ) -> None:
        try:
            from vllm import LLM
        except ImportError as error:
            raise MissingDependencyError("engine 'vllm' needs vLLM: pip install 'trl-rlsp[vllm]'") from error
        from transformers import AutoConfig, AutoTokenizer

        adapter = adapter_options(name_or_path)
        base = adapter.pop("model", name_or_path)
        self.adapter = name_or_path if adapter else None
        self.tokenizer = AutoTokenizer.from_pretrained(name_or_path)
        config: Any = AutoConfig.from_pretrained(base).get_text_config()
        longest = max(len(Prefixed(prompt, (), 0, 0).ids(self.tokenizer)[0]) for prompt in prompts) + new_tokens
        self.llm = LLM(
            model=base,
            tokenizer=name_or_path,
            dtype=dtype,
            generation_config="vllm",  # the checkpoint's own must not change the distribution
            max_model_len=min(longest, getattr(config, "max_position_embeddings", None) or longest),
            **adapter,
            **options,
        )

    def count(self, text: str) -> int:
        """Length of a text in tokens."""
        return len(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def sample(self, prompts: Prompts, requests: Sequence[Request], sampling: Sampling) -> Iterator[list[Sample]]:
        """Draw the requested completions, up to `AT_ONCE` in one call."""
        from vllm import SamplingParams, TokensPrompt
        from vllm.lora.request import LoRARequest

        lora = LoRARequest("adapter", 1, self.adapter) if self.adapter else None
        for batch in chunks(requests, AT_ONCE):
            asked = [Prefixed.of(prompts[request.prompt], sampling) for request in batch]
            ids = [one.ids(self.tokenizer) for one in asked]
            outputs = self.llm.generate(
                [TokensPrompt(prompt_token_ids=[*prompt, *begun]) for prompt, begun in ids],
                [
                    SamplingParams(**sampling_options(sampling, r, one.limit))
                    for r, one in zip(batch, asked, strict=True)
                ],
                lora_request=lora,
            )
            samples = []
            for request, one, (_, begun), output in zip(batch, asked, ids, outputs, strict=True):
                found = output.outputs[0]
                new = found.token_ids  # includes the end token
                text = self.tokenizer.decode([*begun, *new], skip_special_tokens=True) if begun else found.text
                samples.append(one.sample(request, str(text), len(new), found.finish_reason == "length"))
            yield samples


def adapter_options(name_or_path: str) -> dict[str, Any]:
    """Arguments of `vllm.LLM` for a PEFT adapter, with its base as `model`; empty for a full model.

    Raises:
        ConfigError: vLLM would refuse the adapter, or apply it wrongly.
    """
    from peft import PeftConfig
    from transformers.utils import cached_file

    if not cached_file(name_or_path, "adapter_config.json", _raise_exceptions_for_missing_entries=False):
        return {}
    config = PeftConfig.from_pretrained(name_or_path)
    if reason := why_merged(config):
        raise ConfigError(f"vLLM cannot serve the adapter {name_or_path} ({reason}): merge it first with `rlsp merge`")
    return {"model": config.base_model_name_or_path, "enable_lora": True, "max_lora_rank": served_rank(config.r)}


def why_merged(config: PeftConfig | None, *, sharded: bool = False, alone: bool = True) -> str | None:
    """Why vLLM needs the weights merged with this adapter; `None` if sending the adapter is enough."""
    if config is None:
        return "no adapter is trained"
    reasons = {
        "vllm_adapter is false": not alone,
        f"vLLM takes LoRA, not {getattr(config.peft_type, 'value', config.peft_type)}": config.peft_type != "LORA",
        "vLLM does not take DoRA": getattr(config, "use_dora", False),
        "modules_to_save are not part of a LoRA request": getattr(config, "modules_to_save", None),
        "vLLM does not take biases": getattr(config, "lora_bias", 0) or getattr(config, "bias", "none") != "none",
        "trained tokens are not part of a LoRA request": getattr(config, "trainable_token_indices", None),
        "target_parameters are not layers of their own": getattr(config, "target_parameters", None),
        "vLLM has one rank and one alpha for all layers": (
            getattr(config, "rank_pattern", None) or getattr(config, "alpha_pattern", None)
        ),
        f"rank {getattr(config, 'r', 0)} is above vLLM's {HIGHEST_RANK}": getattr(config, "r", 0) > HIGHEST_RANK,
        "FSDP and DeepSpeed shard the adapter": sharded,
    }
    return next((reason for reason, applies in reasons.items() if applies), None)


def served_rank(rank: int) -> int:
    """The smallest LoRA rank vLLM supports (8, 16, 32, ...) that fits an adapter of `rank`."""
    return 1 << max(3, (rank - 1).bit_length())


def sampling_options(sampling: Sampling, request: Request, limit: int) -> dict[str, Any]:
    """Arguments of `vllm.SamplingParams` for one completion of at most `limit` tokens."""
    drawn = {"temperature": sampling.temperature, "top_p": sampling.top_p, "seed": seed_of(sampling.seed, request)}
    neutral = {"n": 1, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0, "skip_special_tokens": True}
    return {**drawn, **neutral, "max_tokens": limit}
