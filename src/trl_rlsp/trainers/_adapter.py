"""LoRA adapters: continuing to train one, and merging one into its base.

TRL stores the adapter of a quantized model in bfloat16, which loses updates below about 0.4 % of a weight; RL at a
learning rate of 1e-6 seldom exceeds that. Here the adapter stays in float32, also in resumed runs and in the frozen
reference of the KL. A merge loads the base unquantized and in float32, since merging into 4-bit weights would quantize
them again. The saved model is then loaded, and its logits are compared with those of base and adapter.
"""

from __future__ import annotations

import importlib.metadata
import logging
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trl_rlsp.errors import ConfigError, RLSPError, SourceError
from trl_rlsp.files import write_json

if TYPE_CHECKING:
    import torch
    from peft import PeftModel

logger = logging.getLogger(__name__)

NEWEST_TRL = (1, 16)
PROMPTS = (
    "What is 17 * 24? Think step by step.",
    "Find all integers n such that n^2 + n + 1 divides 42, and check each of them.",
    "The sum of two numbers is 10 and their product is 21. Which numbers are they?",
)
# largest allowed difference of a logit, relative to the largest logit, by type of the saved weights
TOLERANCES = {"float32": 1e-4, "float16": 1e-2, "bfloat16": 5e-2}


@contextmanager
def _instead(kind: type[RLSPError], message: str, causes: Any = (OSError, ValueError)) -> Iterator[None]:
    """Replace errors of transformers and peft with one that names the model."""
    try:
        yield
    except causes as error:
        raise kind(f"{message} ({error})") from error


def warn_if_untested() -> None:
    """Warn if TRL is newer than the newest version tested, because the trainers override private methods of TRL."""
    version = importlib.metadata.version("trl")
    if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) > NEWEST_TRL:
        advice = "if something looks wrong, install that version or run `make test-trl`"
        newest = ".".join(map(str, NEWEST_TRL))
        logger.warning("TRL %s is newer than %s, the newest tested with trl_rlsp; %s", version, newest, advice)


def is_adapter(name_or_path: str, revision: str | None = None) -> bool:
    """Whether a folder or a hub repository holds a PEFT adapter instead of a whole model."""
    from transformers.utils import cached_file

    try:
        return cached_file(name_or_path, "adapter_config.json", revision=revision) is not None
    except (OSError, ValueError):  # no such file, folder or repository: loading the model reports it
        return False


def load_trainable(name_or_path: str, revision: str | None = None, **kwargs: Any) -> PeftModel:
    """The base that an adapter names, loaded with `kwargs`, with the trainable adapter; a SourceError for no base."""
    from peft import PeftConfig, PeftModel
    from transformers import AutoModelForCausalLM

    config = PeftConfig.from_pretrained(name_or_path, revision=revision)
    base = str(config.base_model_name_or_path)
    message = f"the base {base!r} of adapter {name_or_path!r} cannot be loaded: correct its adapter_config.json"
    with _instead(SourceError, message, (OSError,)):
        model = AutoModelForCausalLM.from_pretrained(base, revision=config.revision or "main", **kwargs)
    return PeftModel.from_pretrained(model, name_or_path, revision=revision, is_trainable=True)


def trainable_weights(model: Any) -> dict[str, torch.Tensor]:
    """The trainable weights of a model by name, not copied; empty for a model given by its name."""
    if not hasattr(model, "named_parameters"):
        return {}
    return {name: parameter.data for name, parameter in model.named_parameters() if parameter.requires_grad}


@contextmanager
def types_kept(model: Any) -> Iterator[None]:
    """Restore on exit the weights, and buffers such as the frequencies of rotary embeddings, that were cast inside."""
    weights = [(parameter, parameter.data) for parameter in model.parameters() if parameter.is_floating_point()]
    buffers = [(module, dict(module._buffers)) for module in model.modules()]
    try:
        yield
    finally:
        for parameter, data in weights:
            parameter.data = data
        for module, before in buffers:
            module._buffers.update(before)


def is_quantized(model: Any) -> bool:
    """Whether the weights of a model, or of an adapter's base, are packed into 4 or 8 bits."""
    return getattr(model, "is_loaded_in_4bit", False) or getattr(model, "is_loaded_in_8bit", False)


def keep_full_precision(model: Any, before: Mapping[str, torch.Tensor] | None = None) -> int:
    """Cast the trainable half-precision weights of a quantized model to float32, and return the number of tensors;
    those in `before`, its `trainable_weights` from before a trainer rounded them, are restored exactly."""
    import torch

    if not is_quantized(model):
        return 0
    turned = 0
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and parameter.dtype in (torch.bfloat16, torch.float16):
            parameter.data = (before or {}).get(name, parameter.data).float()
            turned += 1
    return turned


@dataclass(frozen=True)
class Merge:
    """The effect of a merge on the logits, relative to the largest logit of the model with its adapter."""

    base: str
    dtype: str  # of the saved weights
    layers: int
    effect: float  # largest difference between the base with and without the adapter
    difference: float  # largest difference between the merged model and the base with the adapter
    tolerance: float  # largest difference allowed for `dtype`


