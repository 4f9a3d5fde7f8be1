"""The parts of a stage's memory, in bytes on a single GPU.

Shapes come from the model's configuration, built on torch's meta device. Weights, adapter, optimizer, reference and
key-value cache are counted tensor by tensor, as torch, peft and bitsandbytes allocate them. For the activations, the
model's own code runs on fake tensors, which have autograd but no data, and every storage that autograd saves is
counted: runs of one and of two blocks give the memory per block and the memory outside the blocks.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from trl_rlsp.errors import ConfigError
from trl_rlsp.planning._settings import BYTES, Settings

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedConfig, PreTrainedModel

# weights per constant in bitsandbytes: for 4-bit weights, for their constants, for 8-bit optimizer states
BLOCK, NESTED_BLOCK, OPTIMIZER_BLOCK = 64, 256, 256
SMALLEST_8BIT = 4096  # tensors with fewer weights keep their optimizer states in float32 (its `min_8bit_size`)
# tensors that a forward pass holds at once in the MLP: gate, up and their product; four of the hidden size
WIDE, NARROW = 3, 4
VLLM_TOKENS = 4096  # TRL's `max_num_batched_tokens`
TILE_TOKENS, TILE_VOCABULARY = 4096, 32768  # of TRL's fused output layer: its `TOKEN_CHUNK_SIZE` and chunk size


@dataclass(frozen=True, eq=False)  # hashed by identity, so that results can be cached
class Architecture:
    """Shapes of a causal language model."""

    config: PreTrainedConfig
    parameters: dict[str, int]  # name -> number of weights; tied weights are counted once
    linears: dict[str, tuple[int, int]]  # name -> input and output features, `head` included
    head: str | None  # name of the output layer

    @classmethod
    def of(cls, config: PreTrainedConfig) -> Architecture:
        """Build it from a configuration."""
        import torch

        with torch.device("meta"):
            model = _untrained(config)
        found = {name: module for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
        linears = {name: (module.in_features, module.out_features) for name, module in found.items()}
        head = next((name for name, module in found.items() if module is model.get_output_embeddings()), None)
        return cls(config, {name: p.numel() for name, p in model.named_parameters()}, linears, head)

    @property
    def total(self) -> int:
        """Total number of parameters."""
        return sum(self.parameters.values())

    @property
    def layers(self) -> int:
        """Number of transformer blocks."""
        return int(self.config.get_text_config().num_hidden_layers)

    @property
    def kv_numbers_per_token(self) -> int:
        """Numbers that one token adds to the key-value cache: 2 x layers x key-value heads x head size."""
        text = self.config.get_text_config()
        heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
        size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
        return 2 * self.layers * heads * size

    @property
    def quantized(self) -> dict[str, tuple[int, int]]:
        """The layers that bitsandbytes quantizes: every linear layer except the output layer."""
        return {name: linear for name, linear in self.linears.items() if name != self.head}

    def adapted(self, targets: tuple[str, ...] | str | None) -> dict[str, tuple[int, int]]:
        """The linear layers that LoRA adapts: by the ends of their names, "all-linear", or `None` for peft's choice."""
        from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as known

        if targets == "all-linear":
            return self.quantized
        kind = self.config.model_type
        if targets is None and kind not in known:
            raise ConfigError(f"peft has no default layers for {kind!r}: set `lora_target_modules`, e.g. all-linear")
        wanted = known[kind] if targets is None else targets
        ends = (wanted,) if isinstance(wanted, str) else tuple(wanted)
        found = {n: linear for n, linear in self.linears.items() if f".{n}".endswith(tuple(f".{end}" for end in ends))}
        if not found:
            raise ConfigError(f"lora_target_modules names layers of the model, got {ends}: it has none of them")
        return found


def weight_bytes(architecture: Architecture, settings: Settings) -> int:
    """The base model in its precision, with the quantization constants."""
    linears = architecture.quantized.values() if settings.bits else ()
    kept = architecture.total - sum(map(math.prod, linears))  # embeddings, norms, biases, output layer
    return kept * BYTES[settings.dtype] + sum(_packed(*linear, settings) for linear in linears)


