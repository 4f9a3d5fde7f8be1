"""`rlsp run RECIPE`: the steps of a recipe in order, each in its own process, and the table."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Sequence
from typing import Any

from trl_rlsp import evaluation, pipeline
from trl_rlsp.commands import parse_eval, parse_harvest, run_report
from trl_rlsp.doctor import examine
from trl_rlsp.errors import ConfigError
from trl_rlsp.files import atomic_write
from trl_rlsp.pipeline import Launcher, Run, Step
from trl_rlsp.stages import claimed, last_complete_checkpoint, parse_grpo, parse_sft, read_record, read_stage
from trl_rlsp.text import Terminal


def run_run(arguments: Sequence[str]) -> int:
    """Run a recipe and print the table; 0, or 128 and the number of the signal that stopped it."""
    run = pipeline.parse_run(arguments)
    steps = pipeline.plan_rounds(run) if run.rounds > 1 else pipeline.plan(run)
    for step in steps:
        check_settings(step)
    pipeline.refuse_changed(steps)
    try:
        with claimed(run.output), pipeline.stopped_by_signals():
            _execute_all(run, steps)
    except pipeline.StoppedError as stopped:
        again = shlex.join(["rlsp", "run", *arguments])
        print(f"\nrlsp run: stopped by {stopped}; the same command goes on: {again}", file=sys.stderr)
        return 128 + stopped.number
    return 0


def check_settings(step: Step) -> None:
    """Read a step's settings before the first step runs, so that a typing error costs no training."""
    if step.complete:
        return
    environment = dict(os.environ)
    parsers: Any = {"sft": parse_sft, "grpo": parse_grpo, "eval": parse_eval, "harvest": parse_harvest}
    try:
        parsers[step.command](step.words()[1:])
    finally:  # accelerate's state is told to the environment, which is the stages' own
        os.environ.clear()
        os.environ.update(environment)


def _execute_all(run: Run, steps: Sequence[Step]) -> None:
    import torch

    console, started = Terminal(), time.monotonic()
    launcher = pipeline.Launcher(torch.cuda.device_count(), run.launch)
    waiting = [step for step in steps if not step.complete]
    said, left = pipeline.said_of(run.recipe), ", ".join(step.title for step in waiting)
    console.print(f"{said.title}, on {said.hardware}: {left or 'nothing'} to do, into {run.output}", soft_wrap=True)
    show_batches(launcher, waiting, said.processes, console)
    for number, step in enumerate(steps, start=1):
        title = f"{number}/{len(steps)} {step.title}"
        if step.complete:
            console.rule(f"{title}: complete, skipped")
            continue
        shown = step.model if step.command == "harvest" else f"--config {step.config}"
        console.rule(f"{title} (rlsp {step.command} {shown})")
        step.remember(launcher.processes(step))
        pipeline.execute(step, launcher)
    _show_results(run, steps, console)
    console.print(f"{(time.monotonic() - started) / 60:.1f} minutes")


def show_batches(launcher: Launcher, steps: Sequence[Step], written_for: int, console: Terminal) -> None:
    """Print the batch of each training stage beside what the recipe says; a ConfigError if it does not fit here."""
    for step in filter(lambda step: step.trains, steps):
        processes = launcher.processes(step)
        before = (read_record(step.folder) or {}).get("processes", processes)
        if before != processes and last_complete_checkpoint(step.folder):
            raise ConfigError(
                f"{step.folder} was begun on {before} processes and there are {processes} here: its checkpoint counts "
                "in batches of the former; go on with as many, or give another --output_dir"
            )
        if step.command == "grpo":
            for found in examine(read_stage("grpo", step.words()[1:], processes=processes), ["groups"]):
                raise ConfigError(f"{step.title}: {found.what}: {found.why} -> {found.change}")
        console.print(launcher.batch(step, written_for), soft_wrap=True)


def _show_results(run: Run, steps: Sequence[Step], console: Terminal) -> None:
    evaluations = {step.title.partition(" ")[2]: step.folder for step in steps if step.command == "eval"}
    trained = [step for step in steps if step.command == "grpo"][-1]
    results = {name: evaluation.load_evaluation(folder) for name, folder in evaluations.items()}
    atomic_write(run.output / "report.md", f"# {run.recipe.name}\n\n{evaluation.markdown_table(results)}")
    console.rule("result")
    console.print(evaluation.evaluation_table(results))
    console.print(f"model: {trained.folder}; table: {run.output / 'report.md'}", soft_wrap=True)
    run_report([str(run.output)])
