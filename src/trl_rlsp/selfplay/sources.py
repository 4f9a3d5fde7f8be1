"""Where the problems and the demonstrations of a run came from, as the run wrote it down.

Every stage leaves `settings.json` in its folder, with paths that do not depend on the current folder; `rlsp eval`
leaves its settings in `metrics.json`. Both are read back here as the dataclasses of `trl_rlsp.stages.arguments`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from trl_rlsp.errors import ConfigError, DataError
from trl_rlsp.files import read_json
from trl_rlsp.stages import DemonstrationArguments, ProblemArguments, parse_stage, read_record, settings_of
from trl_rlsp.text import read

NEUTRAL_TEMPLATE = "{reasoning}\n\n\\boxed{{answer}}"
"""The template under which rows with a whole completion as their reasoning become that completion again."""

Source = TypeVar("Source", bound=ProblemArguments)


def source_from(kind: type[Source], settings: Mapping[str, Any], given: Sequence[str] = ()) -> Source:
    """The data fields among the settings of a stage.

    Args:
        kind: `ProblemArguments` or `DemonstrationArguments`.
        settings: of a stage; fields of other dataclasses are passed over.
        given: arguments, which win; all of them must be fields of `kind`.

    Raises:
        ConfigError: a field that does not exist, or a value of the wrong kind.
    """
    names = {field.name for field in dataclasses.fields(kind)}
    own = [_argument(name, value) for name, value in settings.items() if name in names and value is not None]
    parsed: Source = parse_stage((kind,), [*own, *given], "rlsp harvest")[0]
    return parsed


def _argument(name: str, value: Any) -> str:
    return f"--{name}={json.dumps(value) if isinstance(value, Mapping) else value}"


def recorded(folder: Path) -> dict[str, Any] | None:
    """The settings that a stage was started with, `None` if it left none.

    Raises:
        DataError: a `settings.json` that cannot be read.
    """
    try:
        record = read_record(folder)
    except DataError as error:
        raise DataError(f"{error}; give the data set with --dataset") from error
    return record["settings"] if record else None


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
    """
    if any(argument.partition("=")[0] == "--dataset" for argument in given):
        return source_from(ProblemArguments, {}, given)
    settings = settings_of(["--config", config]) if config else recorded(folder) or _evaluated(folder) or {}
    source = source_from(ProblemArguments, settings, given)
    return source if source.dataset else None


def _evaluated(folder: Path) -> dict[str, Any] | None:
    path = folder / "metrics.json"
    if not path.is_file():
        return None
    try:
        settings = read_json(path)["settings"]
        return {name: value for name, value in settings.items() if value is not None}
    except (ValueError, KeyError, AttributeError) as error:
        raise DataError(f"{path} cannot be read: give the data set with --dataset ({error!r})") from error


def demonstration_source(stage: Path) -> tuple[DemonstrationArguments, int] | None:
    """What the SFT stage beside an RL stage was trained on, and its seed; `None` if there is none."""
    settings = recorded(stage.parent / "sft")
    if settings is None:
        return None
    return source_from(DemonstrationArguments, settings), int(settings.get("seed", 0))


def evaluation_sources(stage: Path) -> list[ProblemArguments]:
    """The data sets that the evaluations beside an RL stage used, each once."""
    # metrics.json first: it has what a preset stands for
    found = [_evaluated(folder) or recorded(folder) for folder in sorted(stage.parent.glob("eval_*"))]
    sources = [source_from(ProblemArguments, settings) for settings in found if settings is not None]
    return [source for index, source in enumerate(sources) if source not in sources[:index]]


def demonstration_rows(source: DemonstrationArguments, seed: int) -> list[dict[str, Any]]:
    """Demonstrations as an SFT stage saw them.

    Args:
        source: its data fields.
        seed: its seed, which decides the searches that were written.

    Returns:
        Rows `prompt` (text or messages), `reasoning` (the whole completion) and `answer`.
    """
    rows = []
    for row in source.load_rows(seed):
        if "messages" in row:
            prompt, completion = row["messages"][:-1], row["messages"][-1]["content"]
        else:
            prompt, completion = row["prompt"], row["completion"]
            completion = completion if isinstance(completion, str) else completion[-1]["content"]
        answer = read(completion).answer
        rows.append({"prompt": prompt, "reasoning": completion, "answer": (answer or "").strip()})
    return rows


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
