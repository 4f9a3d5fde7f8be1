"""`rlsp sft` and `rlsp grpo`: one stage each, from a flat YAML file.

Data and settings are checked before any model is loaded. A stage that is complete leaves `stage.json` in its
output folder; a stage that was cut off continues from its last checkpoint with `--resume_from_checkpoint auto`.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trl_rlsp.commands.ranks import rank_watch

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase, TrainingArguments
    from trl import ModelConfig

    from trl_rlsp.rewards.suite import RLSPRewards
    from trl_rlsp.stages.arguments import DemonstrationArguments, ProblemArguments
    from trl_rlsp.trainers.grpo import RLSPGRPOConfig
    from trl_rlsp.trainers.sft import RLSPSFTConfig

STAGE_FILE = "stage.json"


def run_sft(arguments: list[str]) -> None:
    """Train on demonstrations.

    Args:
        arguments: command-line arguments, `--config FILE` among them.

    Raises:
        RLSPError: data or settings that cannot work, before a model is loaded.
    """
    from trl_rlsp.trainers.sft import RLSPSFTTrainer

    data, training, model = parse_sft(arguments)
    rows = data.load_rows(training.seed)
    tokenizer = tokenizer_of(model)
    trainer = RLSPSFTTrainer(
        args=training, train_dataset=rows, processing_class=tokenizer, **model_arguments(model, training)
    )
    train(trainer, training)


def run_grpo(arguments: list[str]) -> None:
    """Train by RL with the outcome verifier and the exploration reward.

    Args:
        arguments: command-line arguments, `--config FILE` among them.

    Raises:
        RLSPError: data or settings that cannot work, before a model is loaded.
    """
    from trl_rlsp.doctor import stop_on_errors
    from trl_rlsp.trainers.grpo import RLSPGRPOTrainer
    from trl_rlsp.verification.code.sandbox import require_sandbox

    data, rewards, training, model = parse_grpo(arguments)
    problems = data.load()
    require_sandbox(problems.column_names)
    tokenizer = tokenizer_of(model, padding_side="left")
    stop_on_errors(data, problems, rewards, training, model, tokenizer)
    try:
        trainer = RLSPGRPOTrainer(
            reward_funcs=rewards,
            args=training,
            train_dataset=problems,
            processing_class=tokenizer,
            **model_arguments(model, training),
        )
        train(trainer, training)
    finally:
        rewards.close()


def parse_sft(arguments: list[str]) -> tuple[DemonstrationArguments, RLSPSFTConfig, ModelConfig]:
    """Data, settings and model of an SFT stage.

    Raises:
        ConfigError: a field or a value that cannot work.
    """
    from trl import ModelConfig

    from trl_rlsp.stages.arguments import DemonstrationArguments
    from trl_rlsp.stages.config import parse_stage
    from trl_rlsp.trainers.sft import RLSPSFTConfig

    data, training, model = parse_stage((DemonstrationArguments, RLSPSFTConfig, ModelConfig), arguments, "rlsp sft")
    data.required()
    model_name(model)
    return data, training, model


def parse_grpo(arguments: list[str]) -> tuple[ProblemArguments, RLSPRewards, RLSPGRPOConfig, ModelConfig]:
    """Data, rewards, settings and model of an RL stage.

    Raises:
        ConfigError: a field or a value that cannot work, or settings that lose the balance of the rewards.
    """
    from trl import ModelConfig

    from trl_rlsp.rewards.balance import refuse_imbalance
    from trl_rlsp.stages.arguments import ProblemArguments, RewardArguments
    from trl_rlsp.stages.config import parse_stage
    from trl_rlsp.trainers.grpo import RLSPGRPOConfig

    data, reward, training, model = parse_stage(
        (ProblemArguments, RewardArguments, RLSPGRPOConfig, ModelConfig), arguments, "rlsp grpo"
    )
    rewards = reward.build()
    refuse_imbalance(rewards, training)
    data.required()
    model_name(model)
    return data, rewards, training, model


def model_name(model: ModelConfig) -> str:
    """The model to train.

    Raises:
        ConfigError: none is named.
    """
    from trl_rlsp.errors import ConfigError

    if not model.model_name_or_path:
        raise ConfigError("no model: set `model_name_or_path` in the YAML file or on the command line")
    return str(model.model_name_or_path)


def tokenizer_of(model: ModelConfig, **kwargs: Any) -> PreTrainedTokenizerBase:
    """The model's tokenizer.

    Raises:
        SourceError: there is none at that place.
    """
    from transformers import AutoTokenizer

    from trl_rlsp.errors import SourceError

    name = model_name(model)
    try:
        return AutoTokenizer.from_pretrained(name, revision=model.model_revision, **kwargs)
    except (OSError, ValueError) as error:
        raise SourceError(
            f"no model at {name!r}: neither a folder with a model nor a hub id that can be reached ({error})"
        ) from error


def model_arguments(model: ModelConfig, training: TrainingArguments) -> dict[str, Any]:
    """Arguments of a trainer that say which model: its name, or an adapter that goes on being trained.

    An adapter keeps its own rank and targets; the LoRA fields of the YAML file are for a new one.
    """
    from trl import get_peft_config, get_quantization_config

    from trl_rlsp.trainers.adapter import is_adapter, load_trainable

    name, settings = model_name(model), init_kwargs(model, training)
    quantization = get_quantization_config(model)
    if not is_adapter(name, settings["revision"]):
        training.model_init_kwargs = settings  # type: ignore[attr-defined]
        return {"model": name, "quantization_config": quantization, "peft_config": get_peft_config(model)}
    training.model_init_kwargs = None  # type: ignore[attr-defined]
    return {"model": load_trainable(name, quantization_config=quantization, **settings)}


def init_kwargs(model: ModelConfig, training: TrainingArguments) -> dict[str, Any]:
    """Keyword arguments of `from_pretrained`, as TRL's own scripts set them."""
    return {
        "revision": model.model_revision,
        "attn_implementation": model.attn_implementation,
        "dtype": model.dtype,
        **(getattr(training, "model_init_kwargs", None) or {}),
    }


