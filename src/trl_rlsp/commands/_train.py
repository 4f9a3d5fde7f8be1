"""`rlsp sft`, `grpo`, `harvest` and `merge`: one stage each, what it found, and its adapter in its base.

A folder belongs to one run: its settings are written there, another run is refused, and no second process works in it.
A complete stage leaves `stage.json` there; one that was cut off goes on with `--resume_from_checkpoint auto`.
"""

# ruff: noqa: RUF009 (`option` is `dataclasses.field`)
from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trl_rlsp import stages, trainers
from trl_rlsp.commands._measure import count_table
from trl_rlsp.doctor import stop_on_errors
from trl_rlsp.errors import ConfigError
from trl_rlsp.files import write_json
from trl_rlsp.runs import reward_parts
from trl_rlsp.selfplay import Selection, harvest_run
from trl_rlsp.stages import option
from trl_rlsp.text import Terminal
from trl_rlsp.verification import require_sandbox

if TYPE_CHECKING:
    from transformers import TrainingArguments
    from trl import ModelConfig

_NEXT = {"sft": "RL from it: rlsp grpo", "grpo": "evaluate it: rlsp eval"}
_SHOWN = {
    "loss": "loss",
    "accuracy": "rewards/outcome_verifier/mean",
    "tokens": "completions/mean_length",
    "cut off": "completions/clipped_ratio",
    "entropy": "entropy",
}  # what the line of a step shows -> the metric that TRL logs


def run_sft(arguments: Sequence[str]) -> None:
    """Train on demonstrations."""
    data, training, model = stages.parse_sft(arguments)
    rows = data.load_rows(training.seed)
    tokenizer = stages.tokenizer_of(model)
    stop_on_errors("sft", data, training, model, rows=rows, tokenizer=tokenizer)
    with _stage("sft", arguments, training):
        made = model_arguments(model, training)
        train(trainers.RLSPSFTTrainer(args=training, train_dataset=rows, processing_class=tokenizer, **made), training)


def run_grpo(arguments: Sequence[str]) -> None:
    """Train by RL with the outcome verifier and the exploration reward."""
    data, rewards, training, model = stages.parse_grpo(arguments)
    with contextlib.closing(rewards):
        problems = data.load()
        require_sandbox(problems.column_names)
        tokenizer = stages.tokenizer_of(model, padding_side="left")
        stop_on_errors("grpo", data, training, model, rows=problems, rewards=rewards, tokenizer=tokenizer)
        with _stage("grpo", arguments, training):
            given = {"train_dataset": problems, "processing_class": tokenizer, **model_arguments(model, training)}
            train(trainers.RLSPGRPOTrainer(reward_funcs=rewards, args=training, **given), training)


@contextlib.contextmanager
def _stage(command: str, arguments: Sequence[str], training: TrainingArguments) -> Iterator[None]:
    """Make the output folder this run's own while it trains, and say what comes next; a ConfigError if it cannot be."""
    folder, settings = Path(str(training.output_dir)), stages.settings_of(arguments)
    first = training.process_index == 0
    stages.refuse_other_run(folder, command, settings, resume=bool(training.resume_from_checkpoint))
    with stages.claimed(folder) if first else contextlib.nullcontext():
        before = stages.read_record(folder)
        if first and (before is None or stages.different_runs(before, command, settings)):
            stages.write_record(folder, command, settings)
        yield
    if first:
        print(f"model: {folder}; next, {_NEXT[command]} --config FILE --model_name_or_path {folder}", flush=True)


def model_arguments(model: ModelConfig, training: TrainingArguments) -> dict[str, Any]:
    """Arguments of a trainer that say which model: its name, or an adapter that goes on being trained.

    An adapter keeps its own rank and targets; the LoRA fields of the YAML file are for a new one.
    """
    from trl import get_peft_config, get_quantization_config

    name = stages.model_name(model)
    settings = {"revision": model.model_revision, "attn_implementation": model.attn_implementation}
    settings |= {"dtype": model.dtype, **(getattr(training, "model_init_kwargs", None) or {})}  # as TRL's scripts do
    quantization = get_quantization_config(model)
    if not stages.names_adapter(name, settings["revision"]):
        training.model_init_kwargs = settings  # type: ignore[attr-defined]
        return {"model": name, "quantization_config": quantization, "peft_config": get_peft_config(model)}
    training.model_init_kwargs = None  # type: ignore[attr-defined]
    return {"model": trainers.load_trainable(name, quantization_config=quantization, **settings)}


def train(trainer: Any, training: TrainingArguments) -> None:
    """Train, save model, tokenizer and history, and mark the stage complete."""
    start = time.monotonic()
    checkpoint = training.resume_from_checkpoint
    if checkpoint == "auto":
        checkpoint = stages.last_complete_checkpoint(Path(str(training.output_dir)))
    _show_progress(trainer)
    with rank_errors(training):
        trainer.train(resume_from_checkpoint=checkpoint)
        trainer.save_model(training.output_dir)
        trainer.save_state()
    if trainer.accelerator.is_main_process:
        done = {"stage": trainer._name, "steps": trainer.state.global_step}
        done |= {"resumed_from": checkpoint and Path(checkpoint).name, "seconds": round(time.monotonic() - start, 1)}
        write_json(Path(str(training.output_dir), stages.STAGE_FILE), done)


