"""Rollouts with vLLM: what is known to be broken with quantised bases."""

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
            "warning",
            "vLLM in colocate mode with a 4-bit base",
            "the adapter is merged into the 4-bit weights, which are quantised again: rollouts come from a model that "
            "differs from the trained one by the rounding (huggingface/trl#3466). Safe on one node: transformers "
            "generation with one 4-bit copy on each GPU, or a bf16 base with LoRA and vLLM (load_in_4bit: false)",
            SAFE,
        )
