"""The checks, in the order in which they are made; each yields what it finds."""

from __future__ import annotations

import importlib.util
import math
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from trl_rlsp.doctor._findings import BOTH, RL, Finding, check, error, unchecked, warning
from trl_rlsp.errors import ConfigError, MissingDependencyError, RLSPError, ServerError, SourceError
from trl_rlsp.stages import Stage, parse_grpo, parse_sft
from trl_rlsp.verification import require_sandbox

ELSEWHERE = "the stage runs on another machine"
COUNTED = 64  # prompts that are tokenized: those with the most characters
MARK = "seventeen"  # a word that the probe of the chat template reasons with


@check()
def _settings(stage: Stage) -> Iterator[Finding]:
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
        yield error(f"`rlsp {stage.kind}` refuses the settings", str(failure), "as the message says")


@check()
def _data(stage: Stage) -> Iterator[Finding]:
    from trl_rlsp.problems import FILE_EXTENSIONS, find_preset

    source, path = str(stage.data.dataset), Path(str(stage.data.dataset))
    try:
        require_sandbox(stage.rows.column_names)
    except SourceError as failure:  # what is fetched from the hub may be out of reach from here
        local = path.exists() or path.suffix.lower() in FILE_EXTENSIONS or source.startswith("reasoning_gym:")
        if not local and (find_preset(source) is not None or source.count("/") == 1):
            yield unchecked(f"the data set {source!r}", str(failure))
        else:
            yield error(f"there is no data at {source!r}", str(failure), "dataset: SOURCE")
    except MissingDependencyError as failure:
        yield error("the data set needs what is not installed", str(failure), "as the message says")
    except RLSPError as failure:
        lacks_column = "column" in str(failure) and not isinstance(failure, ConfigError)
        line = "dataset_columns: {problem: COLUMN, answer: COLUMN}" if lacks_column else "dataset: SOURCE"
        yield error("the data set cannot be used", str(failure), line)


@check(BOTH, at_start=BOTH)
def _four_bit(stage: Stage) -> Iterator[Finding]:
    model = stage.model
    if not (model.load_in_4bit or model.load_in_8bit):
        return
    if not model.use_peft and not stage.is_adapter:
        why = "quantized weights cannot be trained; the trainer refuses them"
        yield error("the base model is quantized and there is no adapter", why, "use_peft: true")
    zero3 = os.environ.get("ACCELERATE_USE_DEEPSPEED") and os.environ.get("ACCELERATE_DEEPSPEED_ZERO_STAGE") == "3"
    fsdp = os.environ.get("ACCELERATE_USE_FSDP") == "true" or getattr(stage.training, "fsdp", None)
    if fsdp or zero3:
        why = "packed weights cannot be gathered for generation or synchronization; one copy on each GPU works"
        line = f"load_in_{4 if model.load_in_4bit else 8}bit: false"
        yield error(f"the base model is quantized and {'FSDP' if fsdp else 'ZeRO-3'} shards weights", why, line)
    dtype = model.dtype or "float32"
    if model.load_in_4bit and dtype not in ("bfloat16", "float16", "float32"):
        what = f"dtype is {dtype!r}, and TRL takes the compute type of 4-bit layers from it"
        yield error(what, "bitsandbytes computes in a named type only", "dtype: bfloat16")
    elif model.load_in_4bit and dtype == "float32" and not stage.training.use_cpu:
        why = "TRL takes their compute type from `dtype`: products are slower, embeddings and head twice as large"
        yield warning("4-bit layers compute in float32", why, "dtype: bfloat16")


@check()
def _bf16(stage: Stage) -> Iterator[Finding]:
    from transformers.utils import is_torch_bf16_gpu_available

    training = stage.training
    if not training.bf16 and stage.model.dtype != "bfloat16":
        return
    if stage.elsewhere:
        yield unchecked("whether the hardware computes in bf16", ELSEWHERE)
    elif training.use_cpu and not cpu_has_bf16():
        why = "every product is emulated, about 80 times slower than float32"
        line = "bf16: false" if training.bf16 else "dtype: float32"
        yield warning("training in bf16 on a CPU without native bf16", why, line)
    elif training.bf16 and not training.use_cpu and not is_torch_bf16_gpu_available():
        what = "bf16 is on (TRL's default), and this machine has no GPU with bf16"
        yield error(what, "the trainer refuses to start; older GPUs (before Ampere) train in fp16", "bf16: false")


