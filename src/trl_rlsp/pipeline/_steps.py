"""The steps of a run: their arguments, their dependencies, and whether their folders are up to date.

A step's fingerprint is a hash of its parsed settings and of the steps that it depends on: a changed comment has no
effect, and a change upstream makes every later step stale.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from trl_rlsp import stages
from trl_rlsp.errors import ConfigError, SourceError
from trl_rlsp.files import atomic_write
from trl_rlsp.pipeline._shipped import NEEDED, find_recipe
from trl_rlsp.selfplay import MIXTURE_FILE, NEUTRAL_TEMPLATE, PROBLEMS_FILE, Selection
from trl_rlsp.stages import option

# fields of a stage that belong to the run -> the option that sets them for all stages
_OF_THE_RUN = {"model_name_or_path": "--model", "output_dir": "--output_dir", "seed": "--seed"}
OWN = "own.yaml"  # the recipe's SFT on what RL found
_STAGES = ("sft", "grpo", "eval", "own")
# the file that a step writes last; `stage.json` for a training stage
_MARKERS = {"eval": "metrics.json", "harvest": "demonstrations.json"}
# fields of a stage that define its data; later rounds have their own
_SOURCE = {field.name for field in fields(stages.ProblemArguments)} | {"demonstrations", "demonstration_template"}


@dataclass
class Run:
    """Run all stages of a recipe: SFT, RL, SFT on what RL found, evaluations, report. Override a field of a stage with
    --STAGE.FIELD VALUE, e.g. --grpo.learning_rate 1e-5."""

    recipe: Path = option(
        help="folder with grpo.yaml, eval.yaml and optionally sft.yaml, own.yaml, or a name", positional=1
    )
    model: str | None = option(None, "the model to start from; default: the recipe's")
    output_dir: Path | None = option(None, "run folder; default: runs/RECIPE-seedSEED")
    seed: int = option(0, "seed of every stage")
    rounds: int = option(1, "rounds of self-play, with --rounds.FIELD VALUE")
    launch: Path | None = option(None, "accelerate's YAML file for training; default: one process per visible GPU")
    output: Path = field(init=False)
    overrides: dict[str, list[str]] = field(init=False)  # stage, or "rounds" -> arguments

    @cached_property
    def start(self) -> tuple[str, str]:
        """The model to start from, as a path for `from_pretrained` and as a name that is independent of the folder."""
        if self.model:
            return self.model, str(Path(self.model).resolve()) if Path(self.model).is_dir() else self.model
        first = self.recipe / ("sft.yaml" if (self.recipe / "sft.yaml").is_file() else "grpo.yaml")
        name = stages.read_yaml(first).get("model_name_or_path")
        if not name:
            raise ConfigError(f"{first} names no model: set model_name_or_path there, or give --model")
        return (str(self.recipe / name) if (self.recipe / name).is_dir() else str(name)), str(name)


@dataclass(frozen=True)
class Step:
    """One step of a run."""

    title: str  # its name, with the number of its round if there are several
    command: str  # `sft`, `grpo`, `eval` or `harvest`
    config: Path
    folder: Path
    model: str  # the model that it starts from; for a harvest, the folder of the RL stage
    arguments: tuple[str, ...] = ()  # other than model and folder
    after: tuple[Step, ...] = ()  # the steps that it depends on
    start_name: str = ""  # the name of `model` if no step writes it

    @property
    def complete(self) -> bool:
        """Whether the file that it writes last exists."""
        return (self.folder / _MARKERS.get(self.command, stages.STAGE_FILE)).is_file()

    @property
    def trains(self) -> bool:
        """Whether it is a training stage."""
        return self.command in ("sft", "grpo")

    def words(self) -> list[str]:
        """The words after `rlsp`."""
        if self.command == "harvest":
            return ["harvest", self.model, "--output", str(self.folder / "demonstrations.jsonl"), *self.arguments]
        given = ["--model_name_or_path", self.model, "--output_dir", str(self.folder), *self.arguments]
        if self.trains and "--resume_from_checkpoint" not in self.arguments:
            given += ["--resume_from_checkpoint", "auto"]
        return [self.command, "--config", str(self.config), *given]

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Its parsed fields: those of the YAML file and the overrides."""
        config = [] if self.command == "harvest" else ["--config", str(self.config)]
        return stages.settings_of([*config, *self.arguments])

    @cached_property
    def given(self) -> dict[str, Any]:
        """Its fields, with the model that it starts from and without its folder."""
        return {**{n: v for n, v in self.settings.items() if n != "output_dir"}, "model_name_or_path": self.model}

    @cached_property
    def fingerprint(self) -> str:
        """Hash of its settings, the model that it starts from, and the steps that it depends on."""
        run = str(self.folder.parent)  # paths inside the run are hashed relative to it
        kept = {n: v.removeprefix(run) if isinstance(v, str) else v for n, v in self.settings.items()}
        kept = {n: v for n, v in kept.items() if n not in _OF_THE_RUN or n == "seed"}
        content = [self.command, kept, self.start_name, [step.fingerprint for step in self.after]]
        return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]

    def remember(self, processes: int = 1) -> None:
        """Record its settings in its folder."""
        stages.write_record(self.folder, self.command, self.given, self.fingerprint, processes=processes)

    def changes(self) -> str | None:
        """The settings that have changed since its folder was created; `None` if there are none, or no folder."""
        before = stages.read_record(self.folder)
        if before is None or before.get("fingerprint") == self.fingerprint:
            return None
        skipped = ("output_dir", "model_name_or_path") if self.after else ("output_dir",)
        names = sorted({*before["settings"], *self.given}.difference(skipped))
        return ", ".join(stages.differences(before["settings"], self.given, names)) or "an earlier step"


