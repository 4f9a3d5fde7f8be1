"""Rounds of self-play: SFT -> RL -> harvest -> SFT on the harvest -> RL on new problems -> ...

Every round has a folder with the stages of an ordinary run and with YAML files of its own, so that each stage can also
be run alone. The demonstrations of round r are what RL of round r - 1 found, mixed with those that it came from; its
problems follow the solve rates of round r - 1.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from trl_rlsp.cli import read_yaml
from trl_rlsp.errors import ConfigError
from trl_rlsp.pipeline.pipeline import Stage, plan
from trl_rlsp.selfplay.sources import NEUTRAL_TEMPLATE
from trl_rlsp.stages.arguments import ProblemArguments
from trl_rlsp.stages.config import parse_stage

HARVEST_FILE = "demonstrations.jsonl"
COUNTS_FILE = "demonstrations.json"
MIXTURE_FILE = "mixture.jsonl"
PROBLEMS_FILE = "problems.jsonl"

PROBLEM_FIELDS = frozenset(field.name for field in dataclasses.fields(ProblemArguments))
REPLACED = {
    "sft": PROBLEM_FIELDS | {"demonstrations", "demonstration_template"},
    "grpo": PROBLEM_FIELDS,
}
"""Fields of a stage that say where its data come from; later rounds have their own."""


@dataclass(frozen=True)
class RoundSettings:
    """What happens between two rounds; the fields of `rounds.yaml` in a recipe folder.

    Args:
        start: the model that SFT starts from in each round: "base", the one of the first round (as in STaR, 2203.14465,
            and ReST-EM, 2312.06585, so that nothing drifts), or "last", the one that RL of the round before ended with.
        harvested_share: least share of harvested demonstrations among those of SFT; 1 leaves the others out.
        per_problem: harvested demonstrations of one problem, at most.
        prefer: "diverse" or "shortest".
        novelty: least share of n-grams that are new against the demonstrations of the same problem.
        solve_rate_low: problems solved more rarely are not kept.
        solve_rate_high: problems solved more often are not kept.
    """

    start: str = field(default="base", metadata={"help": "'base' or 'last'"})
    harvested_share: float = field(default=0.5, metadata={"help": "share of harvested demonstrations, above 0"})
    per_problem: int = field(default=2, metadata={"help": "demonstrations of one problem"})
    prefer: str = field(default="diverse", metadata={"help": "'diverse' or 'shortest'"})
    novelty: float = field(default=0.2, metadata={"help": "least share of new n-grams"})
    solve_rate_low: float = field(default=0.1, metadata={"help": "problems solved more rarely are not kept"})
    solve_rate_high: float = field(default=0.9, metadata={"help": "problems solved more often are not kept"})

    def __post_init__(self) -> None:
        if self.start not in ("base", "last"):
            raise ConfigError(f"start is 'base' or 'last', got {self.start!r}")

    def arguments(self) -> list[str]:
        """The settings as arguments of `rlsp harvest`."""
        pairs = [(f"--{name}", str(value)) for name, value in vars(self).items() if name != "start"]
        return [text for pair in pairs for text in pair]


def take_rounds(arguments: Sequence[str]) -> tuple[int, list[str], list[str]]:
    """Split `--rounds N` and `--rounds.FIELD VALUE` off the arguments of `rlsp run`.

    Returns:
        The number of rounds, arguments for `RoundSettings`, and the other arguments.

    Raises:
        ConfigError: no number of rounds, or a field without a value.

    Example:
        >>> take_rounds(["recipe", "--rounds", "2", "--rounds.start", "last", "--seed", "1"])
        (2, ['--start', 'last'], ['recipe', '--seed', '1'])
    """
    number, settings, rest = "1", [], []
    left: Iterator[str] = iter(arguments)
    for argument in left:
        name, equals, value = argument.partition("=")
        if name != "--rounds" and not name.startswith("--rounds."):
            rest.append(argument)
            continue
        value = value if equals else next(left, "")
        if name == "--rounds":
            number = value
        else:
            settings += [f"--{name.removeprefix('--rounds.')}", value]
    if not number.isdecimal() or int(number) < 1:
        raise ConfigError(f"--rounds wants a number of at least 1, got {number!r}")
    return int(number), settings, rest


def round_settings(recipe: Path, overrides: Sequence[str]) -> RoundSettings:
    """The settings of `rounds.yaml` in the recipe, if there is one, with overrides.

    Raises:
        ConfigError: a field or a value that cannot work.
    """
    file = recipe / "rounds.yaml"
    given = ["--config", str(file)] if file.is_file() else []
    settings: RoundSettings = parse_stage((RoundSettings,), [*given, *overrides], "rlsp run --rounds")[0]
    return settings


def plan_rounds(
    recipe: Path, output: Path, overrides: dict[str, list[str]], rounds: int, settings: RoundSettings
) -> list[Stage]:
    """The stages of several rounds; writes the YAML files of the rounds after the first.

    Args:
        recipe: folder with `sft.yaml`, `grpo.yaml`, `eval.yaml`.
        output: run folder; round r goes to `round-r` in it.
        overrides: arguments for each command.
        rounds: how many rounds.
        settings: what happens between two.

    Raises:
        ConfigError: a recipe without SFT, which has no use for a harvest.
    """
    if not (recipe / "sft.yaml").is_file():
        raise ConfigError(f"{recipe} has no sft.yaml: rounds need it to train on what they harvest")
    first = plan(recipe, output / "round-1", overrides)
    stages = [dataclasses.replace(stage, round=1) for stage in first]
    for number in range(2, rounds + 1):
        last = str(output / f"round-{number - 1}" / "rlsp")
        folder = output / f"round-{number}"
        stages.append(_harvest_stage(recipe, folder, number, last, settings, overrides))
        start = first[0].model if settings.start == "base" else last
        stages += _later_stages(recipe, folder, number, start, overrides)
    return stages


def _harvest_stage(
    recipe: Path, folder: Path, number: int, last: str, settings: RoundSettings, overrides: Mapping[str, Sequence[str]]
) -> Stage:
    seed = overrides["sft"][overrides["sft"].index("--seed") + 1]
    arguments = [*settings.arguments(), "--round", str(number), "--seed", seed]
    place = folder / "harvest"
    return Stage("harvest", "harvest", recipe / "grpo.yaml", place, last, tuple(arguments), COUNTS_FILE, round=number)


def _later_stages(
    recipe: Path, folder: Path, number: int, start: str, overrides: Mapping[str, Sequence[str]]
) -> list[Stage]:
    """The stages of a round after its harvest."""
    sources = {
        "sft": {
            "demonstrations": "file",
            "dataset": str(folder / "harvest" / MIXTURE_FILE),
            "demonstration_template": NEUTRAL_TEMPLATE,
            "system_prompt": "none",
        },
        "grpo": {"dataset": str(folder / "harvest" / PROBLEMS_FILE), "system_prompt": "none"},
    }
    configs = {command: _own_config(recipe, folder, command, source) for command, source in sources.items()}
    given = {command: _without_source(command, values) for command, values in overrides.items()}
    stages = []
    for stage in plan(recipe, folder, {command: list(values) for command, values in given.items()})[1:]:
        config = configs.get(stage.command, stage.config)
        model = start if stage.command == "sft" else stage.model
        stages.append(dataclasses.replace(stage, config=config, model=model, round=number))
    return stages


def _own_config(recipe: Path, folder: Path, command: str, source: Mapping[str, Any]) -> Path:
    """The recipe's YAML file with other data, written into the round's folder."""
    content = {n: v for n, v in read_yaml(recipe / f"{command}.yaml").items() if n not in REPLACED[command]}
    path = folder / f"{command}.yaml"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump({**content, **source}, sort_keys=False), encoding="utf-8")
    return path


def _without_source(command: str, overrides: Sequence[str]) -> tuple[str, ...]:
    pairs = zip(overrides[::2], overrides[1::2], strict=True)
    kept = (pair for pair in pairs if pair[0].removeprefix("--") not in REPLACED.get(command, ()))
    return tuple(text for pair in kept for text in pair)