def train(trainer: Any, training: TrainingArguments) -> None:
    """Train, save model, tokenizer and history, and mark the stage complete."""
    start = time.monotonic()
    checkpoint = training.resume_from_checkpoint
    if checkpoint == "auto":
        checkpoint = last_complete_checkpoint(Path(str(training.output_dir)))
    show_progress(trainer)
    with rank_watch(lambda: way_out(training), signals=not getattr(training, "enable_jit_checkpoint", False)):
        trainer.train(resume_from_checkpoint=checkpoint)
        trainer.save_model(training.output_dir)
        trainer.save_state()
    if trainer.accelerator.is_main_process:
        done = {
            "stage": trainer._name,
            "steps": trainer.state.global_step,
            "resumed_from": checkpoint and Path(str(checkpoint)).name,
            "seconds": round(time.monotonic() - start, 1),
        }
        Path(str(training.output_dir), STAGE_FILE).write_text(json.dumps(done, indent=2) + "\n", encoding="utf-8")


def way_out(training: TrainingArguments) -> str:
    """How a run that was cut off goes on."""
    folder = Path(str(training.output_dir))
    checkpoint = last_complete_checkpoint(folder)
    if checkpoint is None:
        return f"Give the same command again: {folder} has no checkpoint, so it starts anew (save_steps makes them)."
    added = "" if training.resume_from_checkpoint == "auto" else " with --resume_from_checkpoint auto"
    return f"Give the same command again{added}: it goes on from {checkpoint}."


def last_complete_checkpoint(folder: Path) -> str | None:
    """The newest checkpoint in `folder` that was written to its end, if any.

    A stage killed while it saves leaves a checkpoint that cannot be loaded; `trainer_state.json` is written last.
    """
    found: dict[int, Path] = {}
    for path in folder.glob("checkpoint-*/trainer_state.json"):
        step = path.parent.name.removeprefix("checkpoint-")
        try:
            json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            continue
        if step.isdigit():
            found[int(step)] = path.parent
    return str(found[max(found)]) if found else None


def show_progress(trainer: Any) -> None:
    """Show one short line a log instead of every metric; all metrics stay in `trainer_state.json`."""
    from transformers.trainer_callback import PrinterCallback, ProgressCallback

    class ShortLines(ProgressCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: dict | None = None, **kwargs: Any) -> None:
            line = progress_line(state.global_step, logs or {})
            if line and self.training_bar is not None:
                self.training_bar.write(line)

    quiet = trainer.pop_callback(ProgressCallback) is None
    trainer.remove_callback(PrinterCallback)
    if not quiet:
        trainer.add_callback(ShortLines())


SHOWN = {
    "loss": "loss",
    "accuracy": "rewards/outcome_verifier/mean",
    "tokens": "completions/mean_length",
    "cut off": "completions/clipped_ratio",
    "entropy": "entropy",
}


def progress_line(step: int, logs: dict[str, Any]) -> str:
    """The metrics a person watches, in one line; empty if none of them was logged.

    Example:
        >>> progress_line(3, {"loss": "0.5", "completions/mean_length": 61.34})
        'step 3: loss 0.5, tokens 61.3'
    """
    from trl_rlsp.evaluation.tables import exploration_columns

    shown = {name: SHOWN[name] for name in ("loss", "accuracy")} | exploration_columns([logs]) | SHOWN
    found = [f"{name} {float(logs[key]):.3g}" for name, key in shown.items() if logs.get(key) is not None]
    return f"step {step}: {', '.join(found)}" if found else ""
