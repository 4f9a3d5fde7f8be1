"""Dimensions of the models that the recipes name, so that a plan can be made without a network.

Copied from the public `config.json` of each model on the Hugging Face Hub (`meta-llama/Llama-3.1-8B-Instruct`,
`Qwen/Qwen2.5-*-Instruct`). Only what memory, compute and context depend on; `tests/planning` holds the number of
parameters that the model cards give.
"""

from __future__ import annotations

from typing import Any

_QWEN = {
    "model_type": "qwen2",
    "max_position_embeddings": 32768,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1_000_000.0,
    "vocab_size": 152064,
    "tie_word_embeddings": False,
}
_SMALL_QWEN = _QWEN | {"vocab_size": 151936, "tie_word_embeddings": True}


def _sizes(hidden: int, intermediate: int, layers: int, heads: int, kv_heads: int) -> dict[str, int]:
    return {
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
    }


CONFIGS: dict[str, dict[str, Any]] = {
    "llama-3.1-8b": {
        "model_type": "llama",
        "max_position_embeddings": 131072,
        "rms_norm_eps": 1e-5,
        "rope_theta": 500_000.0,
        "vocab_size": 128256,
        "tie_word_embeddings": False,
        **_sizes(4096, 14336, 32, 32, 8),
    },
    "qwen2.5-0.5b": _SMALL_QWEN | _sizes(896, 4864, 24, 14, 2),
    "qwen2.5-1.5b": _SMALL_QWEN | _sizes(1536, 8960, 28, 12, 2),
    "qwen2.5-7b": _QWEN | _sizes(3584, 18944, 28, 28, 4),
    "qwen2.5-32b": _QWEN | _sizes(5120, 27648, 64, 40, 8),
}


def bundled_config(name: str) -> dict[str, Any] | None:
    """The dimensions of a model by its hub id; `None` if it is not among them.

    Args:
        name: with or without owner and `-Instruct`.

    Example:
        >>> bundled_config("Qwen/Qwen2.5-32B-Instruct")["num_hidden_layers"]
        64
        >>> bundled_config("Qwen/Qwen2.5-Math-7B")
    """
    short = name.rstrip("/").split("/")[-1].lower().removeprefix("meta-").removesuffix("-instruct")
    return CONFIGS.get(short)
