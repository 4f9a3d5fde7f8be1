"""A LoRA adapter into its base, so that the model runs anywhere; verified before anyone relies on it.

The base is loaded unquantised, whatever it was trained under, and merged in float32: merging into 4-bit weights would
quantise them again. What was written is read back, and its logits are compared with those of base and adapter.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trl_rlsp.errors import ConfigError, SourceError
from trl_rlsp.files import write_json

if TYPE_CHECKING:
    import torch
    from peft import PeftConfig, PeftModel
    from transformers import PreTrainedTokenizerBase

REPORT_FILE = "merge.json"
PROMPTS = (
    "What is 17 * 24? Think step by step.",
    "Find all integers n such that n^2 + n + 1 divides 42, and check each of them.",
    "The sum of two numbers is 10 and their product is 21. Which numbers are they?",
)
TOLERANCES = {"float32": 1e-4, "float16": 1e-2, "bfloat16": 5e-2}
"""Type of the saved weights -> largest difference of a logit that is allowed, relative to the largest logit."""


@dataclass(frozen=True)
class Merge:
    """What a merge did to the logits, relative to the largest absolute logit of the model with its adapter.

    Attributes:
        base: the model that was adapted.
        dtype: type of the saved weights.
        layers: adapted layers.
        effect: largest difference that the adapter makes.
        difference: largest difference that the merge makes.
        tolerance: what was allowed.
    """

    base: str
    dtype: str
    layers: int
    effect: float
    difference: float
    tolerance: float


def merge_adapter(
    adapter: str | Path,
    output_dir: str | Path,
    *,
    base: str | None = None,
    dtype: str | None = None,
    prompts: Sequence[str] = PROMPTS,
) -> Merge:
    """Merge a LoRA adapter into its base and save model and tokenizer.

    Args:
        adapter: folder or hub id.
        output_dir: folder to write; it must be empty or not exist, and is removed again if the check fails.
        base: the unquantised base; default the one that the adapter names.
        dtype: type of the saved weights: "float32", "bfloat16" or "float16"; default the base's own.
        prompts: texts on which the logits are compared, at every position.

    Returns:
        What the merge did, also written to `merge.json`.

    Raises:
        SourceError: no adapter or no base at that place.
        ConfigError: a merge that changes nothing, a base that is stored quantised, an adapter that is no LoRA, a folder
            that is not empty, or a merged model that differs from the adapter by more than the tolerance or by as much
            as the adapter itself changes.
    """
    output = Path(output_dir)
    if output.exists() and any(output.iterdir()):
        raise ConfigError(f"the merged model needs an empty folder, and {str(output)!r} holds files: name another")
    settings = lora_settings(str(adapter))
    name = base or str(settings.base_model_name_or_path)
    dtype = saved_type(name, dtype)
    tokenizer = tokenizer_for(str(adapter), name)
    model = load_adapted(name, str(adapter))
    refuse_empty(model, str(adapter))
    with_adapter = logits(model, tokenizer, prompts)
    with model.disable_adapter():
        without = logits(model, tokenizer, prompts)
    layers = len({key.split(".lora_")[0] for key, _ in model.named_parameters() if ".lora_" in key})
    write_merged(model, tokenizer, output, dtype)
    del model
    merged = logits(load_plain(str(output)), tokenizer, prompts)
    found = Merge(
        name,
        dtype,
        layers,
        effect=largest_difference(without, with_adapter),
        difference=largest_difference(merged, with_adapter),
        tolerance=TOLERANCES[dtype],
    )
    refuse_different(found, output)
    write_json(output / REPORT_FILE, asdict(found))
    return found


def lora_settings(adapter: str) -> PeftConfig:
    """The configuration of a LoRA adapter.

    Raises:
        SourceError: there is none at that place.
        ConfigError: it is of another kind.
    """
    from peft import PeftConfig

    try:
        settings = PeftConfig.from_pretrained(adapter)
    except (OSError, ValueError) as error:
        raise SourceError(
            f"no adapter at {adapter!r}: a folder or hub id with adapter_config.json ({error})"
        ) from error
    kind = str(getattr(settings.peft_type, "value", settings.peft_type))
    if kind != "LORA":
        raise ConfigError(f"an adapter must be LoRA to be merged, {adapter!r} is {kind}")
    return settings


def saved_type(base: str, dtype: str | None) -> str:
    """The type of the saved weights.

    Raises:
        SourceError: there is no base at that place.
        ConfigError: an unknown type, or a base that is stored quantised.
    """
    from transformers import AutoConfig

    if dtype is not None and dtype not in TOLERANCES:
        raise ConfigError(f"dtype is one of {', '.join(TOLERANCES)}, got {dtype!r}")
    try:
        config = AutoConfig.from_pretrained(base)
    except (OSError, ValueError) as error:
        raise SourceError(f"no base model at {base!r}: name its unquantised weights with --base ({error})") from error
    if getattr(config, "quantization_config", None):
        raise ConfigError(
            f"the base must be stored unquantised, {base!r} is quantised: an adapter merged into it is rounded to "
            "few bits. Name the unquantised model with --base"
        )
    own = str(getattr(config, "dtype", None) or "float32").removeprefix("torch.")
    return dtype or (own if own in TOLERANCES else "float32")


def tokenizer_for(adapter: str, base: str) -> PreTrainedTokenizerBase:
    """The tokenizer that was saved with the adapter, else the base's.

    Raises:
        SourceError: neither has one.
    """
    from transformers import AutoTokenizer

    if Path(adapter, "tokenizer_config.json").is_file():
        return AutoTokenizer.from_pretrained(adapter)
    try:
        return AutoTokenizer.from_pretrained(base)
    except (OSError, ValueError) as error:
        raise SourceError(f"neither {adapter!r} nor {base!r} has a tokenizer ({error})") from error


def load_plain(path: str) -> Any:
    """A model in float32, on the GPU if there is one."""
    import torch
    from transformers import AutoModelForCausalLM

    device = "auto" if torch.cuda.is_available() else None
    return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, device_map=device).eval()


def load_adapted(base: str, adapter: str) -> PeftModel:
    """The base in float32, with the adapter over it.

    Raises:
        SourceError: the base or the adapter's weights are not there.
        ConfigError: the adapter is not of this base.
    """
    from peft import PeftModel

    try:
        return PeftModel.from_pretrained(load_plain(base), adapter).eval()
    except (OSError, ValueError) as error:
        raise SourceError(f"the weights of {base!r} or {adapter!r} are not there ({error})") from error
    except (RuntimeError, KeyError) as error:
        raise ConfigError(f"the adapter {adapter!r} does not fit the base {base!r}: {error}") from error


def refuse_empty(model: PeftModel, adapter: str) -> None:
    """Refuse an adapter that changes nothing.

    Raises:
        ConfigError: every B of LoRA is zero, as before the first step, and no other weights were saved.
    """
    trained = [p for name, p in model.named_parameters() if ".lora_B." in name or ".lora_embedding_B." in name]
    others = any(".modules_to_save." in name for name, _ in model.named_parameters())
    if not others and not any(parameter.any() for parameter in trained):
        raise ConfigError(
            f"a merge must change something: every B of the adapter {adapter!r} is zero, as before the first step of "
            "training. Is it the adapter of the trained model?"
        )


def logits(model: Any, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str]) -> list[torch.Tensor]:
    """Logits of each prompt at each position: tensors of (tokens, vocabulary), on the CPU."""
    import torch

    found = []
    with torch.no_grad():
        for prompt in prompts:
            ids = torch.tensor([tokenizer(prompt)["input_ids"]], device=model.device)
            found.append(model(input_ids=ids).logits[0].float().cpu())
    return found


def largest_difference(first: Sequence[torch.Tensor], second: Sequence[torch.Tensor]) -> float:
    """Largest absolute difference, relative to the largest absolute value of `second`; infinite for NaN."""
    import torch

    scale = max(float(tensor.abs().max()) for tensor in second)
    differences = [float((one - two).abs().max()) for one, two in zip(first, second, strict=True)]
    largest = max(differences) / scale if scale else float("inf")
    return largest if all(torch.isfinite(tensor).all() for tensor in (*first, *second)) else float("inf")


def write_merged(model: PeftModel, tokenizer: PreTrainedTokenizerBase, output: Path, dtype: str) -> None:
    """Merge in float32 and save in `dtype`.

    Raises:
        ConfigError: the merge gives weights that are not finite.
    """
    import torch

    try:
        merged: Any = model.merge_and_unload(safe_merge=True)
    except ValueError as error:
        raise ConfigError(f"the adapter cannot be merged: {error}") from error
    merged.to(getattr(torch, dtype)).save_pretrained(output)
    tokenizer.save_pretrained(output)


def refuse_different(found: Merge, output: Path) -> None:
    """Remove a merged model that is not the adapter's.

    Raises:
        ConfigError: the difference is above the tolerance, or not below what the adapter changes.
    """
    if found.difference <= found.tolerance and found.difference < found.effect:
        return
    shutil.rmtree(output)
    if found.difference <= found.tolerance:
        raise ConfigError(
            f"rounding to {found.dtype} changes logits by {found.difference:.2g}, as much as the adapter itself "
            f"({found.effect:.2g}): it would be lost. Use --dtype float32, or keep the adapter"
        )
    raise ConfigError(
        f"logits of the merged model differ from the adapter's by {found.difference:.2g} of the largest logit, and "
        f"{found.tolerance:g} is allowed for {found.dtype}: nothing was kept. Try --dtype float32"
    )
