"""What memory depends on: the shape of every parameter of a model, from its configuration alone.

The model is built on torch's meta device, which keeps shapes and no numbers: 32 billion parameters take a second.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trl_rlsp.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel


@dataclass(frozen=True)
class Linear:
    """A linear layer: `inputs` to `outputs` features."""

    inputs: int
    outputs: int

    @property
    def weights(self) -> int:
        """Weights without bias."""
        return self.inputs * self.outputs


@dataclass(frozen=True, eq=False)  # by identity, so that results can be kept for it
class Architecture:
    """Shapes of a causal language model.

    Attributes:
        config: the model's configuration.
        parameters: name -> number of weights; tied weights are there once.
        linears: name -> linear layer; `head` is among them.
        head: name of the output layer.
    """

    config: PreTrainedConfig
    parameters: dict[str, int]
    linears: dict[str, Linear]
    head: str | None

    @classmethod
    def of(cls, config: PreTrainedConfig) -> Architecture:
        """Build it from a configuration."""
        from torch import nn

        model = meta_model(config)
        linears = {
            name: Linear(module.in_features, module.out_features)
            for name, module in model.named_modules()
            if isinstance(module, nn.Linear)
        }
        outputs = model.get_output_embeddings()
        head = next((name for name, module in model.named_modules() if outputs is not None and module is outputs), None)
        return cls(config, {name: p.numel() for name, p in model.named_parameters()}, linears, head)

    @property
    def total(self) -> int:
        """Parameters in all."""
        return sum(self.parameters.values())

    @property
    def layers(self) -> int:
        """Transformer blocks."""
        return int(self.config.get_text_config().num_hidden_layers)

    @property
    def kv_numbers_per_token(self) -> int:
        """Numbers that one token adds to the key-value cache: 2 x layers x key-value heads x head size."""
        text = self.config.get_text_config()
        heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
        size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
        return 2 * self.layers * heads * size

    @property
    def quantised(self) -> dict[str, Linear]:
        """The layers that bitsandbytes quantises: every linear layer but the output layer."""
        return {name: linear for name, linear in self.linears.items() if name != self.head}

    def adapted(self, targets: tuple[str, ...] | str | None) -> dict[str, Linear]:
        """The linear layers that LoRA adapts.

        Args:
            targets: ends of names, "all-linear", or `None` for peft's choice for the architecture.

        Raises:
            ConfigError: no layer has one of the names, or peft has no choice for the architecture.
        """
        if targets == "all-linear":
            return self.quantised
        wanted = default_targets(self.config.model_type) if targets is None else targets
        ends = (wanted,) if isinstance(wanted, str) else tuple(wanted)
        found = {
            n: linear for n, linear in self.linears.items() if n in ends or n.endswith(tuple(f".{e}" for e in ends))
        }
        if not found:
            raise ConfigError(f"lora_target_modules names layers of the model, got {ends}: it has none of them")
        return found


def meta_model(config: PreTrainedConfig, layers: int | None = None, attention: str | None = None) -> PreTrainedModel:
    """The model of a configuration, without numbers.

    Args:
        config: the model's configuration.
        layers: blocks; default all of them.
        attention: implementation of attention; default transformers' choice.
    """
    import torch
    from transformers import AutoModelForCausalLM

    config = copy.deepcopy(config)
    text = config.get_text_config()
    if layers is not None:
        text.num_hidden_layers = layers
        if getattr(text, "layer_types", None):
            text.layer_types = text.layer_types[:layers]
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config, **({"attn_implementation": attention} if attention else {}))


def default_targets(model_type: str) -> tuple[str, ...]:
    """The layers that peft adapts in a kind of model where none are named.

    Raises:
        ConfigError: peft has none for it.
    """
    from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as known

    if model_type not in known:
        raise ConfigError(f"peft has no default layers for {model_type!r}: set `lora_target_modules`, e.g. all-linear")
    return tuple(known[model_type])
