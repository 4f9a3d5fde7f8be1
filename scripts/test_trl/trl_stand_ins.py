"""Tiny stand-ins for the models and data sets that TRL's tests load from the hub, made without a network.

Models get the architecture that their name says, two layers and random weights, and a tokenizer trained on the tests'
own text. Data sets come from the scripts of the TRL tree that made the real ones.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

OWNER = "trl-internal-testing"
TEMPLATES = {
    "Qwen2For": "qwen2_5",
    "Qwen3For": "qwen3",
    "Qwen3Moe": "qwen3",
    "LlamaForCausalLM-3.1": "llama3_1",
    "LlamaForCausalLM-3.2": "llama3_2",
    "Llama": "llama3",
    "Gemma": "gemma",
    "GptOss": "gptoss",
    "Glm4Moe": "glm4moe",
    "Cohere2": "cohere2",
    "Cohere": "cohere",
    "DeepseekV3": "deepseekv3",
    "Phi3": "phi3",
    "Lfm2ForCausalLM-2.5": "lfm2_2_5",
    "Lfm2": "lfm2",
    "NemotronH": "nemotron_3_nano",
}
"""Start of a model's name -> file in TRL's `chat_templates`, others take Qwen2.5's."""
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MARKS = ["<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"]
SIZES = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 4,
    "max_position_embeddings": 4096,
    "num_experts": 4,
    "num_local_experts": 4,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 1,
    "q_lora_rank": 8,
    "kv_lora_rank": 8,
    "qk_nope_head_dim": 4,
    "qk_rope_head_dim": 4,
    "v_head_dim": 4,
    "rope_scaling": None,
}


def make_all(tree: Path, files: list[Path], folder: Path) -> dict[str, str]:
    """Make what the test files name, in `folder`; what could not be made -> why."""
    failed = {}
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    for name in sorted(set(re.findall(rf"{OWNER}/(tiny-[\w.-]*\w)", text))):
        _attempt(name, failed, lambda name=name: make_model(name, text, folder / "hub"))
    for name in sorted(set(re.findall(rf"load_dataset\(\s*\"{OWNER}/([\w-]+)\"", text))):
        _attempt(name, failed, lambda name=name: make_dataset(tree, name, folder / "datasets"))
    return failed


def _attempt(name: str, failed: dict[str, str], make: Callable[[], None]) -> None:
    try:
        make()
    except Exception as error:  # whatever a library says to a model that is too small
        failed[name] = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"


def make_model(name: str, text: str, hub: Path) -> None:
    """Save model and tokenizer as the hub's cache would hold them."""
    import torch
    import transformers

    tokenizer = tokenizer_for(name, text)
    kind = getattr(transformers, name.removeprefix("tiny-").split("-")[0])
    defaults = kind.config_class()
    if hasattr(defaults, "vision_config"):
        raise NotImplementedError("vision-language models have no stand-in")
    ids = {"bos_token_id": None, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    known = {key: value for key, value in SIZES.items() if hasattr(defaults, key)}
    torch.manual_seed(0)
    if "Classification" in name:
        known["num_labels"] = 1
    model = kind(kind.config_class(vocab_size=len(tokenizer), **known, **ids)).to(torch.bfloat16)
    repository = hub / f"models--{OWNER}--{name}"
    snapshot = repository / "snapshots" / ("0" * 40)
    model.save_pretrained(snapshot)
    tokenizer.save_pretrained(snapshot)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)


def tokenizer_for(name: str, text: str) -> Any:
    """A byte-level tokenizer of at most 2,000 tokens with the chat template of the model's family."""
    import trl
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=2000,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(text.splitlines(), trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=SPECIAL[0], eos_token=SPECIAL[2], pad_token=SPECIAL[0]
    )
    fast.add_special_tokens({"additional_special_tokens": SPECIAL[1:2]})
    fast.add_tokens(MARKS)
    family = next((file for start, file in TEMPLATES.items() if name[len("tiny-") :].startswith(start)), "qwen2_5")
    template = Path(trl.__file__).parent / "chat_templates" / f"{family}.jinja"
    fast.chat_template = template.read_text(encoding="utf-8") if template.exists() else None
    return fast


def make_dataset(tree: Path, name: str, folder: Path) -> None:
    """Run the tree's own script for a data set, with what it would push saved to `folder` instead."""
    from datasets import Dataset, DatasetDict

    script = tree / "scripts" / f"generate_{name.replace('-', '_')}_dataset.py"
    if not script.exists():
        raise FileNotFoundError(f"the tree has no {script.name}")
    spec = importlib.util.spec_from_file_location(script.stem, script)
    module = importlib.util.module_from_spec(spec)
    sys.modules[script.stem] = module
    spec.loader.exec_module(module)

    def save(data: Any, repo_id: str, config_name: str = "default", **_: Any) -> None:
        data.save_to_disk(str(folder / name / config_name))

    before = DatasetDict.push_to_hub, Dataset.push_to_hub
    DatasetDict.push_to_hub = Dataset.push_to_hub = save
    try:
        module.main(0.1, True, f"{OWNER}/{name}")
    finally:
        DatasetDict.push_to_hub, Dataset.push_to_hub = before


def load_dataset(
    folder: Path, path: str, name: str = "default", split: str | None = None, streaming: bool = False
) -> Any:
    """What `datasets.load_dataset` would return, from what `make_dataset` saved."""
    from datasets import load_from_disk

    saved = folder / path.split("/")[-1] / name
    if not saved.exists():
        raise ConnectionError(f"no stand-in for the data set {path} ({name})")
    data = load_from_disk(str(saved))
    if split is not None:
        part, stop = re.fullmatch(r"(\w+)(?:\[:(\d+)\])?", split).groups()
        data = data[part].select(range(int(stop))) if stop else data[part]
    if not streaming:
        return data
    if split is not None:
        return data.to_iterable_dataset()
    from datasets import IterableDatasetDict

    return IterableDatasetDict({part: rows.to_iterable_dataset() for part, rows in data.items()})
