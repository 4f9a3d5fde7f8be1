"""`rlsp run` (each step in its own process), `sft`, `grpo`, `harvest` and `merge`.

A folder belongs to one run: its settings are recorded there, and other runs and a second process are refused. A
complete stage writes `stage.json`; an interrupted one continues with `--resume_from_checkpoint auto`.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from trl_rlsp import evaluation, pipeline, stages, trainers
from trl_rlsp.commands._command import Command, command_class
from trl_rlsp.commands._look import Report
from trl_rlsp.commands._measure import count_table
from trl_rlsp.doctor import examine, stop_on_errors
from trl_rlsp.errors import ConfigError
from trl_rlsp.files import atomic_write, write_json
from trl_rlsp.pipeline import Launcher, Step
from trl_rlsp.runs import reward_parts
from trl_rlsp.selfplay import Selection, harvest_run
from trl_rlsp.stages import option
from trl_rlsp.text import Terminal
from trl_rlsp.verification import require_sandbox

if TYPE_CHECKING:
    from transformers import TrainingArguments
    from trl import ModelConfig

_NEXT = {"sft": "RL from it: rlsp grpo", "grpo": "evaluate it: rlsp eval"}
# label in the progress line -> metric that TRL logs
_SHOWN = {"loss": "loss", "accuracy": "rewards/outcome_verifier/mean", "tokens": "completions/mean_length"}
_SHOWN |= {"cut off": "completions/clipped_ratio", "entropy": "entropy"}


class Run(Command):
    """Run every step of a recipe, and print the table of results."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self.arguments, self.run = arguments, pipeline.parse_run(arguments)

    def execute(self) -> int:
        """Return 0, or 128 plus the number of the signal that stopped the run."""
        run = self.run
        steps = pipeline.plan_rounds(run) if run.rounds > 1 else pipeline.plan(run)
        for step in steps:
            check_settings(step)
        pipeline.refuse_changed(steps)
        try:
            with stages.claimed(run.output), pipeline.stopped_by_signals():
                _execute_all(run, steps)
        except pipeline.StoppedError as stopped:
            again = shlex.join(["rlsp", "run", *self.arguments])
            print(f"\nrlsp run: stopped by {stopped}; continue with the same command: {again}", file=sys.stderr)
            return 128 + stopped.number
        return 0


def check_settings(step: Step) -> None:
    """Check a step's settings before the first step runs, so that a typo is found before training."""
    if step.complete:
        return
    environment = dict(os.environ)
    try:
        command_class(step.command).parse(step.words()[1:]).check()
    finally:  # accelerate writes its state to the environment, which the stages inherit
        os.environ.clear()
        os.environ.update(environment)


def _execute_all(run: pipeline.Run, steps: Sequence[Step]) -> None:
    import torch

    console, started = Terminal(), time.monotonic()
    launcher = pipeline.Launcher(torch.cuda.device_count(), run.launch)
    waiting = [step for step in steps if not step.complete]
    recipe, left = pipeline.description_of(run.recipe), ", ".join(step.title for step in waiting)
    console.print(f"{recipe.title}, on {recipe.hardware}: {left or 'nothing'} to do, into {run.output}", soft_wrap=True)
    show_batches(launcher, waiting, recipe.processes, console)
    for number, step in enumerate(steps, start=1):
        title = f"{number}/{len(steps)} {step.title}"
        if step.complete:
            console.rule(f"{title}: complete, skipped")
            continue
        shown = step.model if step.command == "harvest" else f"--config {step.config}"
        console.rule(f"{title} (rlsp {step.command} {shown})")
        step.remember(launcher.processes(step))
        began = time.monotonic()
        pipeline.execute(step, launcher)
        console.print(f"{title}: {(time.monotonic() - began) / 60:.1f} minutes")
    folders = {step.title.partition(" ")[2]: step.folder for step in steps if step.command == "eval"}
    results = {name: evaluation.load_evaluation(folder) for name, folder in folders.items()}
    table = evaluation.markdown_table(results)
    atomic_write(run.output / "report.md", f"# {run.recipe.name}\n\n{table}")
    console.rule("result")
    console.print(evaluation.evaluation_table(results))
    trained = [step for step in steps if step.trains][-1]
    write_card(trained, table)
    console.print(f"model: {trained.folder}; table: {run.output / 'report.md'}", soft_wrap=True)
    Report([run.output]).execute()
    console.print(f"{(time.monotonic() - started) / 60:.1f} minutes")