def cpu_has_bf16() -> bool:
    """Whether this CPU multiplies bf16 matrices natively, as Linux says; yes where nothing says so."""
    told = Path("/proc/cpuinfo")
    return not told.is_file() or bool(re.search(r"\b(avx512_bf16|amx_bf16|bf16)\b", told.read_text(errors="replace")))


@check(BOTH, at_start=RL)
def _pad_token(stage: Stage) -> Iterator[Finding]:
    tokenizer = stage.tokenizer
    if tokenizer.pad_token is not None or getattr(stage.training, "pad_token", None):
        return
    if tokenizer.eos_token is None:
        line = 'set "pad_token" and "eos_token" in the model\'s tokenizer_config.json'
        yield error("the tokenizer has neither a pad nor an end token", "no completion can be padded or ends", line)
        return
    special = sorted(token for token in tokenizer.get_vocab() if re.fullmatch("<.+>", token))
    fitting = [token for word in ("pad", "unk", "reserved") for token in special if word in token.lower()]
    line = f'pad_token: "{fitting[0] if fitting else "<pad>"}"'
    if stage.kind == "grpo":
        line = f"in the model's tokenizer_config.json, {line}"
    why = f"TRL pads with the end token {tokenizer.eos_token!r}: what masks padding by its id masks the real end, too"
    yield warning("the tokenizer has no pad token", why, line)


