"""`rlsp run RECIPE`: the stages of a recipe folder, in order, each in its own process.

A recipe folder holds `grpo.yaml`, `eval.yaml` and, if there are demonstrations, `sft.yaml`; each also runs alone.
The run folder gets one folder a stage. A complete stage is skipped, a stage that was cut off goes on from its last
checkpoint, and a stage whose recipe or overrides have changed since is refused rather than mixed. With `--rounds N`
each round of self-play gets such a folder (`trl_rlsp.pipeline.rounds`).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from trl_rlsp.cli import environment_of, read_yaml
from trl_rlsp.commands.training import STAGE_FILE
from trl_rlsp.errors import ConfigError, RLSPError, SourceError
from trl_rlsp.pipeline.shipped import NEEDED, find_recipe, portable

SETTINGS_FILE = "settings.json"


class StageError(RLSPError, RuntimeError):
    """A stage ended with an error of its own."""


@dataclass(frozen=True)
class Stage:
    """One stage of a run.

    Attributes:
        name: its name and its folder in the run folder.
        command: `sft`, `grpo`, `eval` or `harvest`.
        config: its YAML file.
        folder: where it writes.
        model: the model it starts from; of a harvest, the folder of the RL stage.
        overrides: arguments that override the YAML file.
        marker: the file whose presence means that it is complete.
        round: of self-play; `None` in a run that has only one.
    """

    name: str
    command: str
    config: Path
    folder: Path
    model: str
    overrides: tuple[str, ...]
    marker: str
    round: int | None = None

    @property
    def title(self) -> str:
        """Its name, with the round where there are several."""
        return self.name if self.round is None else f"{self.name} {self.round}"

    @property
    def complete(self) -> bool:
        """Whether its last file is there."""
        return (self.folder / self.marker).is_file()

    def arguments(self) -> list[str]:
        """Arguments of `python -m trl_rlsp`."""
        if self.command == "harvest":
            output = str(self.folder / "demonstrations.jsonl")
            return ["harvest", self.model, "--output", output, *self.overrides]
        given = ["--model_name_or_path", self.model, "--output_dir", str(self.folder), *self.overrides]
        if self.command != "eval" and "--resume_from_checkpoint" not in self.overrides:
            given += ["--resume_from_checkpoint", "auto"]
        return [self.command, "--config", str(self.config), *given]

    def fingerprint(self) -> str:
        """Hash of everything that decides what the stage produces, but for the model that comes before it."""
        content = [self.command, self.config.read_text(encoding="utf-8"), portable(self.model), *self.overrides]
        return hashlib.sha256("\0".join(content).encode()).hexdigest()[:16]


def run_pipeline(arguments: list[str]) -> int:
    """Run a recipe and print the table.

    Args:
        arguments: the recipe's folder or name, `--output_dir`, `--seed`, `--rounds`, and overrides such as
            `--grpo.learning_rate 1e-5`.

    Returns:
        0.

    Raises:
        RLSPError: a recipe that cannot work, or a stage that ended with an error.
    """
    from rich.console import Console

    from trl_rlsp.commands.report import run_report
    from trl_rlsp.evaluation import load_evaluation
    from trl_rlsp.evaluation.tables import evaluation_table, write_report
    from trl_rlsp.pipeline.rounds import plan_rounds, round_settings, take_rounds

    rounds, round_overrides, arguments = take_rounds(arguments)
    recipe, output, overrides = parse_run(arguments)
    settings = round_settings(recipe, round_overrides)
    stages = plan(recipe, output, overrides)
    if rounds > 1:
        stages = plan_rounds(recipe, output, overrides, rounds, settings)
    for check in (check_settings, refuse_changed):
        for stage in stages:
            check(stage)
    console = Console()
    started = time.monotonic()
    for number, stage in enumerate(stages, start=1):
        title = f"{number}/{len(stages)} {stage.title}"
        if stage.complete:
            console.rule(f"{title}: complete, skipped")
            continue
        shown = stage.model if stage.command == "harvest" else f"--config {stage.config}"
        console.rule(f"{title} (rlsp {stage.command} {shown})")
        remember(stage)
        execute(stage)
    evaluations = {stage.title.partition(" ")[2]: stage.folder for stage in stages if stage.command == "eval"}
    trained = [stage for stage in stages if stage.command == "grpo"][-1]
    report = write_report(output, recipe.name, evaluations, trained.folder / "trainer_state.json")
    console.rule("result")
    console.print(evaluation_table({name: load_evaluation(folder) for name, folder in evaluations.items()}))
    console.print(f"{(time.monotonic() - started) / 60:.1f} minutes; report: {report}")
    if rounds == 1:
        run_report([str(output)])
    return 0


def parse_run(arguments: list[str]) -> tuple[Path, Path, dict[str, list[str]]]:
    """The recipe folder, the run folder, and the overrides of each command.

    Raises:
        ConfigError: an argument that is not understood.
        SourceError: a folder that is no recipe, or a name that no shipped recipe has.
    """
    parser = argparse.ArgumentParser(
        prog="rlsp run",
        description="Run all stages of a recipe: SFT, RL, evaluation before and after, report. "
        "Override a field of a stage with --STAGE.FIELD VALUE, e.g. --grpo.learning_rate 1e-5.",
    )
    described = "folder with grpo.yaml, eval.yaml and perhaps sft.yaml, or a name that `rlsp recipes` lists"
    parser.add_argument("recipe", type=Path, help=described)
    parser.add_argument("--output_dir", type=Path, help="run folder; default runs/RECIPE-seedSEED")
    parser.add_argument("--seed", type=int, default=0, help="seed of every stage; default 0")
    parser.add_argument("--rounds", type=int, help="rounds of self-play, with --rounds.FIELD VALUE; default 1")
    known, rest = parser.parse_known_args(arguments)
    overrides = {command: ["--seed", str(known.seed)] for command in ("sft", "grpo", "eval")}
    while rest:
        flag = rest.pop(0)
        command, dot, name = flag.removeprefix("--").partition(".")
        if not flag.startswith("--") or not dot or command not in overrides or not rest:
            raise ConfigError(
                f"cannot read {flag!r}: an override is --STAGE.FIELD VALUE with STAGE one of sft, grpo, eval"
            )
        overrides[command] += [f"--{name}", rest.pop(0)]
    recipe = find_recipe(known.recipe)
    for needed in NEEDED:
        if not (recipe / needed).is_file():
            raise SourceError(f"{str(recipe)!r} is no recipe folder: it has no {needed}")
    output = known.output_dir or Path("runs") / f"{recipe.resolve().name}-seed{known.seed}"
    return recipe, output, overrides


def plan(recipe: Path, output: Path, overrides: dict[str, list[str]]) -> list[Stage]:
    """The stages of a recipe: evaluation of the start, SFT, its evaluation, RL, its evaluation.

    Args:
        recipe: folder with the YAML files.
        output: run folder.
        overrides: arguments for each command.

    Raises:
        ConfigError: the first training stage names no model.
    """
    has_sft = (recipe / "sft.yaml").is_file()
    first = recipe / ("sft.yaml" if has_sft else "grpo.yaml")
    start = read_yaml(first).get("model_name_or_path")
    if not start:
        raise ConfigError(f"{first} names no model: set model_name_or_path")
    model = str(recipe / start) if (recipe / start).is_dir() else str(start)
    stages: list[Stage] = []

    def add(name: str, command: str, marker: str) -> Path:
        folder = output / name.replace(" ", "_")
        config = recipe / f"{command}.yaml"
        stages.append(Stage(name, command, config, folder, model, tuple(overrides[command]), marker))
        return folder

    add("eval start", "eval", "metrics.json")
    if has_sft:
        model = str(add("sft", "sft", STAGE_FILE))
        add("eval SFT", "eval", "metrics.json")
    model = str(add("rlsp", "grpo", STAGE_FILE))
    add("eval RLSP", "eval", "metrics.json")
    return stages


def refuse_changed(stage: Stage) -> None:
    """Refuse to go on with a stage that was started with other settings.

    Raises:
        ConfigError: the folder holds work done with other settings.
    """
    path = stage.folder / SETTINGS_FILE
    if path.is_file() and json.loads(path.read_text(encoding="utf-8"))["fingerprint"] != stage.fingerprint():
        raise ConfigError(
            f"{stage.folder} was started with other settings; give another --output_dir, or delete that "
            "folder and those of the stages after it"
        )


def remember(stage: Stage) -> None:
    """Write down the settings that a stage is started with."""
    stage.folder.mkdir(parents=True, exist_ok=True)
    settings = {"arguments": stage.arguments(), "fingerprint": stage.fingerprint()}
    (stage.folder / SETTINGS_FILE).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def check_settings(stage: Stage) -> None:
    """Read a stage's settings before the first stage runs, so that a typing error costs no training.

    Raises:
        ConfigError: a field or a value that cannot work.
    """
    from trl_rlsp.commands.evaluating import parse_eval
    from trl_rlsp.commands.harvest import parse_harvest
    from trl_rlsp.commands.training import parse_grpo, parse_sft

    if stage.complete:
        return
    environment = dict(os.environ)
    parsers: dict[str, Callable[[list[str]], object]]
    parsers = {"sft": parse_sft, "grpo": parse_grpo, "eval": parse_eval, "harvest": parse_harvest}
    try:
        parsers[stage.command](stage.arguments()[1:])
    finally:  # the parser sets the file's `env`, which is meant for that stage's process alone
        os.environ.clear()
        os.environ.update(environment)


def execute(stage: Stage) -> None:
    """Run a stage in its own process, its output going to the terminal.

    Raises:
        StageError: the stage ended with an error.
    """
    environment = {**environment_of(stage.config), **os.environ}
    command: Sequence[str] = [sys.executable, "-m", "trl_rlsp", *stage.arguments()]
    code = subprocess.run(command, env=environment, check=False).returncode
    if code != 0:
        raise StageError(
            f"stage `{stage.title}` ended with status {code}; mend what it says above, and the same command goes "
            "on from there"
        )
