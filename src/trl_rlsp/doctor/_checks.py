"""The checks, in the order in which they run; each yields its findings."""

from __future__ import annotations

import importlib.util
import logging
import math
import os
import re
import shutil
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from trl_rlsp import generation
from trl_rlsp.errors import ConfigError, RLSPError, ServerError, SourceError
from trl_rlsp.stages import Kind, Stage, parse_grpo, parse_sft
from trl_rlsp.verification import require_sandbox

if TYPE_CHECKING:
    from trl import ModelConfig

logger = logging.getLogger(__name__)

Severity = Literal["error", "warning", "not checked"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
ALSO_REFUSED = ("groups", "bf16", "exploration")  # also refused by the stage's own command, with less explanation
ELSEWHERE = "the stage runs on another machine"
COUNTED = 64  # number of prompts that are tokenized, those with the most characters
MARK = "seventeen"  # a word in the reasoning with which the chat template is tested


@dataclass(frozen=True)
class Finding:
    """A problem in a stage's settings to look at before paying for a GPU.

    With an "error" the stage fails or trains nothing; a "warning" works at a cost; "not checked" could not be decided.
    """

    check: str
    severity: Severity
    what: str  # the problem, in one sentence
    why: str  # the consequence or, for "not checked", the obstacle
    change: str = ""  # the YAML line, or advice if no line fixes it


# make findings from (what, why, change); `examine` fills in the name of the check
error, warning, unchecked = (partial(Finding, "", severity) for severity in SEVERITIES)

Check = Callable[[Stage], Iterator[Finding]]
RL: tuple[Kind, ...] = ("grpo",)
BOTH: tuple[Kind, ...] = ("sft", "grpo")


def examine(stage: Stage, checks: Collection[str] | None = None) -> list[Finding]:
    """Run the named checks on a stage, by default all for its kind; the most severe findings come first.

    A check that cannot be made is reported as a finding.
    """
    if checks is None:
        checks = [name for name, (_, kinds, _) in CHECKS.items() if stage.kind in kinds]
    found = []
    for name in checks:
        try:
            found += [replace(finding, check=name) for finding in CHECKS[name][0](stage)]
        except RLSPError as failure:  # unreachable, or invalid settings or data, which have their own check
            found.append(Finding(name, "not checked", name.replace("_", " "), str(failure)))
    if any(finding.severity == "error" and finding.check in ALSO_REFUSED for finding in found):
        found = [finding for finding in found if finding.check != "settings"]
    return sorted(dict.fromkeys(found), key=lambda finding: SEVERITIES.index(finding.severity))


def stop_on_errors(
    kind: Kind, data: Any, training: Any, model: ModelConfig, *, rows: Any, tokenizer: Any, rewards: Any = None
) -> None:
    """The checks at the start of `rlsp sft` and `rlsp grpo`: warnings are logged once, errors raise a ConfigError."""
    stage = Stage(kind, data, training, model, processes=training.world_size)
    stage.rows, stage.tokenizer, stage.rewards = rows, tokenizer, rewards
    first = training.process_index == 0
    starts = [name for name, (_, _, kinds) in CHECKS.items() if kind in kinds and (first or name != "judge")]
    found = examine(stage, starts)
    for finding in found if first else ():
        if finding.severity == "warning":
            logger.warning("%s: %s (%s)", finding.what, finding.why, finding.change)
    errors = [f"{one.what}: {one.why} -> {one.change}" for one in found if one.severity == "error"]
    if errors:
        raise ConfigError(f"{'; '.join(errors)} (see `rlsp doctor`)")


def _settings(stage: Stage) -> Iterator[Finding]:
    try:
        if stage.elsewhere or not stage.arguments:  # TRL's own validation depends on the hardware
            stage.data.required()
            if stage.kind == "grpo":
                stage.rewards.close()
        elif stage.kind == "sft":
            parse_sft(list(stage.arguments))
        else:
            parse_grpo(list(stage.arguments))[1].close()
    except RLSPError as failure:
        yield error(f"`rlsp {stage.kind}` refuses the settings", str(failure), "as the message says")


def _data(stage: Stage) -> Iterator[Finding]:
    from trl_rlsp.problems import FILE_EXTENSIONS, find_preset

    source, line = str(stage.data.dataset), "dataset: SOURCE"
    try:
        require_sandbox(stage.rows.column_names)
    except RLSPError as failure:
        local = Path(source).exists() or source.startswith("reasoning_gym:") or source.endswith(FILE_EXTENSIONS)
        remote = not local and (find_preset(source) is not None or source.count("/") == 1)
        if isinstance(failure, SourceError) and remote:  # the hub may be unreachable from here
            yield unchecked(f"the data set {source!r}", str(failure))
            return
        if "column" in str(failure) and not isinstance(failure, ConfigError):
            line = "dataset_columns: {problem: COLUMN, answer: COLUMN}"
        yield error("the data set cannot be used", str(failure), line)


def _four_bit(stage: Stage) -> Iterator[Finding]:
    model = stage.model
    if not (model.load_in_4bit or model.load_in_8bit):
        return
    if stage.adapter_config is None:
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


def _bf16(stage: Stage) -> Iterator[Finding]:
    from transformers.utils import is_torch_bf16_gpu_available

    training = stage.training
    if not training.bf16 and stage.model.dtype != "bfloat16":
        return
    if stage.elsewhere:
        yield unchecked("whether the hardware supports bf16", ELSEWHERE)
    elif training.use_cpu and not cpu_has_bf16():
        why = "every product is emulated, about 80 times slower than float32"
        line = "bf16: false" if training.bf16 else "dtype: float32"
        yield warning("training in bf16 on a CPU without native bf16", why, line)
    elif training.bf16 and not training.use_cpu and not is_torch_bf16_gpu_available():
        what = "bf16 is on (TRL's default), and this machine has no GPU with bf16"
        yield error(what, "the trainer refuses to start; older GPUs (before Ampere) train in fp16", "bf16: false")


def cpu_has_bf16() -> bool:
    """Whether this CPU multiplies bf16 matrices natively according to Linux; True on other systems."""
    told = Path("/proc/cpuinfo")
    return not told.is_file() or re.search(r"\b(avx512_|amx_)?bf16\b", told.read_text(errors="replace")) is not None


def _pad_token(stage: Stage) -> Iterator[Finding]:
    tokenizer = stage.tokenizer
    if tokenizer.pad_token is not None or getattr(stage.training, "pad_token", None):
        return
    if tokenizer.eos_token is None:
        line = 'set "pad_token" and "eos_token" in the model\'s tokenizer_config.json'
        yield error("the tokenizer has neither a pad nor an end token", "no completion can be padded or end", line)
        return
    special = sorted(token for token in tokenizer.get_vocab() if re.fullmatch("<.+>", token))
    fitting = [token for word in ("pad", "unk", "reserved") for token in special if word in token.lower()]
    where = "" if stage.kind == "sft" else "in the model's tokenizer_config.json, "
    line = f'{where}pad_token: "{next(iter(fitting), "<pad>")}"'
    why = f"TRL pads with the end token {tokenizer.eos_token!r}: masking padding by its id masks the real end, too"
    yield warning("the tokenizer has no pad token", why, line)


def _chat_template(stage: Stage) -> Iterator[Finding]:
    from trl_rlsp.problems import DEFAULT_TEMPLATE

    sft = stage.kind == "sft"
    if sft and getattr(stage.data, "demonstration_style", "messages") == "plain":
        return
    if stage.tokenizer.chat_template is None:
        line = "demonstration_style: plain" if sft else "use an instruct model, or save a template with the model"
        yield error("the tokenizer has no chat template", "problems are messages, which need a template", line)
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


def _context(stage: Stage) -> Iterator[Finding]:
    context, sft = getattr(stage.config.get_text_config(), "max_position_embeddings", None), stage.kind == "sft"
    field = "max_length" if sft else "max_completion_length"
    longest = getattr(stage.training, field)
    if context is None:
        yield unchecked("the model's context", "its configuration gives no length")
        return
    prompt = 0 if sft or longest is None else _longest_prompt(stage)
    if longest is None or prompt + longest <= context:
        return
    before = "" if sft else f"with the longest prompt of {prompt} tokens, "
    what = f"{before}{field} {longest} exceeds the model's context of {context} tokens"
    why = "the model was not trained on later positions; vLLM refuses them"
    if prompt >= context:
        yield error(what, why, "leave out the longest prompts")
    elif longest >= context and not sft:
        yield error(what, why, f"{field}: {context // 2}")
    else:
        yield warning(what, why, f"{field}: {context - prompt}")


def _longest_prompt(stage: Stage) -> int:
    """Tokens of the longest prompt, among the `COUNTED` prompts with the most characters."""
    if stage.tokenizer.chat_template is None:
        raise ConfigError("the length of the longest prompt is unknown: the tokenizer has no chat template")
    prompts = sorted(stage.rows["prompt"], key=lambda messages: sum(len(m["content"]) for m in messages))[-COUNTED:]
    rendered = stage.tokenizer.apply_chat_template(prompts, add_generation_prompt=True, tokenize=False)
    return max(len(ids) for ids in stage.tokenizer(rendered, add_special_tokens=False)["input_ids"])


def _disk(stage: Stage) -> Iterator[Finding]:
    from trl_rlsp.planning import Architecture, Settings, checkpoint_bytes

    if stage.elsewhere:
        yield unchecked("whether the checkpoints fit", ELSEWHERE)
        return
    count, one = kept_checkpoints(stage), checkpoint_bytes(Architecture.of(stage.config), Settings.of(stage))
    needed = count * one + one // 3  # the final model has no optimizer: a third
    output = Path(str(stage.training.output_dir or ".")).absolute()
    folder = next(folder for folder in (output, *output.parents) if folder.is_dir())
    free = shutil.disk_usage(folder).free
    if needed > free:
        size, total, left = (f"{value / 1e9:.3g} GB" for value in (one, needed, free))
        what = f"{count} checkpoints of {size} take {total}, and {folder} has {left} left"
        fewer = f"save_total_limit: {max(1, (free - one // 3) // max(one, 1))}"
        line = fewer if count > 1 else "output_dir: a folder on a larger disk"
        yield error(what, "a run that cannot write a checkpoint stops, and may leave a broken one", line)


def kept_checkpoints(stage: Stage) -> int:
    """Most checkpoints on the disk at once: one more than `save_total_limit` while a new one is written."""
    training = stage.training
    if training.save_strategy == "no":
        return 0
    each = training.save_steps if training.save_steps >= 1 else training.save_steps * training.max_steps
    written = training.num_train_epochs if training.save_strategy == "epoch" else training.max_steps / each
    count = max(1, math.ceil(written))
    return min(count, training.save_total_limit + 1) if training.save_total_limit else count


def _ranks(stage: Stage) -> Iterator[Finding]:
    import torch

    if stage.processes > 1 and stage.adapter_config and stage.training.ddp_find_unused_parameters is None:
        what = "ddp_find_unused_parameters is on for an adapter by default"
        why = "each step searches the whole graph for parameters without a gradient; an adapter has none"
        yield warning(what, why, "ddp_find_unused_parameters: false")
    count = 0 if stage.elsewhere or stage.training.use_cpu else torch.cuda.device_count()
    if stage.processes == 1 and count > 1:
        why = "TRL spreads one model over all of them, with the batch of one GPU: use rlsp run or accelerate launch"
        yield warning(f"one process and {count} visible GPUs", why, "CUDA_VISIBLE_DEVICES=0, for one GPU on purpose")


def _groups(stage: Stage) -> Iterator[Finding]:
    training, group = stage.training, stage.training.num_generations
    if group < 2:
        why = "an advantage is a difference within a group of at least two completions"
        yield error(f"num_generations is {group}", why, "num_generations: 8")
        return
    batch, total, whole = training.per_device_train_batch_size, stage.sequences_per_generation, _whole_groups(stage)
    if total % whole:
        at_once = f"{batch} at once on each of {stage.processes} ranks"
        what = f"{at_once} are {total} completions per generation, not a multiple of {whole}"
        why = "a generation consists of whole groups of num_generations on equal ranks; TRL refuses anything else"
        yield error(what, why, _generation_line(stage, whole * math.ceil(total / whole)))


def _whole_groups(stage: Stage) -> int:
    """The fewest completions per generation that make whole groups and whole batches on every rank."""
    training = stage.training
    return math.lcm(training.per_device_train_batch_size * stage.processes, max(1, training.num_generations))


def _generation_line(stage: Stage, completions: int) -> str:
    """The YAML line that gives a generation `completions` completions."""
    training = stage.training
    if training.generation_batch_size and not training.steps_per_generation:  # both are set after TRL's parsing
        return f"generation_batch_size: {completions}"
    field = "steps_per_generation" if training.steps_per_generation else "gradient_accumulation_steps"
    return f"{field}: {completions // (training.per_device_train_batch_size * stage.processes)}"


def _prompts(stage: Stage) -> Iterator[Finding]:
    group, prompts, whole = max(1, stage.training.num_generations), len(stage.rows), _whole_groups(stage)
    needed = stage.sequences_per_generation // group
    if prompts < needed:
        fits = prompts * group // whole * whole
        line = "use more problems or a smaller per_device_train_batch_size"
        why = "TRL drops an incomplete batch of prompts: without a complete one it silently ends after 0 steps"
        what = f"there are {prompts} prompts and one generation takes {needed}"
        yield error(what, why, _generation_line(stage, fits) if fits else line)


def _vllm(stage: Stage) -> Iterator[Finding]:
    if not stage.training.use_vllm:
        return
    training, safe, alone = stage.training, "use_vllm: false", getattr(stage.training, "vllm_adapter", False)
    if not stage.elsewhere and importlib.util.find_spec("vllm") is None:
        yield error("use_vllm is on and vLLM is not installed", "install it: pip install 'trl-rlsp[vllm]'", safe)
    if stage.model.load_in_8bit:
        yield error("vLLM with an 8-bit base", "vLLM does not quantize to 8 bit while it loads; TRL raises", safe)
    elif stage.model.load_in_4bit and (reason := generation.why_merged(stage.adapter_config, alone=alone)):
        why = f"it cannot take merged weights (huggingface/trl#4973, #3466), which it needs here: {reason}"
        yield error(f"vLLM in {training.vllm_mode} mode with a 4-bit base", why, safe)
    elif stage.model.load_in_4bit and not stage.elsewhere and importlib.util.find_spec("vllm_bnb_plugin") is None:
        yield error("vLLM has no 4-bit weights here", "since 0.28 by a plugin: pip install vllm-bnb-plugin", safe)
    if training.vllm_importance_sampling_correction and training.vllm_importance_sampling_mode == "sequence_mask":
        what = "vllm_importance_sampling_mode is sequence_mask (TRL's default)"
        why = "it bounds the product over all tokens, so long completions are left out of the loss first"
        yield warning(what, why, "vllm_importance_sampling_mode: token_truncate")


def _dropout(stage: Stage) -> Iterator[Finding]:
    if stage.model.use_peft and not stage.is_adapter and stage.model.lora_dropout > 0:
        what = f"lora_dropout is {stage.model.lora_dropout:g} (TRL's default is 0.05)"
        why = "TRL samples and scores in training mode: each pass drops other weights, and the first KL is not 0"
        yield warning(what, why, "lora_dropout: 0.0")


def _exploration(stage: Stage) -> Iterator[Finding]:
    from trl_rlsp.rewards import check_balance

    for found in check_balance(stage.rewards, stage.training):
        what, _, why = found.message.partition(":")
        yield Finding("", found.severity, what.strip(), why.strip(), found.advice)


def _judge(stage: Stage) -> Iterator[Finding]:
    from trl_rlsp.rewards import JudgeExploration

    for judge in [reward for reward in stage.rewards.exploration if isinstance(reward, JudgeExploration)]:
        if stage.elsewhere:
            yield unchecked(f"whether the judge {judge.client.model!r} answers", ELSEWHERE)
            continue
        try:
            judge.check()
        except ServerError as failure:
            why = f"every grade would be None, and the run would train only on the outcome: {failure}"
            yield error(f"the judge {judge.client.model!r} gives no grades", why, "judge_base_url: http://HOST:PORT/v1")


# name -> check, kinds of stage that it applies to, and kinds at whose start it runs again
CHECKS: dict[str, tuple[Check, tuple[Kind, ...], tuple[Kind, ...]]] = {
    "settings": (_settings, BOTH, ()),
    "data": (_data, BOTH, ()),
    "four_bit": (_four_bit, BOTH, BOTH),
    "bf16": (_bf16, BOTH, ()),
    "pad_token": (_pad_token, BOTH, RL),
    "chat_template": (_chat_template, BOTH, RL),
    "context": (_context, BOTH, RL),
    "disk": (_disk, BOTH, BOTH),
    "ranks": (_ranks, BOTH, BOTH),
    "groups": (_groups, RL, ()),
    "prompts": (_prompts, RL, RL),
    "vllm": (_vllm, RL, RL),
    "dropout": (_dropout, RL, RL),
    "exploration": (_exploration, RL, ()),
    "judge": (_judge, RL, RL),
}
