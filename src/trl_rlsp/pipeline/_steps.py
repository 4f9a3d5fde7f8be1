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
from trl_rlsp.stages import STAGE_FILE, differences, parse_stage, read_record, read_yaml, settings_of, write_record

OF_THE_RUN = {"model_name_or_path": "--model", "output_dir": "--output_dir", "seed": "--seed"}
"""Fields of a stage that are settings of the run -> the option that sets them for all stages."""

COMMANDS = ("sft", "grpo", "eval")


@dataclass
class RunArguments:
    """The settings of a run. Fields of a stage are overridden with --STAGE.FIELD VALUE."""

    recipe: Path = field(
        metadata={
            "positional": 1,
            "help": "folder with grpo.yaml, eval.yaml and perhaps sft.yaml, or a name that `rlsp recipes` lists",
        }
    )
    model: str | None = field(default=None, metadata={"help": "the model to start from; default the recipe's"})
    output_dir: Path | None = field(default=None, metadata={"help": "run folder; default runs/RECIPE-seedSEED"})
    seed: int = field(default=0, metadata={"help": "seed of every stage"})
    rounds: int = field(default=1, metadata={"help": "rounds of self-play, with --rounds.FIELD VALUE"})
    launch: Path | None = field(
        default=None,
        metadata={"help": "accelerate's YAML file for the training stages; default one process for each visible GPU"},
    )


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
    def marker(self) -> Path:
        """The file that is written last."""
        names = {"eval": "metrics.json", "harvest": "demonstrations.json"}
        return self.folder / names.get(self.command, STAGE_FILE)

    @property
    def complete(self) -> bool:
        """Whether its last file is there."""
        return self.marker.is_file()

    @property
    def trains(self) -> bool:
        """Whether it is a training stage."""
        return self.command in ("sft", "grpo")

    def words(self) -> list[str]:
        """Arguments of `python -m trl_rlsp`."""
        if self.command == "harvest":
            output = str(self.folder / "demonstrations.jsonl")
            return ["harvest", self.model, "--output", output, *self.arguments]
        given = ["--model_name_or_path", self.model, "--output_dir", str(self.folder), *self.arguments]
        if self.trains and "--resume_from_checkpoint" not in self.arguments:
            given += ["--resume_from_checkpoint", "auto"]
        return [self.command, "--config", str(self.config), *given]

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Its fields, parsed: the YAML file's and the overrides."""
        config = [] if self.command == "harvest" else ["--config", str(self.config)]
        return settings_of([*config, *self.arguments])

    @property
    def given(self) -> dict[str, Any]:
        """Its fields with the model that it starts from, without its folder."""
        return {**{n: v for n, v in self.settings.items() if n != "output_dir"}, "model_name_or_path": self.model}

    @cached_property
    def fingerprint(self) -> str:
        """Hash of its settings, of the model it starts from, and of the steps that it depends on."""
        kept = {n: v for n, v in self.settings.items() if n not in OF_THE_RUN or n == "seed"}
        kept = {name: _in_the_run(value, self.folder.parent) for name, value in kept.items()}
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
        skipped = ("output_dir",) if not self.after else ("output_dir", "model_name_or_path")
        old, new = (
            {n: v for n, v in values.items() if n not in skipped} for values in (before["settings"], self.given)
        )
        return ", ".join(differences(old, new)) or "what comes before it"


def _in_the_run(value: Any, folder: Path) -> Any:
    """A path inside the run's folder without what comes before it, any other value as it is."""
    text = str(value)
    return text.removeprefix(str(folder)) if isinstance(value, str) and text.startswith(str(folder)) else value


def parse_run(arguments: Sequence[str]) -> Run:
    """The settings of a run.

    Args:
        arguments: the recipe's folder or name, options, and overrides such as `--grpo.learning_rate 1e-5`.

    Raises:
        ConfigError: an argument that is not understood, or an override of what is a setting of the run.
        SourceError: a folder that is no recipe, or a name that no shipped recipe has.
    """
    own, overrides = split_overrides(arguments)
    described = (
        "Run all stages of a recipe: SFT, RL, evaluation before and after, report. Override a field of a stage with "
        "--STAGE.FIELD VALUE, e.g. --grpo.learning_rate 1e-5."
    )
    (given,) = parse_stage((RunArguments,), own, "rlsp run", description=described)
    if given.rounds < 1:
        raise ConfigError(f"--rounds wants a number of at least 1, got {given.rounds}")
    recipe = find_recipe(given.recipe)
    for needed in NEEDED:
        if not (recipe / needed).is_file():
            raise SourceError(f"{str(recipe)!r} is no recipe folder: it has no {needed}")
    output = given.output_dir or Path("runs") / f"{recipe.resolve().name}-seed{given.seed}"
    start, name = start_model(recipe, given.model)
    overrides = {
        key: ["--seed", str(given.seed), *words] if key in COMMANDS else words for key, words in overrides.items()
    }
    return Run(recipe, output, start, name, given.seed, given.rounds, given.launch, overrides)


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
    overrides: dict[str, list[str]] = {name: [] for name in (*COMMANDS, "rounds")}
    place = own
    for word in arguments:
        if not word.startswith("--"):
            place.append(word)
            continue
        flag, equals, value = word.partition("=")
        stage, dot, name = flag[2:].partition(".")
        if not dot:
            place = own
            own.append(word)
            continue
        if stage not in overrides or not name:
            raise ConfigError(
                f"cannot read {flag!r}: an override is --STAGE.FIELD VALUE with STAGE one of sft, grpo, eval, rounds"
            )
        if name.replace("-", "_") in OF_THE_RUN:
            option = OF_THE_RUN[name.replace("-", "_")]
            raise ConfigError(
                f"{flag} would make the stages of one run disagree, and its table compare different things: "
                f"set it for the whole run with {option}"
            )
        place = overrides[stage]
        place += [f"--{name}", *([value] if equals else [])]
    return own, overrides


def start_model(recipe: Path, given: str | None) -> tuple[str, str]:
    """The model that a run starts from: as it is loaded, and as it is named.

    Raises:
        ConfigError: neither the command nor the recipe's first training stage names one.
    """
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
        after = (before,) if before else ()
        config, given = run.recipe / f"{command}.yaml", tuple(run.overrides[command])
        steps.append(Step(name, command, config, folder, model, given, after, label))
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