def parse_run(arguments: Sequence[str], prog: str = "rlsp run", also: Iterable[str] = ()) -> Run:
    """The settings of a run: the recipe's folder or name, options, and overrides such as `--grpo.learning_rate 1e-5`.

    A ConfigError for an invalid argument (`also` has more names to suggest), a SourceError for an unknown recipe.
    """
    own, overrides = split_overrides(arguments)
    of_stages = (f"{kind}.{name}" for kind in stages.KINDS for name in stages.fields_of(kind))
    run = stages.parse_fields(Run, own, prog, also=itertools.chain(also, of_stages))
    if run.rounds < 1:
        raise ConfigError(f"--rounds is a number of at least 1, got {run.rounds}")
    run.recipe = find_recipe(run.recipe)
    if lacking := [needed for needed in NEEDED if not (run.recipe / needed).is_file()]:
        raise SourceError(f"{str(run.recipe)!r} is not a recipe folder: it has no {lacking[0]}")
    run.output = run.output_dir or Path("runs") / f"{run.recipe.resolve().name}-seed{run.seed}"
    run.overrides = {n: ["--seed", str(run.seed), *w] if n in _STAGES else w for n, w in overrides.items()}
    _ = run.start  # raises an error if there is none
    return run


def split_overrides(arguments: Sequence[str]) -> tuple[list[str], dict[str, list[str]]]:
    """The arguments of `rlsp run` itself, and the overrides (`--STAGE.FIELD VALUE`) of each stage and of the rounds."""
    own: list[str] = []
    overrides: dict[str, list[str]] = {name: [] for name in (*_STAGES, "rounds")}
    for option_, words in stages.options_of(arguments).items():
        stage, dot, name = option_.partition(".")
        if not dot:
            own += [f"--{option_}", *words] if option_ else words
        elif stage not in overrides or not name:
            rule = "an override is --STAGE.FIELD VALUE with STAGE one of sft, grpo, own, eval, rounds"
            raise ConfigError(f"cannot read '--{option_}': {rule}")
        elif for_all := _OF_THE_RUN.get(name):
            raise ConfigError(f"--{option_} would make the stages disagree: set it for the whole run with {for_all}")
        else:
            overrides[stage] += [f"--{name}", *words]
    return own, overrides


def plan(run: Run, output: Path | None = None) -> list[Step]:
    """The steps of a run, each training stage with its evaluation: the start, SFT, RL, and SFT on what RL found."""
    before: Step | None = None
    steps: list[Step] = []
    trained = [("sft", "sft"), ("eval SFT", "eval")] if (run.recipe / "sft.yaml").is_file() else []
    for name, command in [("eval start", "eval"), *trained, ("rlsp", "grpo"), ("eval RLSP", "eval")]:
        folder = (output or run.output) / name.replace(" ", "_")
        model, label = (str(before.folder), "") if before else run.start
        config, given = run.recipe / f"{command}.yaml", tuple(run.overrides[command])
        steps.append(Step(name, command, config, folder, model, given, (before,) if before else (), label))
        before = steps[-1] if steps[-1].trains else before
    return steps + (_own_steps(run, before) if before and (run.recipe / OWN).is_file() and run.rounds == 1 else [])


def _own_steps(run: Run, rl: Step) -> list[Step]:
    """SFT of the model from RL on its own right completions (rejection sampling, as in DeepSeek-R1, 2501.12948, section
    2.3.3); rounds learn from the harvest anyway."""
    folder, seed = rl.folder.parent, ("--seed", str(run.seed))
    harvest = Step("harvest", "harvest", rl.config, folder / "harvest", str(rl.folder), seed, (rl,))
    given = ("--dataset", str(harvest.folder / "demonstrations.jsonl"), *run.overrides["own"])
    own = Step("own", "sft", run.recipe / OWN, folder / "own", str(rl.folder), given, (harvest, rl))
    judge = tuple(run.overrides["eval"])
    after = Step("eval own", "eval", run.recipe / "eval.yaml", folder / "eval_own", str(own.folder), judge, (own,))
    return [harvest, own, after]