def write_card(step: Step, table: str) -> None:
    """End the model card that TRL wrote with the evaluation and the stage's settings."""
    card, heading = step.folder / "README.md", "\n## Evaluation\n"
    before = card.read_text(encoding="utf-8") if card.is_file() else ""
    settings = f"## Settings\n\n```yaml\n{step.config.read_text(encoding='utf-8')}```\n"
    text = f"{before.partition(heading)[0].rstrip()}\n{heading}\n{table}\n{settings}"
    if text != before:
        atomic_write(card, text)


_BATCH = frozenset(
    ("per_device_train_batch_size", "gradient_accumulation_steps", "steps_per_generation", "generation_batch_size")
)


def show_batches(launcher: Launcher, steps: Sequence[Step], written_for: int, console: Terminal) -> None:
    """Print the batch of each training stage and the recipe's.

    A ConfigError if it is impossible here, or if it would differ only because of the number of processes.
    """
    for step in filter(lambda step: step.trains, steps):
        processes = launcher.processes(step)
        before = (stages.read_record(step.folder) or {}).get("processes", processes)
        if before != processes and stages.last_complete_checkpoint(step.folder):
            raise ConfigError(
                f"{step.folder} was started on {before} processes and there are {processes} here: its checkpoint "
                f"counts batches of {before} processes; continue with {before}, or give another --output_dir"
            )
        if step.command == "grpo":
            for finding in examine(stages.read_stage("grpo", step.words()[1:], processes=processes), ["groups"]):
                raise ConfigError(f"{step.title}: {finding.what}: {finding.why} -> {finding.change}")
        shown = launcher.batch(step, written_for)
        if processes != written_for and not _BATCH.intersection(stages.options_of(step.arguments)):
            raise ConfigError(
                f"{shown}; to go on, give a field of the batch, or `processes` in the recipe's recipe.yaml"
            )
        console.print(shown, soft_wrap=True)


class _Training(Command):
    """`rlsp sft` and `rlsp grpo`."""

    arguments: Sequence[str]
    training: TrainingArguments
    model: ModelConfig

    def train(self, trainer: Any, **given: Any) -> None:
        """Train in a locked output folder, and print the next command; a ConfigError for the folder of another run."""
        command, first = type(self).__name__.lower(), self.training.process_index == 0
        folder, settings = Path(str(self.training.output_dir)), stages.settings_of(self.arguments)
        before = stages.refuse_other_run(folder, command, settings, bool(self.training.resume_from_checkpoint))
        with stages.claimed(folder) if first else contextlib.nullcontext():
            if first and before is None:
                stages.write_record(folder, command, settings)
            given |= model_arguments(self.model, self.training)
            train(trainer(args=self.training, **given), self.training)
        if first:
            print(f"model: {folder}; next, {_NEXT[command]} --config FILE --model_name_or_path {folder}", flush=True)


class Sft(_Training):
    """Train on demonstrations."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self.arguments = arguments
        self.data, self.training, self.model = stages.parse_sft(arguments)

    def execute(self) -> None:
        """Train; an RLSPError for settings or data that cannot work."""
        rows, tokenizer = self.data.load_rows(self.training.seed), stages.tokenizer_of(self.model)
        stop_on_errors("sft", self.data, self.training, self.model, rows=rows, tokenizer=tokenizer)
        self.train(trainers.RLSPSFTTrainer, train_dataset=rows, processing_class=tokenizer)


class Grpo(_Training):
    """Train by RL with the outcome verifier and the exploration reward."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self.arguments = arguments
        self.data, self.rewards, self.training, self.model = stages.parse_grpo(arguments)

    def execute(self) -> None:
        """Train; an RLSPError for settings, data or rewards that cannot work."""
        with contextlib.closing(self.rewards) as rewards:
            rows, tokenizer = self.data.load(), stages.tokenizer_of(self.model, padding_side="left")
            require_sandbox(rows.column_names)
            loaded: Any = {"rows": rows, "rewards": rewards, "tokenizer": tokenizer}
            stop_on_errors("grpo", self.data, self.training, self.model, **loaded)
            self.train(trainers.RLSPGRPOTrainer, reward_funcs=rewards, train_dataset=rows, processing_class=tokenizer)