@check(BOTH, at_start=RL)
def _chat_template(stage: Stage) -> Iterator[Finding]:
    from trl_rlsp.problems import DEFAULT_TEMPLATE

    sft = stage.kind == "sft"
    if sft and getattr(stage.data, "demonstration_style", "messages") == "plain":
        return
    if stage.tokenizer.chat_template is None:
        line = "demonstration_style: plain" if sft else "take an instruct model, or save a template with the model"
        yield error("the tokenizer has no chat template", "problems are messages, which nothing can render", line)
        return

    def survives(completion: str) -> bool:
        messages = [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": completion}]
        return MARK in stage.tokenizer.apply_chat_template(messages, tokenize=False)

    own = getattr(stage.data, "demonstration_template", None) or DEFAULT_TEMPLATE
    if sft and not survives(own.replace("{reasoning}", MARK).replace("{answer}", "4")):
        what = "the chat template drops the reasoning of the demonstrations"
        yield error(what, "the model would be trained on answers alone", "chat_template_path: TEMPLATE.jinja")
    elif not survives(f"<think>\n{MARK}\n</think>\n\nfour"):
        what = "the chat template drops <think>...</think> from an assistant's message"
        why = "reasoning in these tags is lost in demonstrations, in further turns, and in harvested traces"
        line = "chat_template_path: TEMPLATE.jinja" if sft else "save a template that keeps them with the model"
        yield warning(what, why, line)


@check(BOTH, at_start=RL)
def _context(stage: Stage) -> Iterator[Finding]:
    context = getattr(stage.config.get_text_config(), "max_position_embeddings", None)
    field = "max_length" if stage.kind == "sft" else "max_completion_length"
    longest = getattr(stage.training, field)
    why = "what is longer is at positions that the model does not know; vLLM refuses it"
    if context is None:
        yield unchecked("the model's context", "its configuration gives no length")
    elif longest is None or (stage.kind == "sft" and longest <= context):
        return
    elif stage.kind == "sft":
        yield warning(f"{field} {longest} is above the model's context of {context} tokens", why, f"{field}: {context}")
    elif longest >= context:
        what = f"{field} {longest} leaves no room for a prompt in a context of {context} tokens"
        yield error(what, why, f"{field}: {context // 2}")
    elif (prompt := _longest_prompt(stage)) + longest > context:
        what = f"the longest prompt has {prompt} tokens: with {field} {longest} they exceed the context of {context}"
        if prompt < context:
            yield warning(what, why, f"{field}: {context - prompt}")
        else:
            yield error(what, why, "leave out the longest prompts")


def _longest_prompt(stage: Stage) -> int:
    """Tokens of the longest prompt, of the `COUNTED` with the most characters."""
    if stage.tokenizer.chat_template is None:
        raise ConfigError("the length of the longest prompt is not known: the tokenizer has no chat template")
    prompts = sorted(stage.rows["prompt"], key=lambda messages: sum(len(m["content"]) for m in messages))[-COUNTED:]
    rendered = stage.tokenizer.apply_chat_template(prompts, add_generation_prompt=True, tokenize=False)
    return max(len(ids) for ids in stage.tokenizer(rendered, add_special_tokens=False)["input_ids"])


@check(BOTH, at_start=BOTH)
def _disk(stage: Stage) -> Iterator[Finding]:
    if stage.elsewhere:
        yield unchecked("whether the checkpoints fit", ELSEWHERE)
        return
    count, one = kept_checkpoints(stage), checkpoint_bytes(stage)
    needed = count * one + one // 3  # the final model has no optimizer: a third
    output = Path(str(stage.training.output_dir or ".")).absolute()
    folder = next(folder for folder in (output, *output.parents) if folder.is_dir())
    free = shutil.disk_usage(folder).free
    if needed > free:
        size, total, left = (f"{value / 1e9:.3g} GB" for value in (one, needed, free))
        what = f"{count} checkpoints of {size} take {total}, and {folder} has {left} left"
        line = f"save_total_limit: {max(1, (free - one // 3) // max(one, 1))}"
        line = line if count > 1 else "output_dir: a folder on a larger disk"
        yield error(what, "a run that cannot write its checkpoint ends there, and may leave a broken one", line)


def checkpoint_bytes(stage: Stage) -> int:
    """Bytes of one checkpoint: what is trained, and the optimizer's state."""
    from trl_rlsp.planning import Architecture, Settings, optimizer_bytes, trained_bytes

    model = Architecture.of(stage.config), Settings.of(stage)
    return trained_bytes(*model) + optimizer_bytes(*model)


def kept_checkpoints(stage: Stage) -> int:
    """Checkpoints that stand on the disk at once; one more than `save_total_limit` while a new one is written."""
    training = stage.training
    strategy = str(getattr(training.save_strategy, "value", training.save_strategy))
    if strategy == "no":
        return 0
    written = math.ceil(training.num_train_epochs) if strategy == "epoch" else 1
    if strategy == "steps" and training.max_steps > 0 and training.save_steps >= 1:
        written = math.ceil(training.max_steps / training.save_steps)
    return min(written, training.save_total_limit + 1) if training.save_total_limit else written


@check(BOTH, at_start=BOTH)
def _ranks(stage: Stage) -> Iterator[Finding]:
    if stage.processes > 1 and stage.adapter[0] is not None and stage.training.ddp_find_unused_parameters is None:
        what = "ddp_find_unused_parameters is on for an adapter by default"
        why = "each step searches the whole graph for parameters without a gradient; an adapter has none"
        yield warning(what, why, "ddp_find_unused_parameters: false")
    if stage.processes == 1 and not stage.elsewhere and not stage.training.use_cpu and (count := visible_gpus()) > 1:
        why = "TRL spreads one model over all of them, at the batch of one: use rlsp run, or accelerate launch"
        yield warning(f"one process and {count} visible GPUs", why, "CUDA_VISIBLE_DEVICES=0, for one GPU on purpose")


def visible_gpus() -> int:
    """GPUs that this process may use."""
    import torch

    return torch.cuda.device_count()


@check(RL)
def _groups(stage: Stage) -> Iterator[Finding]:
    training, group = stage.training, stage.training.num_generations
    if group < 2:
        why = "an advantage is a difference within a group of at least two completions"
        yield error(f"num_generations is {group}", why, "num_generations: 8")
        return
    batch, total = training.per_device_train_batch_size, stage.sequences_per_generation
    at_once = batch * stage.processes
    whole = math.lcm(at_once, group)
    needed = whole * math.ceil(total / whole)
    ranks = f"{batch} completions on each of {stage.processes} ranks"
    line, what = f"{_steps_field(stage)}: {needed // at_once}", f"{ranks} times {stage.steps_per_generation} steps are"
    if training.generation_batch_size:
        line, what = f"generation_batch_size: {needed}", f"a generation_batch_size on {ranks} is"
    factor = whole if training.generation_batch_size else group
    if total % factor:
        why = "a generation holds whole groups of num_generations on equal ranks; TRL refuses anything else"
        yield error(f"{what} {total} completions, no multiple of {factor}", why, line)


def _steps_field(stage: Stage) -> str:
    return "steps_per_generation" if stage.training.steps_per_generation else "gradient_accumulation_steps"


@check(RL, at_start=RL)
def _prompts(stage: Stage) -> Iterator[Finding]:
    training, group, prompts = stage.training, stage.training.num_generations, len(stage.rows)
    needed = stage.sequences_per_generation // max(group, 1)
    if prompts >= needed:
        return
    at_once = training.per_device_train_batch_size * stage.processes
    whole = math.lcm(at_once, group)
    fits = prompts * group // whole * whole
    by_total = training.generation_batch_size and not training.steps_per_generation  # both are set after TRL's parsing
    line = f"generation_batch_size: {fits}" if by_total else f"{_steps_field(stage)}: {fits // at_once}"
    if not fits:
        line = "take more problems, or a smaller per_device_train_batch_size"
    why = "TRL leaves out an incomplete batch of prompts: with no other it ends after 0 steps, in silence"
    yield error(f"there are {prompts} prompts and one generation takes {needed}", why, line)


@check(RL, at_start=RL)
def _vllm(stage: Stage) -> Iterator[Finding]:
    if not stage.training.use_vllm:
        return
    training, safe = stage.training, "use_vllm: false"
    merges = stage.model.load_in_4bit and not (stage.model.use_peft and getattr(training, "vllm_adapter", False))
    if not stage.elsewhere and importlib.util.find_spec("vllm") is None:
        yield error("use_vllm is on and vLLM is not installed", "install it: pip install 'trl-rlsp[vllm]'", safe)
    if stage.model.load_in_8bit:
        yield error("vLLM with an 8-bit base", "vLLM does not quantize to 8 bit while it loads; TRL raises", safe)
    elif merges:
        why = "they cannot take TRL's merged weights (huggingface/trl#4973, #3466); vllm_adapter: true sends LoRA alone"
        yield error(f"vLLM in {training.vllm_mode} mode with a 4-bit base", why, safe)
    corrects, mode = training.vllm_importance_sampling_correction, training.vllm_importance_sampling_mode
    if corrects and mode == "sequence_mask":
        what = "vllm_importance_sampling_mode is sequence_mask (TRL's default)"
        why = "its bound is on the product over all tokens, so long completions are left out of the loss first"
        yield warning(what, why, "vllm_importance_sampling_mode: token_truncate")


@check(RL, at_start=RL)
def _dropout(stage: Stage) -> Iterator[Finding]:
    if stage.model.use_peft and not stage.is_adapter and stage.model.lora_dropout > 0:
        what = f"lora_dropout is {stage.model.lora_dropout:g} (TRL's default is 0.05)"
        why = "TRL samples and scores in training mode: another model answers each time, and the first KL is not 0"
        yield warning(what, why, "lora_dropout: 0.0")


@check(RL)
def _exploration(stage: Stage) -> Iterator[Finding]:
    from trl_rlsp.rewards import check_balance

    for found in check_balance(stage.rewards, stage.training):
        what, _, why = found.message.partition(":")
        yield Finding("", found.severity, what.strip(), why.strip(), found.advice)


@check(RL, at_start=RL)
def _judge(stage: Stage) -> Iterator[Finding]:
    from trl_rlsp.rewards import JudgeExploration

    for judge in [reward for reward in stage.rewards.exploration if isinstance(reward, JudgeExploration)]:
        if stage.elsewhere:
            yield unchecked(f"whether the judge {judge.client.model!r} answers", ELSEWHERE)
            continue
        try:
            judge.check()
        except ServerError as failure:
            why = f"every grade would be None, and the run would train on the outcome alone: {failure}"
            yield error(f"the judge {judge.client.model!r} gives no grades", why, "judge_base_url: http://HOST:PORT/v1")
