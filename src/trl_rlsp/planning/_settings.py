"""The settings of a stage that determine its memory, its tokens and its hours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from trl_rlsp.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

    from trl_rlsp.stages import Stage

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}  # bytes per number, by type


@dataclass(frozen=True)
class Settings:
    """The settings that determine memory and time, apart from the model's shapes.

    The defaults are those of a GRPO stage. A ConfigError for an unknown type, or for quantized weights without adapter.
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
    shared: int = 1  # completions for which a prompt is processed once
    updates: int = 1  # optimizer passes over each generation (`num_iterations`)
    prompt: int = 512  # longest prompt in tokens
    completion: int = 4096  # longest completion in tokens; for "sft" the whole sequence
    reference: bool = (
        False  # whether the KL needs a frozen copy; with a new adapter that is not reset, it uses the base
    )
    saved: bool = False  # whether checkpoints hold that copy: adapters, and models that are reset or moved
    kl: bool = False  # whether the KL is in the loss, which costs a forward pass of the reference
    rescored: bool = False  # whether the old policy's log-probabilities cost a forward pass
    trimmed: bool = True  # whether sequences are computed without most of their padding
    vllm: str | None = None  # where vLLM generates: `None`, "colocate" or "server"
    vllm_share: float = 0.3  # share of the GPU's memory for a colocated vLLM
    vllm_context: int | None = None  # longest sequence that vLLM must hold; `None` for the longest of the stage
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
        context = getattr(stage.config.get_text_config(), "max_position_embeddings", 0)
        longest = training.max_length if sft else training.max_completion_length
        resets = getattr(training, "reset_steps", None)
        vllm = training.vllm_mode if not sft and training.use_vllm else None
        return cls(
            kind=stage.kind,
            dtype=type_of(stage.config, model.dtype),
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
            shared=1 if sft or getattr(training, "rollout", "trl") != "fast" else training.num_generations,
            updates=1 if sft else training.num_iterations,
            prompt=0 if sft else prompt,
            completion=longest or max(1, context - prompt),
            reference=not sft and training.beta > 0 and bool(rank is None or stage.is_adapter or resets),
            saved=rank is not None or bool(resets or (not sft and training.sync_ref_model)),
            kl=not sft and training.beta > 0,
            rescored=not sft and _rescored(stage),
            trimmed=sft or getattr(training, "trim_updates", False),
            vllm=vllm,
            vllm_share=0.0 if sft else training.vllm_gpu_memory_utilization,
            vllm_context=(training.vllm_max_model_length or context) if vllm else None,
            gathers=not sft and training.ds3_gather_for_generation,
        )


def type_of(config: PreTrainedConfig, dtype: str | None) -> str:
    """The type of the weights: transformers' default without one, and for "auto" the one in the configuration."""
    return (
        str(getattr(config, "dtype", None) or "float32").removeprefix("torch.")
        if dtype == "auto"
        else dtype or "float32"
    )


def _rescored(stage: Stage) -> bool:
    """Whether TRL computes the old policy's log-probabilities: for vLLM's correction, or if updates lag behind."""
    training = stage.training
    lags = training.gradient_accumulation_steps % (stage.steps_per_generation * training.num_iterations) != 0
    return lags or (training.use_vllm and training.vllm_importance_sampling_correction)


def steps_of(stage: Stage, gpus: int, rows: int | None = None) -> float | None:
    """Optimizer steps of a stage on `gpus` GPUs; `None` if they depend on the number of rows and there is no limit."""
    training, rows = stage.training, rows or stage.data.dataset_limit
    if training.max_steps > 0 or rows is None:
        return training.max_steps if training.max_steps > 0 else None
    each = 1 if stage.kind == "sft" else training.num_generations * training.num_iterations
    at_once = training.per_device_train_batch_size * training.gradient_accumulation_steps * gpus
    return float(rows * training.num_train_epochs * each / at_once)


def tokens_per_step(settings: Settings, gpus: int) -> dict[str, float]:
    """Completion tokens that an optimizer step has "sampled" and "scored", over all GPUs, at full length."""
    sequences = settings.micro_batch * settings.accumulation * gpus
    sampled = sequences * settings.completion / settings.updates if settings.rollouts else 0.0
    return {"sampled": sampled, "scored": sequences * settings.completion}