def model_arguments(model: ModelConfig, training: TrainingArguments) -> dict[str, Any]:
    """The trainer's arguments for the model: its name, or a loaded adapter to continue training.

    An adapter keeps its rank and targets; the LoRA fields of the YAML file are for a new one.
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
    """Train, save model, tokenizer and history, and mark the stage complete; if a rank fails, the launcher gets its
    error."""
    from torch.distributed.elastic.multiprocessing.errors import record

    start, folder, first = time.monotonic(), Path(str(training.output_dir)), trainer.accelerator.is_main_process
    auto = training.resume_from_checkpoint == "auto"
    checkpoint = stages.last_complete_checkpoint(folder) if auto else training.resume_from_checkpoint
    if first and trainer.accelerator.num_processes > 1:
        added = "" if auto else " with --resume_from_checkpoint auto"
        way = f"the same command{added} continues from the last checkpoint in {folder}"
        print(f"rlsp: if a rank is lost: {way}", file=sys.stderr, flush=True)
    _show_progress(trainer)
    record(trainer.train)(resume_from_checkpoint=checkpoint)
    trainer.save_model(training.output_dir)
    trainer.save_state()
    if first:
        done = {"stage": trainer._name, "steps": trainer.state.global_step}
        done |= {"resumed_from": checkpoint and Path(checkpoint).name, "seconds": round(time.monotonic() - start, 1)}
        write_json(folder / stages.STAGE_FILE, done)


def _show_progress(trainer: Any) -> None:
    """Show one short line per log instead of every metric; all metrics are in `trainer_state.json`."""
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
    """The main metrics in one line; empty if none of them was logged."""
    parts = [part for part in reward_parts([logs]) if "outcome_verifier" not in part]
    explored = {part.removesuffix("_exploration"): f"rewards/{part}/mean" for part in parts}
    shown = {name: _SHOWN[name] for name in ("loss", "accuracy")} | explored | _SHOWN
    metrics = [f"{name} {float(logs[key]):.3g}" for name, key in shown.items() if logs.get(key) is not None]
    return f"step {step}: {', '.join(metrics)}" if metrics else ""


@dataclass(kw_only=True)
class Harvest(Selection, Command):
    """Keep the verified, finished and novel completions of a run, without duplicates and at most K per problem, as
    demonstrations for `rlsp sft --demonstrations file --dataset FILE`. Problems of the run's evaluations are left out.
    The fields of a data set are also accepted, e.g. --dataset SOURCE for a run that does not record its own."""

    run: Path = option(help="folder of `rlsp run`, of a GRPOTrainer, or of `rlsp eval`", positional=1)
    output: Path | None = option(None, "file to write; default: RUN/harvest/demonstrations.jsonl")
    exclude: list[str] = option([], "further evaluation set, SOURCE or SOURCE@SPLIT", action="extend", metavar="SOURCE")
    config: str | None = option(None, "YAML file of the RL stage, if the run does not record it")
    round: int | None = option(None, "also write mixture.jsonl and problems.jsonl for this round")
    seed: int = option(0, "seed for drawing the mixture")
    of_data: list[str] = field(init=False)  # arguments of the data set

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.output is not None and self.output.suffix != ".jsonl":
            raise ConfigError(f"--output is a .jsonl file, got {str(self.output)!r}")

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> Self:
        """The command; arguments that it does not know are those of the data set."""
        given, rest = stages.parse_known(cls, arguments, "rlsp harvest")
        stages.parse_stage((stages.ProblemArguments,), rest, "rlsp harvest", also=vars(given))
        given.of_data = rest
        return given

    def execute(self) -> None:
        """Write the demonstrations and print the counts."""
        output = self.output or self.run / "harvest" / "demonstrations.jsonl"
        options: dict[str, Any] = {"config": self.config, "exclude": self.exclude, "seed": self.seed}
        options |= {"given": self.of_data, "next_round": self.round is not None}
        harvest, counts = harvest_run(self.run, output, self, **options)
        kept = f"kept, for {harvest.problems} problems"
        console = Terminal()
        console.print(count_table("completions", "read", harvest.read, harvest.dropped, kept, len(harvest.rows)))
        for name, value in counts.get("round", {}).items():
            console.print(f"{name.replace('_', ' ')}: {value}")
        console.print(f"demonstrations: {output}", soft_wrap=True)


@dataclass
class Merge(Command):
    """Merge a LoRA adapter into its unquantized base in float32, and compare the logits of the saved model with those
    of the adapter."""

    adapter: str = option(help="folder or hub id of the adapter")
    output_dir: Path = option(help="empty folder for the merged model")
    base: str | None = option(None, "the unquantized base; default: the one that the adapter names")
    dtype: str | None = option(None, "type of the saved weights: float32, bfloat16, float16; default: the base's")

    def execute(self) -> None:
        """Merge, and print how much the logits changed."""
        merge = trainers.merge_adapter(self.adapter, self.output_dir, base=self.base, dtype=self.dtype)
        Terminal(soft_wrap=True).print(
            f"{merge.layers} layers merged into {merge.base} in float32, saved as {merge.dtype}: logits differ from "
            f"the adapter's by {merge.difference:.2g} of the largest ({merge.tolerance:g} is allowed, the adapter "
            f"changes them by {merge.effect:.2g})\nmodel: {self.output_dir}"
        )