def refuse_changed(steps: Sequence[Step]) -> None:
    """Raise a ConfigError if a step's folder was written with other settings, or after other steps."""
    if stale := [(step, changed) for step in steps if (changed := step.changes()) is not None]:
        raise ConfigError(
            f"{stale[0][0].folder} was made with other settings ({stale[0][1]}): give another --output_dir, or delete "
            f"the stale folders to run their steps again: {', '.join(str(step.folder) for step, _ in stale)}"
        )


@dataclass(kw_only=True)
class RoundSettings(Selection):
    """The settings between two rounds of self-play: the fields of `rounds.yaml` in a recipe folder.

    Starting each round from "base", as in STaR (2203.14465) and ReST-EM (2312.06585), prevents drift.
    """

    start: str = option("base", 'each SFT starts from the first round\'s start ("base") or the last RL model ("last")')

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.start not in ("base", "last"):
            raise ConfigError(f"start is 'base' or 'last', got {self.start!r}")

    def arguments(self) -> list[str]:
        """The arguments of `rlsp harvest`."""
        return [word for name, value in vars(self).items() if name != "start" for word in (f"--{name}", str(value))]


def round_settings(recipe: Path, overrides: Sequence[str]) -> RoundSettings:
    """The settings of the recipe's `rounds.yaml`, if there is one, with overrides."""
    file = recipe / "rounds.yaml"
    given = ["--config", str(file)] if file.is_file() else []
    return stages.parse_fields(RoundSettings, [*given, *overrides], "rlsp run --rounds")


def plan_rounds(run: Run) -> list[Step]:
    """The steps of several rounds: SFT -> RL -> harvest -> SFT on the harvest -> RL on new problems -> ...

    Round r goes to `round-r` in the run's folder. This writes the YAML files of all rounds but the first, so that each
    stage can also be run alone. Their demonstrations are those harvested from RL of the previous round, mixed with
    earlier ones; their problems are chosen by its solve rates.
    """
    if not (run.recipe / "sft.yaml").is_file():
        raise ConfigError(f"{run.recipe} has no sft.yaml: rounds need it to train on what they harvest")
    settings = round_settings(run.recipe, run.overrides["rounds"])
    steps = [replace(step, title=f"{step.title} 1") for step in plan(run, run.output / "round-1")]
    start = steps[0]
    for number in range(2, run.rounds + 1):
        folder = run.output / f"round-{number}" / "harvest"
        last = next(step for step in reversed(steps) if step.command == "grpo")
        given = (*settings.arguments(), "--round", str(number), "--seed", str(run.seed))
        config, model = run.recipe / "grpo.yaml", str(last.folder)
        harvest = Step(f"harvest {number}", "harvest", config, folder, model, given, (last,))
        steps += [harvest, *_later_steps(run, number, harvest, start if settings.start == "base" else last)]
    return steps


def _later_steps(run: Run, number: int, harvest: Step, start: Step) -> list[Step]:
    """The steps after a harvest; the training stages use the recipe's YAML files with other data."""
    mixture = {"demonstrations": "file", "demonstration_template": NEUTRAL_TEMPLATE}
    sources = {
        "sft": {**mixture, "dataset": str(harvest.folder / MIXTURE_FILE), "system_prompt": "none"},
        "grpo": {"dataset": str(harvest.folder / PROBLEMS_FILE), "system_prompt": "none"},
    }
    made: dict[str, Step] = {}
    for step in plan(run, harvest.folder.parent)[1:]:
        new = replace(step, title=f"{step.title} {number}", after=tuple(made[one.title] for one in step.after))
        if step.command in sources:
            own = {n: v for n, v in stages.read_yaml(step.config).items() if n not in _SOURCE}
            config = step.folder.parent / step.config.name
            atomic_write(config, yaml.safe_dump({**own, **sources[step.command]}, sort_keys=False))
            given = stages.options_of(step.arguments)
            kept = tuple(word for n, words in given.items() if n and n not in _SOURCE for word in (f"--{n}", *words))
            new = replace(new, config=config, arguments=kept)
        if step.command == "sft":
            model, after = (str(start.folder), (harvest, start)) if start.trains else (start.model, (harvest,))
            new = replace(new, model=model, start_name=start.start_name, after=after)
        made[step.title] = new
    return list(made.values())
