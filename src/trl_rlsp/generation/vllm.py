"""The engine for many completions on a GPU: vLLM, an extra, imported only when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from trl_rlsp.errors import MissingDependencyError
from trl_rlsp.generation.sampling import Request, Sample, Sampling, chunks, render, seed_of


class VLLMEngine:
    """Decodes with vLLM, each completion under a seed of its own.

    Args:
        name_or_path: hub id or folder of a model or of a PEFT adapter, which is served over its base.
        dtype: type of the weights.
        options: passed to `vllm.LLM` (`tensor_parallel_size`, `gpu_memory_utilization`, `max_model_len`).

    Raises:
        MissingDependencyError: vLLM is not installed.
    """

    def __init__(self, name_or_path: str, *, dtype: str = "auto", **options: Any) -> None:
        try:
            from vllm import LLM
        except ImportError as error:
            raise MissingDependencyError("engine 'vllm' needs vLLM: pip install 'trl-rlsp[vllm]'") from error
        adapter = adapter_options(name_or_path)
        base = adapter.pop("model", name_or_path)
        self.adapter = name_or_path if adapter else None
        # "vllm": the checkpoint's generation_config must not bend the distribution
        self.llm = LLM(model=base, tokenizer=name_or_path, dtype=dtype, generation_config="vllm", **adapter, **options)

    def sample(self, prompts: Sequence[Any], requests: Sequence[Request], sampling: Sampling) -> Iterator[list[Sample]]:
        """Draw the requested completions in chunks of `sampling.batch_size`."""
        from vllm import SamplingParams, TokensPrompt
        from vllm.lora.request import LoRARequest

        tokenizer = self.llm.get_tokenizer()
        lora = LoRARequest("adapter", 1, self.adapter) if self.adapter else None
        for batch in chunks(requests, sampling.batch_size):
            ids = [tokenizer.encode(render(prompts[r.prompt], tokenizer), add_special_tokens=False) for r in batch]
            outputs = self.llm.generate(
                [TokensPrompt(prompt_token_ids=one) for one in ids],
                [SamplingParams(**sampling_options(sampling, request)) for request in batch],
                lora_request=lora,
                use_tqdm=False,
            )
            yield [to_sample(request, output.outputs[0]) for request, output in zip(batch, outputs, strict=True)]


def adapter_options(name_or_path: str) -> dict[str, Any]:
    """Arguments of `vllm.LLM` for a PEFT adapter, its base as `model` among them; empty for a whole model."""
    from peft import PeftConfig
    from transformers.utils import cached_file

    if not cached_file(name_or_path, "adapter_config.json", _raise_exceptions_for_missing_entries=False):
        return {}
    config = PeftConfig.from_pretrained(name_or_path)
    return {"model": config.base_model_name_or_path, "enable_lora": True, "max_lora_rank": served_rank(config.r)}


def served_rank(rank: int) -> int:
    """The smallest rank that vLLM has matrices for, from 8 in powers of two, and that holds an adapter of `rank`.

    >>> served_rank(2), served_rank(16), served_rank(33)
    (8, 16, 64)
    """
    return 1 << max(3, (rank - 1).bit_length())


def sampling_options(sampling: Sampling, request: Request) -> dict[str, Any]:
    """Arguments of `vllm.SamplingParams` for one completion.

    >>> sampling_options(Sampling(max_new_tokens=9), Request(0, 0))["max_tokens"]
    9
    """
    return {
        "n": 1,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": 0,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "max_tokens": sampling.max_new_tokens,
        "seed": seed_of(sampling.seed, request),
        "skip_special_tokens": True,
    }


def to_sample(request: Request, output: Any) -> Sample:
    """A sample from vLLM's `CompletionOutput`, whose token ids include the end token."""
    truncated = output.finish_reason == "length"
    return Sample(request.prompt, output.text, len(output.token_ids), truncated, request.sample)