def _packed(inputs: int, outputs: int, settings: Settings) -> int:
    """Bytes of a quantized layer."""
    if settings.bits == 8:  # plus a float32 for each row
        return inputs * outputs + 4 * outputs
    constants = blocks = math.ceil(inputs * outputs / BLOCK)
    # in one byte each, with their own constants, codebook and offset, or in float32
    constants += 4 * math.ceil(blocks / NESTED_BLOCK) + 4 * 256 + 4 if settings.nested else 3 * blocks
    return math.ceil(inputs * outputs / 2) + 4 * 16 + constants  # plus the 16 values of the type


def trained_tensors(architecture: Architecture, settings: Settings) -> list[int]:
    """Number of weights of each trained tensor: LoRA's A and B of each layer, or all parameters."""
    if settings.rank is None:
        return list(architecture.parameters.values())
    adapted = architecture.adapted(settings.targets).values()
    return [settings.rank * size for linear in adapted for size in linear]


def trained_bytes(architecture: Architecture, settings: Settings) -> int:
    """The trained weights: the adapter in float32, or all weights in their type. Gradients take the same."""
    return sum(trained_tensors(architecture, settings)) * settings.bytes_per_trained


def adapter_bytes(architecture: Architecture, settings: Settings) -> int:
    """The adapter; 0 if there is none."""
    return 0 if settings.rank is None else trained_bytes(architecture, settings)


def optimizer_bytes(architecture: Architecture, settings: Settings) -> int:
    """The optimizer's state: for AdamW, two moments per weight in its type, for sgd 0; a ConfigError for others."""
    name, tensors = settings.optimizer, trained_tensors(architecture, settings)
    if name == "sgd":
        return 0
    if "adamw" not in name:
        raise ConfigError(f"a plan supports AdamW (also 8-bit and paged) and sgd, got optim={name!r}")
    if "8bit" not in name:
        return sum(2 * size * settings.bytes_per_trained + 4 for size in tensors)  # plus a float32 step
    whole = sum(size for size in tensors if size < SMALLEST_8BIT)
    packed = sum(size + 4 * math.ceil(size / OPTIMIZER_BLOCK) for size in tensors if size >= SMALLEST_8BIT)
    return 2 * (4 * whole + packed)


def reference_bytes(architecture: Architecture, settings: Settings) -> int:
    """The frozen reference of the KL: a copy of the weights or, if an adapter is continued or reset, of it."""
    if not settings.reference:
        return 0
    return weight_bytes(architecture, settings) if settings.rank is None else adapter_bytes(architecture, settings)


def checkpoint_bytes(architecture: Architecture, settings: Settings) -> int:
    """A checkpoint: the trained weights, the optimizer's state and, if it is saved, the reference."""
    reference = reference_bytes(architecture, settings) if settings.saved else 0
    return trained_bytes(architecture, settings) + optimizer_bytes(architecture, settings) + reference


def kv_bytes(architecture: Architecture, settings: Settings) -> int:
    """The key-value cache of all sequences that transformers generates at once, at full length."""
    numbers = architecture.kv_numbers_per_token * settings.rollouts * settings.length
    return numbers * BYTES[settings.computes_in]


def cache_bytes(architecture: Architecture, settings: Settings) -> int:
    """Sampling without the weights: the cache or, if that is more, a pass over the prompts; two copies of logits."""
    prompts = math.ceil(settings.rollouts / settings.shared) * settings.prompt
    passed = prompts * architecture.kv_numbers_per_token * BYTES[settings.computes_in]
    passed += prompt_bytes(architecture, prompts, settings)
    logits = 2 * 4 * settings.rollouts * int(architecture.config.get_text_config().vocab_size)
    return max(kv_bytes(architecture, settings), passed) + logits


def prompt_bytes(architecture: Architecture, tokens: int, settings: Settings) -> int:
    """The most that a forward pass without gradients holds for `tokens` tokens, in its widest place, the MLP."""
    text = architecture.config.get_text_config()
    return tokens * (WIDE * text.intermediate_size + NARROW * text.hidden_size) * BYTES[settings.computes_in]


def vllm_bytes(architecture: Architecture, settings: Settings) -> int:
    """vLLM's own working memory: a pass over as many tokens as TRL lets it batch, its logits, an unpacked layer."""
    logits = 2 * 4 * settings.rollouts * int(architecture.config.get_text_config().vocab_size)
    unpacked = max(map(math.prod, architecture.quantized.values())) if settings.bits else 0
    passed = prompt_bytes(architecture, VLLM_TOKENS, settings)
    return passed + logits + unpacked * BYTES[settings.computes_in]


