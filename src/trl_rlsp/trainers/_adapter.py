"""Training that goes on with an adapter: loading it over its base, and the precision that its weights keep.

TRL takes a model by name, but not an adapter's folder, and it stores the adapter of a quantised model in bfloat16.
Eight bits of mantissa lose an update below about 0.4 % of a weight, which RL at a learning rate of 1e-6 seldom
exceeds; a run resumed by transformers trains the same adapter in float32, and the frozen copy that the KL is taken to
is in float32 as well. So the adapter is kept in float32 throughout: four bytes a weight.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from trl_rlsp.errors import SourceError

if TYPE_CHECKING:
    import torch
    from peft import PeftModel


def is_adapter(name_or_path: str, revision: str | None = None) -> bool:
    """Whether a folder or a hub repository holds a PEFT adapter instead of a whole model."""
    from transformers.utils import cached_file

    try:
        found = cached_file(
            name_or_path, "adapter_config.json", revision=revision, _raise_exceptions_for_missing_entries=False
        )
    except (OSError, ValueError):  # no such folder or repository: whoever loads the model says so
        return False
    return found is not None


def load_trainable(name_or_path: str, revision: str | None = None, **kwargs: Any) -> PeftModel:
    """The base model with an adapter over it whose weights go on being trained.

    Args:
        name_or_path: folder or hub id of the adapter; its adapter_config.json names the base.
        revision: of the adapter; the base's is in its adapter_config.json.
        kwargs: passed to the base's `from_pretrained` (`dtype`, `quantization_config`, `attn_implementation`).

    Raises:
        SourceError: the base that the adapter names cannot be loaded.
    """
    from peft import PeftConfig, PeftModel
    from transformers import AutoModelForCausalLM

    config = PeftConfig.from_pretrained(name_or_path, revision=revision)
    base = str(config.base_model_name_or_path)
    try:
        model = AutoModelForCausalLM.from_pretrained(base, revision=config.revision or "main", **kwargs)
    except OSError as error:
        raise SourceError(
            f"the adapter {name_or_path!r} is of the model {base!r}, which cannot be loaded: correct "
            f"base_model_name_or_path in its adapter_config.json ({error})"
        ) from error
    return PeftModel.from_pretrained(model, name_or_path, revision=revision, is_trainable=True)


def trainable_weights(model: Any) -> dict[str, torch.Tensor]:
    """The weights of a model that train, by name, without copying them; none of a model given by its name."""
    if not hasattr(model, "named_parameters"):
        return {}
    return {name: parameter.data for name, parameter in model.named_parameters() if parameter.requires_grad}


def keep_full_precision(model: Any, before: Mapping[str, torch.Tensor] | None = None) -> int:
    """Turn the trainable half-precision weights of a quantised model into float32.

    Args:
        model: what a trainer has wrapped; a model that is not quantised is left as it is.
        before: its `trainable_weights` before the trainer rounded them, which come back as they were.

    Returns:
        The number of tensors turned.
    """
    import torch

    if not (getattr(model, "is_loaded_in_4bit", False) or getattr(model, "is_loaded_in_8bit", False)):
        return 0
    turned = 0
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and parameter.dtype in (torch.bfloat16, torch.float16):
            original = (before or {}).get(name)
            parameter.data = (parameter.data if original is None else original).float()
            turned += 1
    return turned
