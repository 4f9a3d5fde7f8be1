"""`rlsp sft` and `rlsp grpo`: one stage each, from a flat YAML file; `rlsp merge`: an adapter into its base.

Data and settings are checked before any model is loaded. A folder belongs to one run: its settings are written there,
another run is refused, and no second process works in it. A stage that is complete leaves `stage.json` in its output
folder; a stage that was cut off continues from its last checkpoint with `--resume_from_checkpoint auto`.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trl_rlsp.files import write_json
from trl_rlsp.stages import (
    STAGE_FILE,
    claimed,
    different_runs,
    last_complete_checkpoint,
    model_name,
    names_adapter,
    parse_fields,
    parse_grpo,
    parse_sft,
    read_record,
    refuse_other_run,
    settings_of,
    tokenizer_of,
    write_record,
)

if TYPE_CHECKING:
    from transformers import TrainingArguments
    from trl import ModelConfig

NEXT = {
    "sft": "RL from it: rlsp grpo --config FILE --model_name_or_path {folder}",
    "grpo": "evaluate it: rlsp eval --config FILE --model_name_or_path {folder}",
}
"""What comes after a stage."""


def run_sft(arguments: Sequence[str]) -> None:
    """Train on demonstrations.

    Args:
        arguments: command-line arguments, `--config FILE` among them.

    Raises:
        RLSPError: data or settings that cannot work, before a model is loaded.
    """
    from trl_rlsp.doctor import stop_on_errors
    from trl_rlsp.trainers import RLSPSFTTrainer

    data, training, model = parse_sft(arguments)
    rows = data.load_rows(training.seed)
    tokenizer = tokenizer_of(model)
    stop_on_errors("sft", data, training, model, rows=rows, tokenizer=tokenizer)
    with belongs_to("sft", arguments, training):
        trainer = RLSPSFTTrainer(
            args=training, train_dataset=rows, processing_class=tokenizer, **model_arguments(model, training)
        )
        train(trainer, training)
    closing_line("sft", training)


def run_grpo(arguments: Sequence[str]) -> None:
    """Train by RL with the outcome verifier and the exploration reward.

    Args:
        arguments: command-line arguments, `--config FILE` among them.

    Raises:
        RLSPError: data or settings that cannot work, before a model is loaded.
    """
    from trl_rlsp.doctor import stop_on_errors
    from trl_rlsp.trainers import RLSPGRPOTrainer
    from trl_rlsp.verification import require_sandbox

    data, rewards, training, model = parse_grpo(arguments)
    try:
        problems = data.load()
        require_sandbox(problems.column_names)
        tokenizer = tokenizer_of(model, padding_side="left")
        stop_on_errors("grpo", data, training, model, rows=problems, rewards=rewards, tokenizer=tokenizer)
        with belongs_to("grpo", arguments, training):
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
    closing_line("grpo", training)


@contextlib.contextmanager
def belongs_to(command: str, arguments: Sequence[str], training: TrainingArguments) -> Iterator[None]:
    """Make the output folder this run's own while it trains.

    Raises:
        ConfigError: another process works in it, or it holds what this run must not replace.
    """
    folder, settings = Path(str(training.output_dir)), settings_of(arguments)
    refuse_other_run(folder, command, settings, resume=bool(training.resume_from_checkpoint))
    with claimed(folder) if training.process_index == 0 else contextlib.nullcontext():
        before = read_record(folder)
        if training.process_index == 0 and (before is None or different_runs(before, command, settings)):
            write_record(folder, command, settings)
        yield


def model_arguments(model: ModelConfig, training: TrainingArguments) -> dict[str, Any]:
    """Arguments of a trainer that say which model: its name, or an adapter that goes on being trained.

    An adapter keeps its own rank and targets; the LoRA fields of the YAML file are for a new one.
    """
    from trl import get_peft_config, get_quantization_config

    from trl_rlsp.trainers import load_trainable

    name, settings = model_name(model), init_kwargs(model, training)
    quantization = get_quantization_config(model)
    if not names_adapter(name, settings["revision"]):
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
    with rank_errors(training):
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
        write_json(Path(str(training.output_dir), STAGE_FILE), done)


def closing_line(command: str, training: TrainingArguments) -> None:
    """Print where the model is and what comes next, on the first rank."""
    if training.process_index == 0:
        folder = training.output_dir
        print(f"model: {folder}; next, {NEXT[command].format(folder=folder)}", flush=True)


@contextlib.contextmanager
def rank_errors(training: TrainingArguments) -> Iterator[None]:
    """Of several ranks: say at the start how a run that is cut off goes on, and give an error to the launcher.

    The launcher (`accelerate launch`, `torchrun`) ends all ranks when one ends and shows as root cause the error that
    torch's handler wrote down. It shows no advice, and a rank that it ends has no time to give any.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    from torch.distributed.elastic.multiprocessing.errors import get_error_handler

    if training.process_index == 0:
        print(f"rlsp: if a rank is lost: {way_out(training)}", file=sys.stderr, flush=True)
    handler = get_error_handler()
    handler.initialize()
    try:
        yield
    except Exception as error:
        handler.record_exception(error)
        raise


def way_out(training: TrainingArguments) -> str:
    """How a run that was cut off goes on."""
    added = "" if training.resume_from_checkpoint == "auto" else " with --resume_from_checkpoint auto"
    return f"the same command{added} goes on from the last checkpoint in {training.output_dir}"


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
    from trl_rlsp.evaluation import exploration_columns

    shown = {name: SHOWN[name] for name in ("loss", "accuracy")} | exploration_columns([logs]) | SHOWN
    found = [f"{name} {float(logs[key]):.3g}" for name, key in shown.items() if logs.get(key) is not None]
    return f"step {step}: {', '.join(found)}" if found else ""


@dataclass
class MergeArguments:
    """Merge a LoRA adapter into its unquantized base in float32, and compare the logits of what was saved with
    those of the adapter."""

    adapter: str = field(metadata={"help": "folder or hub id of the adapter"})
    output_dir: Path = field(metadata={"help": "empty folder for the merged model"})
    base: str | None = field(
        default=None, metadata={"help": "the unquantized base; default the one that the adapter names"}
    )
    dtype: str | None = field(
        default=None, metadata={"help": "type of the saved weights: float32, bfloat16, float16; default the base's"}
    )


def run_merge(arguments: Sequence[str]) -> None:
    """Merge an adapter into its base, compare logits, and print what was found.

    Args:
        arguments: options of the command.

    Raises:
        RLSPError: an adapter or a base that cannot be merged, or a merged model that differs.
    """
    from trl_rlsp.text import Terminal
    from trl_rlsp.trainers import merge_adapter

    given = parse_fields(MergeArguments, arguments, "rlsp merge")
    found = merge_adapter(given.adapter, given.output_dir, base=given.base, dtype=given.dtype)
    text = (
        f"{found.layers} layers merged into {found.base} in float32, saved as {found.dtype}: logits differ from the "
        f"adapter's by {found.difference:.2g} of the largest ({found.tolerance:g} is allowed, the adapter changes "
        f"them by {found.effect:.2g})\nmodel: {given.output_dir}"
    )
    Terminal(soft_wrap=True).print(text)