def merge_adapter(
    adapter: str | Path, output_dir: str | Path, *, base: str | None = None, dtype: str | None = None
) -> Merge:
    """Merge a LoRA adapter into its base and save the model, the tokenizer and, in `merge.json`, the returned `Merge`.

    Args:
        adapter: folder or hub id.
        output_dir: folder to write, empty or new; it is deleted if the check fails.
        base: the unquantized base; default: the one that the adapter names.
        dtype: type of the saved weights: "float32", "bfloat16" or "float16"; default: the type of the base.

    Raises:
        SourceError: the adapter or the base does not exist.
        ConfigError: the adapter cannot be merged, or the merged logits differ from the adapter's by more than
            `TOLERANCES` allows or by as much as the adapter itself changes them.
    """
    import torch
    from peft import PeftModel
    from transformers import AutoTokenizer

    output, adapter = Path(output_dir), str(adapter)
    if output.exists() and any(output.iterdir()):
        raise ConfigError(f"the merged model needs an empty folder, and {str(output)!r} holds files: name another")
    base, dtype = _base_and_type(adapter, base, dtype)
    with _instead(SourceError, f"neither {adapter!r} nor {base!r} has a tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(adapter if Path(adapter, "tokenizer_config.json").is_file() else base)
    no_fit = _instead(ConfigError, f"the adapter {adapter!r} does not fit the base {base!r}", (RuntimeError, KeyError))
    with no_fit, _instead(SourceError, f"the weights of {base!r} or {adapter!r} cannot be found"):
        model = PeftModel.from_pretrained(_load(base), adapter).eval()
    adapted = _logits(model, tokenizer)
    with model.disable_adapter():
        effect = largest_difference(_logits(model, tokenizer), adapted)
    if not effect:
        raise ConfigError(f"a merge must change something, and {adapter!r} changes no logit: was it trained at all?")
    layers = len({name.split(".lora_")[0] for name, _ in model.named_parameters() if ".lora_" in name})
    with _instead(ConfigError, "the adapter cannot be merged", (ValueError,)):  # weights that are not finite
        whole: Any = model.merge_and_unload(safe_merge=True)
    whole.to(getattr(torch, dtype)).save_pretrained(output)
    tokenizer.save_pretrained(output)
    del model, whole
    merged = _logits(_load(str(output)), tokenizer)
    found = Merge(base, dtype, layers, effect, largest_difference(merged, adapted), TOLERANCES[dtype])
    if found.difference > found.tolerance or found.difference >= effect:
        shutil.rmtree(output)
        raise ConfigError(
            f"saving as {dtype} changes logits by {found.difference:.2g} of the largest, {found.tolerance:g} is "
            f"allowed and the adapter itself changes them by {effect:.2g}: nothing was kept. Use --dtype float32"
        )
    write_json(output / "merge.json", asdict(found))
    return found


def _base_and_type(adapter: str, base: str | None, dtype: str | None) -> tuple[str, str]:
    """The base to merge into, and the type of the saved weights."""
    from peft import PeftConfig
    from transformers import AutoConfig

    if dtype is not None and dtype not in TOLERANCES:
        raise ConfigError(f"dtype is one of {', '.join(TOLERANCES)}, got {dtype!r}")
    with _instead(SourceError, f"no adapter at {adapter!r}: a folder or hub id with adapter_config.json"):
        settings = PeftConfig.from_pretrained(adapter)
    kind = str(getattr(settings.peft_type, "value", settings.peft_type))
    if kind != "LORA":
        raise ConfigError(f"an adapter must be LoRA to be merged, {adapter!r} is {kind}")
    base = base or str(settings.base_model_name_or_path)
    with _instead(SourceError, f"no base model at {base!r}: name its unquantized weights with --base"):
        config = AutoConfig.from_pretrained(base)
    if getattr(config, "quantization_config", None):
        rule = f"a merge into quantized weights is rounded to few bits, and {base!r} is quantized"
        raise ConfigError(f"{rule}: name the unquantized model with --base")
    own = str(getattr(config, "dtype", None) or "float32").removeprefix("torch.")
    return base, dtype or (own if own in TOLERANCES else "float32")


def _load(path: str) -> Any:
    """A model in float32, on the GPU if there is one."""
    import torch
    from transformers import AutoModelForCausalLM

    device = "auto" if torch.cuda.is_available() else None
    return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, device_map=device).eval()


def _logits(model: Any, tokenizer: Any) -> list[torch.Tensor]:
    """Logits of `PROMPTS` at each position: tensors of (tokens, vocabulary), on the CPU."""
    import torch

    with torch.no_grad():
        ids = [torch.tensor([tokenizer(prompt)["input_ids"]], device=model.device) for prompt in PROMPTS]
        return [model(input_ids=one).logits[0].float().cpu() for one in ids]


def largest_difference(first: Sequence[torch.Tensor], second: Sequence[torch.Tensor]) -> float:
    """Largest absolute difference, relative to the largest absolute value of `second`; infinite for NaN."""
    scale = max(float(tensor.abs().max()) for tensor in second)
    largest = max(float((one - two).abs().max()) for one, two in zip(first, second, strict=True))
    finite = all(bool(tensor.isfinite().all()) for tensor in (*first, *second))
    return largest / scale if scale and finite else float("inf")
