"""Rounds of self-play: SFT -> RL -> harvest -> SFT on the harvest -> RL on new problems -> ...

Every round has a folder with the stages of an ordinary run and with YAML files of its own, so that each stage can also
be run alone. The demonstrations of round r are what RL of round r - 1 found, mixed with those that it came from; its
problems follow the solve rates of round r - 1.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from trl_rlsp.errors import ConfigError
from trl_rlsp.files import atomic_write
from trl_rlsp.pipeline._steps import Run, Step, plan
from trl_rlsp.selfplay import NEUTRAL_TEMPLATE
from trl_rlsp.stages import ProblemArguments, parse_stage, read_yaml

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

    start: str = "base"
    harvested_share: float = 0.5
    per_problem: int = 2
    prefer: str = "diverse"
    novelty: float = 0.2
    solve_rate_low: float = 0.1
    solve_rate_high: float = 0.9

    def __post_init__(self) -> None:
        if self.start not in ("base", "last"):
            raise ConfigError(f"start is 'base' or 'last', got {self.start!r}")

    def arguments(self) -> list[str]:
        """The settings as arguments of `rlsp harvest`."""
        pairs = [(f"--{name}", str(value)) for name, value in vars(self).items() if name != "start"]
        return [text for pair in pairs for text in pair]


def round_settings(recipe: Path, overrides: Sequence[str]) -> RoundSettings:
    """The settings of `rounds.yaml` in the recipe, if there is one, with overrides.

    Raises:
        ConfigError: a field or a value that cannot work.
    """
    file = recipe / "rounds.yaml"
    given = ["--config", str(file)] if file.is_file() else []
    settings: RoundSettings = parse_stage((RoundSettings,), [*given, *overrides], "rlsp run --rounds")[0]
    return settings


def plan_rounds(run: Run) -> list[Step]:
    """The steps of several rounds; writes the YAML files of the rounds after the first.

    Args:
        run: with its number of rounds; round r goes to `round-r` in its folder.

    Raises:
        ConfigError: a recipe without SFT, which has no use for a harvest.
    """
    if not (run.recipe / "sft.yaml").is_file():
        raise ConfigError(f"{run.recipe} has no sft.yaml: rounds need it to train on what they harvest")
    settings = round_settings(run.recipe, run.overrides["rounds"])
    steps = [
        dataclasses.replace(step, round=1) for step in plan(dataclasses.replace(run, output=run.output / "round-1"))
    ]
    start = steps[0]
    for number in range(2, run.rounds + 1):
        folder = run.output / f"round-{number}"
        last = next(step for step in reversed(steps) if step.command == "grpo")
        given = (*settings.arguments(), "--round", str(number), "--seed", str(run.seed))
        place = folder / "harvest"
        harvest = Step(
            "harvest", "harvest", run.recipe / "grpo.yaml", place, str(last.folder), given, (last,), round=number
        )
        steps.append(harvest)
        steps += _later_steps(run, folder, number, harvest, start if settings.start == "base" else last)
    return steps


def _later_steps(run: Run, folder: Path, number: int, harvest: Step, start: Step) -> list[Step]:
    """The steps of a round after its harvest."""
    sources = {
        "sft": {
            "demonstrations": "file",
            "dataset": str(folder / "harvest" / MIXTURE_FILE),
            "demonstration_template": NEUTRAL_TEMPLATE,
            "system_prompt": "none",
        },
        "grpo": {"dataset": str(folder / "harvest" / PROBLEMS_FILE), "system_prompt": "none"},
    }
    configs = {command: _own_config(run.recipe, folder, command, source) for command, source in sources.items()}
    made: dict[str, Step] = {}
    for step in plan(dataclasses.replace(run, output=folder))[1:]:
        arguments = _without_source(step.command, step.arguments)
        new = dataclasses.replace(step, arguments=arguments, round=number)
        if step.command in configs:
            new = dataclasses.replace(new, config=configs[step.command])
        if step.command == "sft":
            model = start.model if start.command == "eval" else str(start.folder)
            after = (harvest,) if start.command == "eval" else (harvest, start)
            new = dataclasses.replace(new, model=model, start_name=start.start_name, after=after)
        else:
            new = dataclasses.replace(new, after=tuple(made[one.name] for one in step.after))
        made[step.name] = new
    return list(made.values())


def _own_config(recipe: Path, folder: Path, command: str, source: Mapping[str, Any]) -> Path:
    """The recipe's YAML file with other data, written into the round's folder."""
    content = {n: v for n, v in read_yaml(recipe / f"{command}.yaml").items() if n not in REPLACED[command]}
    path = folder / f"{command}.yaml"
    atomic_write(path, yaml.safe_dump({**content, **source}, sort_keys=False))
    return path


def _without_source(command: str, arguments: Sequence[str]) -> tuple[str, ...]:
    """Arguments without those that say where the data come from."""
    kept: list[str] = []
    keep = True
    for word in arguments:
        if word.startswith("--"):
            keep = word[2:].partition("=")[0] not in REPLACED.get(command, ())
        if keep:
            kept.append(word)
    return tuple(kept)
