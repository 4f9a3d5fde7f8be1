"""What a stage needs to know about its model without loading it: name, tokenizer, configuration, adapter or not."""

from __future__ import annotations

import os
import socket
import sys
import threading
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trl_rlsp.errors import ConfigError, DataError, SourceError

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase
    from trl import ModelConfig

PROBE_SECONDS = 3.0
"""How long the hub may take to be found before it counts as out of reach."""

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


_CONFIGS: dict[str, dict[str, Any]] = {
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
"""Dimensions of the models that the recipes name, so that a plan can be made without a network.

Copied from the public `config.json` of each model on the Hugging Face Hub (`meta-llama/Llama-3.1-8B-Instruct`,
`Qwen/Qwen2.5-*-Instruct`). Only what memory, compute and context depend on; `tests/planning` holds the number of
parameters that the model cards give.
"""


def model_name(model: ModelConfig) -> str:
    """The model to train.

    Raises:
        ConfigError: none is named.
    """
    if not model.model_name_or_path:
        raise ConfigError("no model: set `model_name_or_path` in the YAML file or on the command line")
    return str(model.model_name_or_path)


def tokenizer_of(model: ModelConfig, **kwargs: Any) -> PreTrainedTokenizerBase:
    """The model's tokenizer.

    Raises:
        SourceError: there is none at that place.
    """
    from transformers import AutoTokenizer

    name = model_name(model)
    try:
        return AutoTokenizer.from_pretrained(name, revision=model.model_revision, **kwargs)
    except (OSError, ValueError) as error:
        raise SourceError(
            f"no model at {name!r}: neither a folder with a model nor a hub id that can be reached ({error})"
        ) from error


def names_adapter(name: str, revision: str | None = None) -> bool:
    """Whether a name is an adapter's. The hub is asked once, and not at all about a bundled model."""
    from trl_rlsp.trainers import is_adapter

    if Path(name).is_dir():
        return is_adapter(name, revision)
    return bundled_config(name) is None and _asked(name, revision)


@lru_cache(maxsize=64)
def _asked(name: str, revision: str | None) -> bool:
    from trl_rlsp.trainers import is_adapter

    return is_adapter(name, revision)


def load_config(name: str, revision: str | None = None) -> PreTrainedConfig:
    """A model's configuration: from its folder (of an adapter, its base's), the bundled ones, or the hub.

    Raises:
        OSError: there is none at that place.
        ValueError: it is broken, or of a kind that transformers does not know.
    """
    from transformers import AutoConfig

    if Path(name, "adapter_config.json").is_file() and not Path(name, "config.json").is_file():
        return load_config(adapter_base(name))
    values = None if Path(name).is_dir() else bundled_config(name)
    if values is not None:
        return AutoConfig.for_model(**values)
    return AutoConfig.from_pretrained(name, revision=revision)


def adapter_base(name: str, revision: str | None = None) -> str:
    """The model that an adapter was trained on.

    Raises:
        OSError: there is no adapter.
        DataError: it names no base.
    """
    from peft import PeftConfig

    base = PeftConfig.from_pretrained(name, revision=revision).base_model_name_or_path
    if not base:
        raise DataError(f"the adapter {name!r} must name its base in base_model_name_or_path, got none")
    return str(base)


def offline_without_network() -> None:
    """Make the hub's client offline where the hub cannot be reached: it would ask again and again, and wait each time.

    Behind a proxy nothing is changed.
    """
    proxies = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HF_HUB_OFFLINE")
    if any(os.environ.get(name) for name in proxies) or _reachable("huggingface.co"):
        return
    os.environ["HF_HUB_OFFLINE"] = "1"
    for module, name in (("huggingface_hub.constants", "HF_HUB_OFFLINE"), ("datasets.config", "HF_HUB_OFFLINE")):
        if module in sys.modules:
            setattr(sys.modules[module], name, True)


def _reachable(host: str) -> bool:
    """Whether a host answers within `PROBE_SECONDS`; the time to find its address counts."""
    found = threading.Event()

    def ask() -> None:
        try:
            socket.create_connection((host, 443), timeout=PROBE_SECONDS).close()
        except OSError:
            return
        found.set()

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS)
    return found.is_set()


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
    return _CONFIGS.get(short)
