"""Number types: what 4-bit layers compute in, and bf16 on hardware without it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from trl_rlsp.doctor.finding import Finding
from trl_rlsp.stages.stage import Stage

COMPUTE_TYPES = ("bfloat16", "float16", "float32")


def check_four_bit(stage: Stage) -> Iterator[Finding]:
    """The compute type of 4-bit layers, and whether anything of a quantised model can be trained."""
    model, name = stage.model, "four_bit"
    if not (model.load_in_4bit or model.load_in_8bit):
        return
    if not model.use_peft and not stage.is_adapter:
        yield Finding(
            name,
            "error",
            "the base model is quantised and there is no adapter",
            "quantised weights cannot be trained; the trainer refuses them",
            "use_peft: true",
        )
    if sharding := shards_weights(stage.training):
        yield Finding(
            name,
            "error",
            f"the base model is quantized and {sharding} shards weights",
            "packed weights cannot be gathered for generation or synchronization; one copy on each GPU works",
            "load_in_4bit: false" if model.load_in_4bit else "load_in_8bit: false",
        )
    if not model.load_in_4bit:
        return
    dtype = model.dtype or "float32"
    if dtype not in COMPUTE_TYPES:
        yield Finding(
            name,
            "error",
            f"dtype is {dtype!r}, and TRL takes the compute type of 4-bit layers from it",
            "bitsandbytes computes in a named type only",
            "dtype: bfloat16",
        )
    elif dtype == "float32" and not stage.training.use_cpu:
        yield Finding(
            name,
            "warning",
            "4-bit layers compute in float32",
            "TRL takes their compute type from `dtype`, which is float32 by default: matrix products leave the tensor "
            "cores' bf16 path, and embeddings and head take twice the memory",
            "dtype: bfloat16",
        )


def shards_weights(training: Any) -> str:
    """What shards the weights over the ranks, as the launcher or the settings say; empty if nothing does."""
    if os.environ.get("ACCELERATE_USE_FSDP") == "true" or getattr(training, "fsdp", None):
        return "FSDP"
    stage = os.environ.get("ACCELERATE_DEEPSPEED_ZERO_STAGE") if os.environ.get("ACCELERATE_USE_DEEPSPEED") else None
    return "ZeRO-3" if stage == "3" else ""


def check_ranks(stage: Stage) -> Iterator[Finding]:
    """What slows several ranks down, or one process on several GPUs."""
    if stage.processes > 1 and stage.adapter[0] is not None and stage.training.ddp_find_unused_parameters is None:
        yield Finding(
            "ranks",
            "warning",
            "ddp_find_unused_parameters is on for an adapter by default",
            "each step walks the whole graph once more to find parameters that got no gradient; an adapter has none",
            "ddp_find_unused_parameters: false",
        )
    if stage.processes == 1 and not stage.elsewhere and not stage.training.use_cpu and (count := visible_gpus()) > 1:
        yield Finding(
            "ranks",
            "warning",
            f"one process and {count} visible GPUs",
            "TRL spreads one model over all of them, at the batch of one: use rlsp run, or accelerate launch",
            "CUDA_VISIBLE_DEVICES=0, for one GPU on purpose",
        )


def visible_gpus() -> int:
    """GPUs that this process may use."""
    import torch

    return torch.cuda.device_count()


def check_bf16(stage: Stage) -> Iterator[Finding]:
    """bf16 on hardware without it."""
    training, name = stage.training, "bf16"
    wants = training.bf16 or (stage.model.dtype == "bfloat16")
    if not wants:
        return
    if stage.elsewhere:
        yield Finding(name, "not checked", "whether the hardware computes in bf16", "the stage runs on another machine")
    elif training.use_cpu:
        if not cpu_has_bf16():
            line = "bf16: false" if training.bf16 else "dtype: float32"
            yield Finding(
                name,
                "warning",
                "training in bf16 on a CPU without native bf16",
                "every product is emulated, about 80 times slower than float32",
                line,
            )
    elif training.bf16 and not gpu_has_bf16():
        yield Finding(
            name,
            "error",
            "bf16 is on (TRL's default), and this machine has no GPU with bf16",
            "the trainer refuses to start; older GPUs (before Ampere) train in fp16",
            "bf16: false",
        )


def cpu_has_bf16() -> bool:
    """Whether this CPU multiplies bf16 matrices natively (AVX512-BF16 or AMX)."""
    import torch

    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()) and _in_cpu_flags("avx512_bf16", "amx_bf16", "bf16")


def gpu_has_bf16() -> bool:
    """Whether this machine's accelerator computes in bf16, as transformers tells."""
    from transformers.utils import is_torch_bf16_gpu_available

    return bool(is_torch_bf16_gpu_available())


def _in_cpu_flags(*wanted: str) -> bool:
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            flags = next((line for line in file if line.lower().startswith(("flags", "features"))), "")
    except OSError:
        return True  # not Linux: what torch says is all there is
    return bool(set(wanted) & set(flags.split()))