@contextlib.contextmanager
def rank_errors(training: TrainingArguments) -> Iterator[None]:
    """Of several ranks: say at the start how a run that is cut off goes on, and give an error to the launcher."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    from torch.distributed.elastic.multiprocessing.errors import get_error_handler

    if training.process_index == 0:
        added = "" if training.resume_from_checkpoint == "auto" else " with --resume_from_checkpoint auto"
        way = f"the same command{added} goes on from the last checkpoint in {training.output_dir}"
        print(f"rlsp: if a rank is lost: {way}", file=sys.stderr, flush=True)
    handler = get_error_handler()
    handler.initialize()
    try:
        yield
    except Exception as error:
        handler.record_exception(error)
        raise


def _show_progress(trainer: Any) -> None:
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


def progress_line(step: int, logs: dict[str, Any]) -> str:
    """The metrics a person watches, in one line; empty if none of them was logged."""
    parts = [part for part in reward_parts([logs]) if "outcome_verifier" not in part]
    explored = {part.removesuffix("_exploration"): f"rewards/{part}/mean" for part in parts}
    shown = {name: _SHOWN[name] for name in ("loss", "accuracy")} | explored | _SHOWN
    found = [f"{name} {float(logs[key]):.3g}" for name, key in shown.items() if logs.get(key) is not None]
    return f"step {step}: {', '.join(found)}" if found else ""


@dataclass(kw_only=True)
class HarvestArguments(Selection):
    """Keep the completions of a run that are verified, finished, novel and no duplicates, at most K of a problem, as
    demonstrations for `rlsp sft --demonstrations file --dataset FILE`. Problems of the run's evaluations never get in.
    The fields of a data set can be given as well, e.g. --dataset SOURCE for a run that does not name its own."""

    run: Path = option(help="folder of `rlsp run`, of a GRPOTrainer, or of `rlsp eval`", positional=1)
    output: Path | None = option(None, "file to write; default RUN/harvest/demonstrations.jsonl")
    exclude: list[str] = option([], "further evaluation set, SOURCE or SOURCE@SPLIT", action="extend", metavar="SOURCE")
    config: str | None = option(None, "YAML file of the RL stage, if the run does not name it")
    round: int | None = option(None, "also write mixture.jsonl and problems.jsonl for it")
    seed: int = option(0, "of the draw of the mixture")


def parse_harvest(arguments: Sequence[str]) -> tuple[HarvestArguments, list[str]]:
    """Settings of a harvest, and the fields of its data set that were given; a ConfigError for what cannot work."""
    given, rest = stages.parse_known(HarvestArguments, arguments, "rlsp harvest")
    stages.parse_stage((stages.ProblemArguments,), rest, "rlsp harvest", also=vars(given))
    if given.output is not None and given.output.suffix != ".jsonl":
        raise ConfigError(f"--output is a .jsonl file, got {str(given.output)!r}")
    return given, rest


def run_harvest(arguments: Sequence[str]) -> None:
    """Harvest a run and print what became of its completions."""
    given, rest = parse_harvest(arguments)
    output = given.output or given.run / "harvest" / "demonstrations.jsonl"
    options: dict[str, Any] = {"config": given.config, "exclude": given.exclude, "seed": given.seed}
    found, counts = harvest_run(given.run, output, given, given=rest, next_round=given.round is not None, **options)
    kept = f"kept, for {found.problems} problems"
    table = count_table("completions", "read", found.read, found.dropped, kept, len(found.rows))
    console = Terminal()
    console.print(table)
    for name, value in counts.get("round", {}).items():
        console.print(f"{name.replace('_', ' ')}: {value}")
    console.print(f"demonstrations: {output}", soft_wrap=True)


@dataclass
class MergeArguments:
    """Merge a LoRA adapter into its unquantized base in float32, and compare the logits of what was saved with
    those of the adapter."""

    adapter: str = option(help="folder or hub id of the adapter")
    output_dir: Path = option(help="empty folder for the merged model")
    base: str | None = option(None, "the unquantized base; default the one that the adapter names")
    dtype: str | None = option(None, "type of the saved weights: float32, bfloat16, float16; default the base's")


def run_merge(arguments: Sequence[str]) -> None:
    """Merge an adapter into its base, compare logits, and print what was found."""
    given = stages.parse_fields(MergeArguments, arguments, "rlsp merge")
    found = trainers.merge_adapter(given.adapter, given.output_dir, base=given.base, dtype=given.dtype)
    Terminal(soft_wrap=True).print(
        f"{found.layers} layers merged into {found.base} in float32, saved as {found.dtype}: logits differ from the "
        f"adapter's by {found.difference:.2g} of the largest ({found.tolerance:g} is allowed, the adapter changes "
        f"them by {found.effect:.2g})\nmodel: {given.output_dir}"
    )
