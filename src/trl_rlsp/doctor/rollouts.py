"""Rollouts: what is known to be broken with vLLM, and what makes them differ from the trained model."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

from trl_rlsp.doctor.finding import Finding
from trl_rlsp.stages.stage import Stage

SAFE = "use_vllm: false"


def check_vllm(stage: Stage) -> Iterator[Finding]:
    """vLLM that is not there, or that cannot take over the weights of a quantised model."""
    if not stage.training.use_vllm:
        return
    name, mode = "vllm", stage.training.vllm_mode
    if not stage.elsewhere and importlib.util.find_spec("vllm") is None:
        yield Finding(
            name, "error", "use_vllm is on and vLLM is not installed", "install it: pip install 'trl-rlsp[vllm]'", SAFE
        )
    if stage.model.load_in_8bit:
        yield Finding(
            name, "error", "vLLM with an 8-bit base", "vLLM does not quantise to 8 bit while it loads; TRL raises", SAFE
        )
    elif stage.model.load_in_4bit and mode == "server":
        yield Finding(
            name,
            "error",
            "vLLM in server mode with a 4-bit base",
            "TRL sends merged, unpacked weights where the server holds packed ones: a shape error at the first "
            "synchronisation (huggingface/trl#4973, open)",
            SAFE,
        )
    elif stage.model.load_in_4bit:
        yield Finding(
            name,
            "error",
            "vLLM in colocate mode with a 4-bit base",
            "packed weights are sent without their quantization state, and each merge of the adapter rounds them again "
            "(huggingface/trl#3466): rollouts come from another model than the one that is trained. Safe on one node: "
            "transformers generation with one 4-bit copy on each GPU, or a bf16 base with vLLM (load_in_4bit: false)",
            SAFE,
        )
    training = stage.training
    if training.vllm_importance_sampling_correction and training.vllm_importance_sampling_mode == "sequence_mask":
        yield Finding(
            "importance_sampling",
            "warning",
            "vllm_importance_sampling_mode is sequence_mask (TRL's default)",
            "its bound is on the product over all tokens, so long completions are left out of the loss first, just "
            "those that exploration wants",
            "vllm_importance_sampling_mode: token_truncate",
        )


def check_dropout(stage: Stage) -> Iterator[Finding]:
    """Dropout of a new adapter, under which TRL samples and scores."""
    if stage.model.use_peft and not stage.is_adapter and stage.model.lora_dropout > 0:
        yield Finding(
            "dropout",
            "warning",
            f"lora_dropout is {stage.model.lora_dropout:g} (TRL's default is 0.05)",
            "TRL samples and scores completions in training mode: another model answers each time, and "
            "the KL to the reference is not 0 at the first step",
            "lora_dropout: 0.0",
        )
