"""Checks of the settings alone: groups, number types, ranks, rollouts, rewards, disk."""

from __future__ import annotations

import importlib.util
import math
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trl_rlsp.doctor._finding import Finding, error, unchecked, warning
from trl_rlsp.errors import RLSPError, ServerError
from trl_rlsp.stages import Stage, parse_grpo, parse_sft

COMPUTE_TYPES = ("bfloat16", "float16", "float32")
SAFE = "use_vllm: false"
GB = 1e9


def check_settings(stage: Stage) -> Iterator[Finding]:
    """What the stage's own command refuses before it loads anything."""
    try:
        if stage.elsewhere or not stage.arguments:  # TRL's own validation asks for the hardware
            stage.data.required()
            if stage.kind == "grpo":
                stage.rewards.close()
        elif stage.kind == "sft":
            parse_sft(list(stage.arguments))
        else:
            parse_grpo(list(stage.arguments))[1].close()
    except RLSPError as failure:
        what = f"`rlsp {stage.kind}` refuses the settings"
        yield error(what, str(failure), "as the message says")


def check_groups(stage: Stage) -> Iterator[Finding]:
    """A generation must hold whole groups: TRL refuses anything else."""
    training = stage.training
    group = training.num_generations
    if group < 2:
        yield error(
            f"num_generations is {group}",
            "an advantage is a difference within a group of at least two completions",
            "num_generations: 8",
        )
        return
    at_once = training.per_device_train_batch_size * stage.processes
    ranks = f"{training.per_device_train_batch_size} completions on each of {stage.processes} ranks"
    total = stage.sequences_per_generation
    whole = math.lcm(at_once, group)
    if training.generation_batch_size:
        if total % at_once or total % group:
            yield error(
                f"generation_batch_size {total} is no multiple of num_generations {group} and of {ranks}",
                "a generation holds whole groups, cut into equal micro-batches; TRL refuses anything else",
                f"generation_batch_size: {whole * math.ceil(total / whole)}",
            )
    elif total % group:
        field = "steps_per_generation" if training.steps_per_generation else "gradient_accumulation_steps"
        yield error(
            f"{ranks} times {stage.steps_per_generation} steps are {total} completions, "
            f"no multiple of num_generations {group}",
            "a generation holds whole groups; TRL refuses anything else",
            f"{field}: {whole * math.ceil(total / whole) // at_once}",
        )


