"""A GRPO run that takes a second: the taught model, few tokens; fixtures use it, and scripts on several ranks."""

from __future__ import annotations

from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer

from trl_rlsp import RLSPGRPOConfig, RLSPGRPOTrainer

ON_CPU = {
    "bf16": False,
    "use_cpu": True,
    "gradient_checkpointing": False,
    "report_to": "none",
    "save_strategy": "no",
    "logging_steps": 1,
}
SMALL = {"per_device_train_batch_size": 8, "num_generations": 4, "max_completion_length": 16, "max_steps": 2}


def tiny_grpo(folder, model_folder, rewards, columns, *, kind=RLSPGRPOTrainer, model=None, given=None, **settings):
    """The trainer of a run into `folder`, on a data set of `columns`; `given` are further arguments of the trainer."""
    return kind(
        AutoModelForCausalLM.from_pretrained(model_folder, dtype="float32") if model is None else model,
        rewards,
        RLSPGRPOConfig(str(folder), **{**ON_CPU, **SMALL, **settings}),
        Dataset.from_dict(columns),
        processing_class=AutoTokenizer.from_pretrained(model_folder, padding_side="left"),
        **(given or {}),
    )
