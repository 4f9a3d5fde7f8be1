"""The steps of a run: what each is given, what it depends on, and whether its folder still holds its work.

A recipe folder holds `grpo.yaml`, `eval.yaml` and, if there are demonstrations, `sft.yaml`; each also runs alone. The
start model, the run folder and the seed are settings of the run. A step's fingerprint is of its parsed settings and of
the steps that it depends on, so that a comment changes nothing and a change upstream makes everything after it stale.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from trl_rlsp.errors import ConfigError, SourceError
from trl_rlsp.pipeline._shipped import NEEDED, find_recipe
from trl_rlsp.stages import STAGE_FILE, differences, parse_fields, read_record, read_yaml, settings_of, write_record

_OF_THE_RUN = {"model_name_or_path": "--model", "output_dir": "--output_dir", "seed": "--seed"}
"""Fields of a stage that are settings of the run -> the option that sets them for all stages."""

_COMMANDS = ("sft", "grpo", "eval")
_MARKERS = {"eval": "metrics.json", "harvest": "demonstrations.json"}
"""The file that a step writes last; `stage.json` of a training stage."""


@dataclass
class RunArguments:
    """Run all stages of a recipe: SFT, RL, evaluation before and after, report. Override a field of a stage with
    --STAGE.FIELD VALUE, e.g. --grpo.learning_rate 1e-5.

    Args:
        recipe: folder with grpo.yaml, eval.yaml and perhaps sft.yaml, or a name that `rlsp recipes` lists.
        model: the model to start from; default the recipe's.
        output_dir: run folder; default runs/RECIPE-seedSEED.
        seed: seed of every stage.
        rounds: rounds of self-play, with --rounds.FIELD VALUE.
        launch: accelerate's YAML file for the training stages; default one process for each visible GPU.
    """

    recipe: Path = field(metadata={"positional": 1})
    model: str | None = None
    output_dir: Path | None = None
    seed: int = 0
    rounds: int = 1
    launch: Path | None = None


@dataclass(frozen=True)
class Run:
    """A run as it was asked for.

    Attributes:
        recipe: folder of the recipe.
        output: folder of the run.
        start: the model to start from, as `from_pretrained` takes it.
        start_name: the same as it was written, which does not depend on where the recipe lies.
        seed: of every stage.
        rounds: of self-play.
        launch: accelerate's YAML file.
        overrides: stage, or "rounds" -> arguments.
    """

    recipe: Path
    output: Path
    start: str
    start_name: str
    seed: int = 0
    rounds: int = 1
    launch: Path | None = None
    overrides: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """One step of a run: a stage, an evaluation or a harvest.

    Attributes:
        name: its name and its folder in the run folder.
        command: `sft`, `grpo`, `eval` or `harvest`.
        config: its YAML file.
        folder: where it writes.
        model: the model it starts from; of a harvest, the folder of the RL stage.
        arguments: what is given beside model and folder.
        after: the steps that it depends on.
        start_name: the name of `model` where no step makes it.
        round: of self-play; `None` in a run that has only one.
    """

    name: str
    command: str
    config: Path
    folder: Path
    model: str
    arguments: tuple[str, ...] = ()
    after: tuple[Step, ...] = ()
    start_name: str = ""
    round: int | None = None

    @property
    def title(self) -> str:
        """Its name, with the round where there are several."""
        return self.name if self.round is None else f"{self.name} {self.round}"

    @property
    def complete(self) -> bool:
        """Whether the file that it writes last is there."""
        return (self.folder / _MARKERS.get(self.command, STAGE_FILE)).is_file()

    @property
    def trains(self) -> bool:
        """Whether it is a training stage."""
        return self.command in ("sft", "grpo")

    def words(self) -> list[str]:
        """Arguments of `python -m trl_rlsp`."""
        if self.command == "harvest":
            return ["harvest", self.model, "--output", str(self.folder / "demonstrations.jsonl"), *self.arguments]
        given = ["--model_name_or_path", self.model, "--output_dir", str(self.folder), *self.arguments]
        if self.trains and "--resume_from_checkpoint" not in self.arguments:
            given += ["--resume_from_checkpoint", "auto"]
        return [self.command, "--config", str(self.config), *given]

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Its fields, parsed: the YAML file's and the overrides."""
        config = [] if self.command == "harvest" else ["--config", str(self.config)]
        return settings_of([*config, *self.arguments])

    @cached_property
    def given(self) -> dict[str, Any]:
        """Its fields with the model that it starts from, without its folder."""
        return {**{n: v for n, v in self.settings.items() if n != "output_dir"}, "model_name_or_path": self.model}

    @cached_property
    def fingerprint(self) -> str:
        """Hash of its settings, of the model it starts from, and of the steps that it depends on."""
        kept = {n: v for n, v in self.settings.items() if n not in _OF_THE_RUN or n == "seed"}
        run = str(self.folder.parent)  # what comes before a path inside the run has no part in it
        kept = {n: v.removeprefix(run) if isinstance(v, str) else v for n, v in kept.items()}
        content = [self.command, kept, self.start_name, [step.fingerprint for step in self.after]]
        text = json.dumps(content, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def remember(self, processes: int = 1) -> None:
        """Write down the settings that the step is started with."""
        write_record(self.folder, self.command, self.given, self.fingerprint, processes=processes)

    def changes(self) -> str | None:
        """What has changed since its folder was begun; `None` if nothing has, or it was not begun."""
        before = read_record(self.folder)
        if before is None or before.get("fingerprint") == self.fingerprint:
            return None
        skipped = {"output_dir", *(["model_name_or_path"] if self.after else [])}
        names = sorted({*before["settings"], *self.given} - skipped)
        return ", ".join(differences(before["settings"], self.given, names)) or "what comes before it"


def parse_run(arguments: Sequence[str]) -> Run:
    """The settings of a run.

    Args:
        arguments: the recipe's folder or name, options, and overrides such as `--grpo.learning_rate 1e-5`.

    Raises:
        ConfigError: an argument that is not understood, or an override of what is a setting of the run.
        SourceError: a folder that is no recipe, or a name that no shipped recipe has.
    """
    own, overrides = split_overrides(arguments)
    given = parse_fields(RunArguments, own, "rlsp run")
    if given.rounds < 1:
        raise ConfigError(f"--rounds wants a number of at least 1, got {given.rounds}")
    recipe = find_recipe(given.recipe)
    for needed in NEEDED:
        if not (recipe / needed).is_file():
            raise SourceError(f"{str(recipe)!r} is no recipe folder: it has no {needed}")
    output = given.output_dir or Path("runs") / f"{recipe.resolve().name}-seed{given.seed}"
    for command in _COMMANDS:
        overrides[command][:0] = ["--seed", str(given.seed)]
    return Run(recipe, output, *_start(recipe, given.model), given.seed, given.rounds, given.launch, overrides)


def split_overrides(arguments: Sequence[str]) -> tuple[list[str], dict[str, list[str]]]:
    """Split `--STAGE.FIELD VALUE ...` off the arguments of `rlsp run`.

    Returns:
        The other arguments, and the overrides of each stage and of the rounds.

    Raises:
        ConfigError: a stage that does not exist, or a field that is a setting of the run.

    Example:
        >>> split_overrides(["recipe", "--seed", "1", "--grpo.alpha", "0.7", "--rounds.start=last"])[1]
        {'sft': [], 'grpo': ['--alpha', '0.7'], 'eval': [], 'rounds': ['--start', 'last']}
    """
    own: list[str] = []
    overrides: dict[str, list[str]] = {name: [] for name in (*_COMMANDS, "rounds")}
    place = own
    for word in arguments:
        flag, equals, value = word.partition("=")
        stage, dot, name = flag.removeprefix("--").partition(".")
        if not word.startswith("--"):
            place.append(word)
        elif not dot:
            place = own
            own.append(word)
        elif stage not in overrides or not name:
            raise ConfigError(
                f"cannot read {flag!r}: an override is --STAGE.FIELD VALUE with STAGE one of sft, grpo, eval, rounds"
            )
        elif option := _OF_THE_RUN.get(name.replace("-", "_")):
            raise ConfigError(
                f"{flag} would make the stages of one run disagree, and its table compare different things: "
                f"set it for the whole run with {option}"
            )
        else:
            place = overrides[stage]
            place += [f"--{name}", *([value] if equals else [])]
    return own, overrides


def _start(recipe: Path, given: str | None) -> tuple[str, str]:
    """The model that a run starts from: as it is loaded, and as it is named."""
    if given:
        return given, str(Path(given).resolve()) if Path(given).is_dir() else given
    first = recipe / ("sft.yaml" if (recipe / "sft.yaml").is_file() else "grpo.yaml")
    name = read_yaml(first).get("model_name_or_path")
    if not name:
        raise ConfigError(f"{first} names no model: set model_name_or_path there, or give --model")
    return (str(recipe / name) if (recipe / name).is_dir() else str(name)), str(name)


def plan(run: Run) -> list[Step]:
    """The steps of one round: evaluation of the start, SFT, its evaluation, RL, its evaluation."""
    steps: list[Step] = []

    def add(name: str, command: str, before: Step | None) -> Step:
        folder = run.output / name.replace(" ", "_")
        model, label = (str(before.folder), "") if before else (run.start, run.start_name)
        config, given = run.recipe / f"{command}.yaml", tuple(run.overrides[command])
        steps.append(Step(name, command, config, folder, model, given, (before,) if before else (), label))
        return steps[-1]

    add("eval start", "eval", None)
    trained = None
    if (run.recipe / "sft.yaml").is_file():
        trained = add("sft", "sft", None)
        add("eval SFT", "eval", trained)
    trained = add("rlsp", "grpo", trained)
    add("eval RLSP", "eval", trained)
    return steps


def refuse_changed(steps: Sequence[Step]) -> None:
    """Refuse to go on where a folder holds work that was done with other settings, or after other work.

    Raises:
        ConfigError: the first such step, what changed, and every folder that is stale.
    """
    stale = [(step, changed) for step in steps if (changed := step.changes()) is not None]
    if stale:
        step, changed = stale[0]
        folders = ", ".join(str(one.folder) for one, _ in stale)
        raise ConfigError(
            f"{step.folder} was made with other settings ({changed}): give another --output_dir, or delete what is "
            f"stale and made anew then: {folders}"
        )