def logit_bytes(architecture: Architecture, settings: Settings) -> int:
    """TRL 1.16's fused output layer: a tile of logits, the scored hidden states, and float32 gradients."""
    text = architecture.config.get_text_config()
    positions = settings.micro_batch * settings.completion
    width = BYTES[settings.computes_in]
    tile = min(positions, TILE_TOKENS) * min(text.vocab_size, TILE_VOCABULARY) * width
    trained_head = 4 * text.vocab_size * text.hidden_size if settings.rank is None else 0
    return tile + positions * text.hidden_size * (width + 4) + trained_head


def activation_bytes(architecture: Architecture, settings: Settings) -> int:
    """The most that autograd saves for one micro-batch at the longest sequence.

    With checkpointing, these are the hidden states before each block and all activations of one block.
    """
    unused: Any = {"optimizer": "", "rollouts": 0, "accumulation": 1, "vllm": None, "reference": False, "saved": False}
    measured = replace(settings, checkpointing=False, **unused)  # fewer distinct keys for the cache
    one, two = (_saved_by_autograd(architecture, measured, blocks) for blocks in (1, 2))
    once, block = 2 * one - two, two - one
    if not settings.checkpointing:
        return once + architecture.layers * block
    # under autocast the hidden states between blocks keep the type of the embedding
    width = 4 if settings.dtype == "float32" else BYTES[settings.computes_in]
    hidden = int(architecture.config.get_text_config().hidden_size) * width
    return once + architecture.layers * settings.micro_batch * settings.length * hidden + block


@lru_cache(maxsize=64)
def _saved_by_autograd(architecture: Architecture, settings: Settings, blocks: int) -> int:
    """Bytes that autograd saves in a forward pass through `blocks` blocks, without the weights."""
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode

    sizes: dict[int, int] = {}
    alive: list[Any] = []  # an address identifies a storage only while it is alive

    def count(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            sizes[storage._cdata] = storage.nbytes()
            alive.append(tensor)
        return tensor

    rows, columns = settings.micro_batch, settings.length
    casting = torch.autocast("cpu", getattr(torch, settings.autocast or "bfloat16"), enabled=bool(settings.autocast))
    with torch.device("meta"):
        backbone = _trainable(architecture, settings, blocks)
    with FakeTensorMode():
        tensors = {
            name: torch.empty(tensor.shape, dtype=tensor.dtype, requires_grad=tensor.requires_grad)
            for name, tensor in (*backbone.named_parameters(), *backbone.named_buffers())
        }
        own = {tensor.untyped_storage()._cdata for tensor in tensors.values()}
        ids = torch.zeros((rows, columns), dtype=torch.long)
        mask = torch.ones((rows, 1, columns, columns), dtype=torch.bool)
        given = {"input_ids": ids, "attention_mask": mask, "use_cache": False}
        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor), casting:
            alive.append(torch.func.functional_call(backbone, tensors, (), given))
    return sum(sizes.values())


def _trainable(architecture: Architecture, settings: Settings, blocks: int) -> nn.Module:
    """The first `blocks` blocks without the output layer, with the adapter and its frozen base if there is one."""
    import torch

    model = _untrained(architecture.config, blocks, attn_implementation=settings.attention, dtype=settings.dtype)
    if settings.bits:  # unpacked for each product, so no cast copy is saved
        for module in model.modules():
            if isinstance(module, torch.nn.Linear):
                module.to(getattr(torch, settings.computes_in))
    if settings.rank is not None:
        from peft import LoraConfig, get_peft_model

        targets = sorted({name.split(".")[-1] for name in architecture.adapted(settings.targets)})
        given: Any = {"target_modules": targets, "lora_dropout": settings.dropout, "task_type": "CAUSAL_LM"}
        get_peft_model(model, LoraConfig(r=settings.rank, **given))  # adapts the layers in place, in float32
    return model.train().base_model


def _untrained(config: PreTrainedConfig, blocks: int | None = None, **options: Any) -> PreTrainedModel:
    """A model with this configuration, with all blocks or only the first `blocks`."""
    from transformers import AutoModelForCausalLM

    config = copy.deepcopy(config)
    text = config.get_text_config()
    if blocks is not None:
        text.num_hidden_layers = blocks
        if getattr(text, "layer_types", None):
            text.layer_types = text.layer_types[:blocks]
    return AutoModelForCausalLM.from_config(config, **options)
