"""The settings of a stage that determine its memory and its tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from trl_rlsp.errors import ConfigError

if TYPE_CHECKING:
    from trl_rlsp.stages import Stage

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}  # bytes per number, by type


@dataclass(frozen=True)
class Settings:
    """The settings that determine memory, apart from the model's shapes; the defaults are those of a GRPO stage.

    A ConfigError for an unknown type, or for quantized weights without an adapter.
    """

    kind: Literal["sft", "grpo"] = "grpo"
    dtype: str = "bfloat16"
    autocast: str | None = None  # compute type of the forward pass under mixed precision
    bits: int | None = None  # 4 or 8 for a quantized base
    nested: bool = False  # the 4-bit constants are quantized again (`use_bnb_nested_quant`)
    rank: int | None = None  # rank of the adapter; `None` trains all weights
    targets: tuple[str, ...] | str | None = None  # adapted layers, as in `Architecture.adapted`
    dropout: float = 0.05
    optimizer: str = "adamw_torch_fused"
    checkpointing: bool = True
    attention: str = "sdpa"  # "sdpa" (also for flash kernels) or "eager", which saves the attention scores
    micro_batch: int = 1  # sequences per forward pass on a rank
    accumulation: int = 1  # micro-batches per optimizer step
    rollouts: int = 8  # sequences that a rank generates at once; 0 for "sft"
    updates: int = 1  # optimizer passes over each generation (`num_iterations`)
    prompt: int = 512  # longest prompt in tokens
    completion: int = 4096  # longest completion in tokens; for "sft" the whole sequence
    reference: bool = False  # whether the KL needs a frozen copy; with a new adapter it uses the base
    vllm: str | None = None  # where vLLM generates: `None`, "colocate" or "server"
    vllm_share: float = 0.3  # share of the GPU's memory for a colocated vLLM
    gathers: bool = True  # ZeRO-3 gathers all weights on each GPU for the rollouts

    def __post_init__(self) -> None:
        if self.dtype not in BYTES:
            raise ConfigError(f"a plan needs a named type: dtype is one of {', '.join(BYTES)}, got {self.dtype!r}")
        if self.bits is not None and self.rank is None:
            raise ConfigError("quantized weights cannot be trained: set `use_peft: true`")

    @property
    def bytes_per_trained(self) -> int:
        """Bytes per trained weight; adapters are kept in float32."""
        return BYTES[self.dtype] if self.rank is None else 4

    @property
    def computes_in(self) -> str:
        """Compute type of the forward pass."""
        return self.autocast or self.dtype

    @property
    def length(self) -> int:
        """Longest sequence in tokens."""
        return self.completion if self.kind == "sft" else self.prompt + self.completion

    @classmethod
    def of(cls, stage: Stage, prompt: int = 512) -> Settings:
        """The settings of a stage whose longest prompt has `prompt` tokens."""
        training, model, sft = stage.training, stage.model, stage.kind == "sft"
        rank, targets = stage.adapter
        dtype = model.dtype or "float32"
        if dtype == "auto":
            dtype = str(getattr(stage.config, "dtype", None) or "float32").removeprefix("torch.")
        context = getattr(stage.config.get_text_config(), "max_position_embeddings", 0)
        longest = training.max_length if sft else training.max_completion_length
        return cls(
            kind=stage.kind,
            dtype=dtype,
            autocast="bfloat16" if training.bf16 else "float16" if training.fp16 else None,
            bits=4 if model.load_in_4bit else 8 if model.load_in_8bit else None,
            nested=model.use_bnb_nested_quant,
            rank=rank,
            targets=targets,
            dropout=model.lora_dropout,
            optimizer=str(getattr(training.optim, "value", training.optim)),
            checkpointing=training.gradient_checkpointing,
            attention="eager" if model.attn_implementation == "eager" else "sdpa",
            micro_batch=training.per_device_train_batch_size,
            accumulation=training.gradient_accumulation_steps,
            rollouts=0 if sft else training.per_device_train_batch_size * stage.steps_per_generation,
            updates=1 if sft else training.num_iterations,
            prompt=0 if sft else prompt,
            completion=longest or max(1, context - prompt),
            reference=not sft and training.beta > 0 and (rank is None or stage.is_adapter),
            vllm=training.vllm_mode if not sft and training.use_vllm else None,
            vllm_share=0.0 if sft else training.vllm_gpu_memory_utilization,
            gathers=not sft and training.ds3_gather_for_generation,
        )


@dataclass(frozen=True)
class Tokens:
    """Completion tokens that one optimizer step samples and trains on, over all GPUs, at full length."""

    sampled: float
    scored: int


def tokens_per_step(settings: Settings, gpus: int) -> Tokens:
    """Tokens per optimizer step; each generation is used for `updates` passes over its completions."""
    sequences = settings.micro_batch * settings.accumulation * gpus
    sampled = sequences * settings.completion / settings.updates if settings.rollouts else 0.0
    return Tokens(sampled, sequences * settings.completion)
