"""Where the problems and the demonstrations of a run came from, as the run wrote it down.

`rlsp run` leaves `settings.json` in the folder of each stage: the arguments of its command, the YAML file among them;
`rlsp eval` leaves its settings in `metrics.json`. Both are read back here as the dataclasses of `commands.arguments`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from trl_rlsp.errors import ConfigError, DataError, SourceError
from trl_rlsp.stages.arguments import DemonstrationArguments, ProblemArguments
from trl_rlsp.stages.parsing import parse_stage, read_yaml

Source = TypeVar("Source", bound=ProblemArguments)


def source_from(kind: type[Source], arguments: Sequence[str], given: Sequence[str] = ()) -> Source:
    """The data fields among the arguments of a stage.

    Args:
        kind: `ProblemArguments` or `DemonstrationArguments`.
        arguments: of a stage's command, `--config FILE` among them; fields of other dataclasses are passed over.
        given: further arguments, which win; all of them must be fields of `kind`.

    Raises:
        ConfigError: a field that does not exist, or a value of the wrong kind.
        SourceError: the YAML file is not there any more.
    """
    pairs = dict(_flags(arguments))
    config = pairs.pop("config", None)
    if config is not None and not Path(config).is_file():
        raise SourceError(
            f"the run was made with {config!r}, which is not there (looked from {Path.cwd()}): give it with --config, "
            "or the data set with --dataset"
        )
    values = {**(read_yaml(Path(config)) if config else {}), **pairs}
    names = {field.name for field in dataclasses.fields(kind)}
    own = [_argument(name, value) for name, value in values.items() if name in names and value is not None]
    parsed: Source = parse_stage((kind,), [*own, *given], "rlsp harvest")[0]
    return parsed


def _flags(arguments: Sequence[str]) -> list[tuple[str, str]]:
    """(name, value) of each `--name value`."""
    return [(a[2:], b) for a, b in pairwise(arguments) if a.startswith("--")]


def _argument(name: str, value: Any) -> str:
    return f"--{name}={json.dumps(value) if isinstance(value, Mapping) else value}"


def recorded(folder: Path) -> list[str] | None:
    """The arguments that a stage was started with, `None` if it left none.

    Raises:
        DataError: a `settings.json` that cannot be read.
    """
    path = folder / "settings.json"
    if not path.is_file():
        return None
    try:
        return [str(argument) for argument in json.loads(path.read_text(encoding="utf-8"))["arguments"]]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} cannot be read: give the data set with --dataset ({error!r})") from error


def problem_source(folder: Path, given: Sequence[str] = (), config: str | None = None) -> ProblemArguments | None:
    """The data set that the completions in `folder` were sampled for.

    Args:
        folder: of an RL stage, or of an evaluation.
        given: arguments such as `--dataset SOURCE`, which win.
        config: a YAML file to read instead of what the run wrote down.

    Returns:
        The source; `None` if neither the run nor the caller names one.

    Raises:
        ConfigError: a field or a value that cannot work.
        DataError: settings that cannot be read.
        SourceError: a YAML file that is not there.
    """
    if any(argument.partition("=")[0] == "--dataset" for argument in given):
        return source_from(ProblemArguments, [], given)
    arguments = ["--config", config] if config else recorded(folder) or _evaluated(folder) or []
    source = source_from(ProblemArguments, arguments, given)
    return source if source.dataset else None


def _evaluated(folder: Path) -> list[str] | None:
    path = folder / "metrics.json"
    if not path.is_file():
        return None
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))["settings"]
        values = {name: value for name, value in settings.items() if value is not None}
    except (ValueError, KeyError, AttributeError) as error:
        raise DataError(f"{path} cannot be read: give the data set with --dataset ({error!r})") from error
    flags = ([f"--{n}", json.dumps(v) if isinstance(v, dict) else str(v)] for n, v in values.items())
    return [argument for flag in flags for argument in flag]


def demonstration_source(stage: Path) -> tuple[DemonstrationArguments, int] | None:
    """What the SFT stage beside an RL stage was trained on, and its seed; `None` if there is none."""
    arguments = recorded(stage.parent / "sft")
    if arguments is None:
        return None
    seed = dict(_flags(arguments)).get("seed", "0")
    return source_from(DemonstrationArguments, arguments), int(seed)


def evaluation_sources(stage: Path) -> list[ProblemArguments]:
    """The data sets that the evaluations beside an RL stage used, each once."""
    # metrics.json first: it has what a preset stands for
    found = [_evaluated(folder) or recorded(folder) for folder in sorted(stage.parent.glob("eval_*"))]
    sources = [source_from(ProblemArguments, arguments) for arguments in found if arguments is not None]
    return [source for index, source in enumerate(sources) if source not in sources[:index]]


def held_out_source(name: str, style: str) -> ProblemArguments:
    """An evaluation set by its name.

    Args:
        name: a source of `load_problems`; `SOURCE@SPLIT` names a split.
        style: how generated problems are rendered.

    Raises:
        ConfigError: an empty name.
    """
    source, _, split = name.partition("@")
    if not source:
        raise ConfigError(f"--exclude wants a source or SOURCE@SPLIT, got {name!r}")
    return ProblemArguments(
        dataset=source,
        dataset_split=split or None,
        prompt_style=style if source.startswith("reasoning_gym:") else "task",
    )