def check_four_bit(stage: Stage) -> Iterator[Finding]:
    """The compute type of 4-bit layers, and whether anything of a quantised model can be trained."""
    model = stage.model
    if not (model.load_in_4bit or model.load_in_8bit):
        return
    if not model.use_peft and not stage.is_adapter:
        yield error(
            "the base model is quantised and there is no adapter",
            "quantised weights cannot be trained; the trainer refuses them",
            "use_peft: true",
        )
    if sharding := shards_weights(stage.training):
        yield error(
            f"the base model is quantized and {sharding} shards weights",
            "packed weights cannot be gathered for generation or synchronization; one copy on each GPU works",
            "load_in_4bit: false" if model.load_in_4bit else "load_in_8bit: false",
        )
    if not model.load_in_4bit:
        return
    dtype = model.dtype or "float32"
    if dtype not in COMPUTE_TYPES:
        yield error(
            f"dtype is {dtype!r}, and TRL takes the compute type of 4-bit layers from it",
            "bitsandbytes computes in a named type only",
            "dtype: bfloat16",
        )
    elif dtype == "float32" and not stage.training.use_cpu:
        yield warning(
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
        yield warning(
            "ddp_find_unused_parameters is on for an adapter by default",
            "each step walks the whole graph once more to find parameters that got no gradient; an adapter has none",
            "ddp_find_unused_parameters: false",
        )
    if stage.processes == 1 and not stage.elsewhere and not stage.training.use_cpu and (count := visible_gpus()) > 1:
        yield warning(
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
    training = stage.training
    wants = training.bf16 or (stage.model.dtype == "bfloat16")
    if not wants:
        return
    if stage.elsewhere:
        yield unchecked("whether the hardware computes in bf16", "the stage runs on another machine")
    elif training.use_cpu:
        if not cpu_has_bf16():
            line = "bf16: false" if training.bf16 else "dtype: float32"
            yield warning(
                "training in bf16 on a CPU without native bf16",
                "every product is emulated, about 80 times slower than float32",
                line,
            )
    elif training.bf16 and not gpu_has_bf16():
        yield error(
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


def check_vllm(stage: Stage) -> Iterator[Finding]:
    """vLLM that is not there, or that cannot take over the weights of a quantised model."""
    if not stage.training.use_vllm:
        return
    mode = stage.training.vllm_mode
    if not stage.elsewhere and importlib.util.find_spec("vllm") is None:
        yield error("use_vllm is on and vLLM is not installed", "install it: pip install 'trl-rlsp[vllm]'", SAFE)
    if stage.model.load_in_8bit:
        yield error("vLLM with an 8-bit base", "vLLM does not quantise to 8 bit while it loads; TRL raises", SAFE)
    elif stage.model.load_in_4bit and mode == "server":
        yield error(
            "vLLM in server mode with a 4-bit base",
            "TRL sends merged, unpacked weights where the server holds packed ones: a shape error at the first "
            "synchronisation (huggingface/trl#4973, open)",
            SAFE,
        )
    elif stage.model.load_in_4bit:
        yield error(
            "vLLM in colocate mode with a 4-bit base",
            "packed weights are sent without their quantization state, and each merge of the adapter rounds them again "
            "(huggingface/trl#3466): rollouts come from another model than the one that is trained. Safe on one node: "
            "transformers generation with one 4-bit copy on each GPU, or a bf16 base with vLLM (load_in_4bit: false)",
            SAFE,
        )


def check_importance_sampling(stage: Stage) -> Iterator[Finding]:
    """A correction for vLLM that leaves out long completions first."""
    training = stage.training
    if (
        training.use_vllm
        and training.vllm_importance_sampling_correction
        and training.vllm_importance_sampling_mode == "sequence_mask"
    ):
        yield warning(
            "vllm_importance_sampling_mode is sequence_mask (TRL's default)",
            "its bound is on the product over all tokens, so long completions are left out of the loss first, just "
            "those that exploration wants",
            "vllm_importance_sampling_mode: token_truncate",
        )


def check_dropout(stage: Stage) -> Iterator[Finding]:
    """Dropout of a new adapter, under which TRL samples and scores."""
    if stage.model.use_peft and not stage.is_adapter and stage.model.lora_dropout > 0:
        yield warning(
            f"lora_dropout is {stage.model.lora_dropout:g} (TRL's default is 0.05)",
            "TRL samples and scores completions in training mode: another model answers each time, and "
            "the KL to the reference is not 0 at the first step",
            "lora_dropout: 0.0",
        )


def check_exploration(stage: Stage) -> Iterator[Finding]:
    """Exploration under which a wrong completion outranks a right one; see `trl_rlsp.rewards.balance`."""
    from trl_rlsp.rewards import check_balance

    for found in check_balance(stage.rewards, stage.training):
        what, _, why = found.message.partition(":")
        yield Finding("exploration", found.severity, what.strip(), why.strip(), found.advice)


def check_judge(stage: Stage) -> Iterator[Finding]:
    """A judge that cannot be reached, or gives no valid grades: one short request."""
    from trl_rlsp.rewards import JudgeExploration

    for judge in stage.rewards.exploration:
        if not isinstance(judge, JudgeExploration):
            continue
        if stage.elsewhere:
            reason = "the stage runs on another machine"
            yield unchecked(f"whether the judge {judge.client.model!r} answers", reason)
            continue
        try:
            judge.check()
        except ServerError as failure:
            yield error(
                f"the judge {judge.client.model!r} gives no grades",
                f"every grade would be None, and the run would train on the outcome alone: {failure}",
                "judge_base_url: http://HOST:PORT/v1",
            )


def check_disk(stage: Stage) -> Iterator[Finding]:
    """Checkpoints and the final model against the free space of the output folder's disk."""
    if stage.elsewhere:
        yield unchecked("whether the checkpoints fit", "the stage runs on another machine")
        return
    checkpoints, one = kept_checkpoints(stage), checkpoint_bytes(stage)
    needed = checkpoints * one + one // 3  # the final model has no optimizer: a third
    folder = existing_parent(Path(str(stage.training.output_dir or ".")))
    free = shutil.disk_usage(folder).free
    if needed > free:
        fits = max(1, (free - one // 3) // max(one, 1))
        yield error(
            f"{checkpoints} checkpoints of {one / GB:.3g} GB take {needed / GB:.3g} GB, "
            f"and {folder} has {free / GB:.3g} GB left",
            "a run that cannot write its checkpoint ends there, and may leave a broken one",
            f"save_total_limit: {fits}" if checkpoints > 1 else "output_dir: a folder on a larger disk",
        )


def checkpoint_bytes(stage: Stage) -> int:
    """Bytes of one checkpoint: what is trained, in its type, and two moments of AdamW for each weight.

    Raises:
        UnknownError: the model's configuration cannot be had here.
    """
    from trl_rlsp.planning import Architecture, Settings, optimizer_bytes, trained_bytes

    stage_settings = Settings.of(stage)
    architecture = Architecture.of(stage.config)
    return trained_bytes(architecture, stage_settings) + optimizer_bytes(architecture, stage_settings)


def kept_checkpoints(stage: Stage) -> int:
    """Checkpoints that stand on the disk at once; one more than `save_total_limit` while a new one is written."""
    training = stage.training
    strategy = str(getattr(training.save_strategy, "value", training.save_strategy))
    if strategy == "no":
        return 0
    every = training.save_steps if strategy == "steps" else 0
    written = 1
    if training.max_steps > 0 and every >= 1:
        written = math.ceil(training.max_steps / every)
    elif strategy == "epoch":
        written = math.ceil(training.num_train_epochs)
    limit = training.save_total_limit
    return min(written, limit + 1) if limit else written


def existing_parent(path: Path) -> Path:
    """The folder itself, or the nearest above it that exists."""
    path = path.absolute()
    return next(folder for folder in (path, *path.parents) if folder.is_dir())
