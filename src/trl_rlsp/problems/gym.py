"""Generated problems from reasoning-gym: `reasoning_gym:TASK?param=value&seed=1&size=500`.

Promises rows with the task's own entry as JSON, so that its scorer can be asked later, in a worker process.
Nothing here scores anything. reasoning-gym is imported inside the functions: it is optional and loads sympy.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any, Literal

from trl_rlsp.errors import ConfigError
from trl_rlsp.problems.disk_cache import cached_rows
from trl_rlsp.problems.gym_source import parse_source

PromptStyle = Literal["task", "compact"]


def _compact_countdown(metadata: Mapping[str, Any]) -> str:
    return f"{' '.join(map(str, metadata['numbers']))} : {metadata['target']}"


def _countdown_key(metadata: Mapping[str, Any]) -> str:
    return f"{' '.join(map(str, sorted(metadata['numbers'])))} : {metadata['target']}"


# Per task: metadata -> something. Add to these to teach the package another task.
COMPACT_PROMPTS: dict[str, Callable[[Mapping[str, Any]], str]] = {"countdown": _compact_countdown}
PROBLEM_KEYS: dict[str, Callable[[Mapping[str, Any]], str]] = {"countdown": _countdown_key}
LEVELS: dict[str, Callable[[Mapping[str, Any]], str]] = {"countdown": lambda metadata: str(len(metadata["numbers"]))}


def gym_rows(
    source: str, *, seed: int = 0, prompt_style: PromptStyle = "task", at_most: int | None = None
) -> list[dict[str, Any]]:
    """Generate the problems of a source.

    Two seeds closer together than `size` share problems: reasoning-gym draws problem `i` from `seed + i`.
    Take seeds far apart for training and evaluation, and `load_problems(..., exclude=...)` to be sure.

    Args:
        source: `reasoning_gym:TASK?param=value&seed=1&size=500`.
        seed: the generator's seed where the source gives none.
        prompt_style: `"task"` asks in the task's own words, `"compact"` in the shortest form that holds the
            problem.
        at_most: generate no more than this many.

    Returns:
        Rows with `problem`, `solution` (an answer the task gives), `task` (JSON of name and entry), and
        `level` where the task has one.

    Raises:
        MissingDependencyError: reasoning-gym is not installed.
        ConfigError: unknown task or parameter, values the task refuses, no compact form.
    """
    task, params = parse_source(source, seed=seed)
    if prompt_style == "compact" and task not in COMPACT_PROMPTS:
        raise ConfigError(
            f"prompt_style='compact' is known for {', '.join(COMPACT_PROMPTS)}, got {task}; use prompt_style='task'"
        )
    return [_row(task, entry, prompt_style) for entry in _entries(task, params, at_most)]


def _entries(task: str, params: dict[str, Any], at_most: int | None) -> list[dict[str, Any]]:
    """The task's entries as JSON keeps them, from the cache where they were made before."""

    def make() -> list[dict[str, Any]]:
        return [json.loads(json.dumps(entry, default=_plain)) for entry in _generate(task, params, at_most)]

    if params["seed"] is None:  # asked for problems that nobody can foresee
        return make()
    versions = {package: version(package) for package in ("reasoning-gym", "sympy")}
    return cached_rows({"task": task, "params": params, "at_most": at_most, "versions": versions}, make)


def _row(task: str, entry: Mapping[str, Any], prompt_style: PromptStyle) -> dict[str, Any]:
    metadata = entry["metadata"]
    row = {
        "problem": COMPACT_PROMPTS[task](metadata) if prompt_style == "compact" else entry["question"],
        "solution": "" if entry["answer"] is None else str(entry["answer"]),
        "task": json.dumps({"name": task, "entry": entry}, ensure_ascii=False),
    }
    if task in LEVELS:
        row["level"] = LEVELS[task](metadata)
    return row


def _generate(task: str, params: dict[str, Any], at_most: int | None) -> list[dict[str, Any]]:
    import reasoning_gym

    try:
        dataset = reasoning_gym.create_dataset(task, **params)
    except (AssertionError, ValueError, TypeError) as error:
        raise ConfigError(f"{task} refuses the parameters {params}: {error}") from error
    wanted = len(dataset) if at_most is None else min(len(dataset), at_most)
    if wanted < 1:
        raise ConfigError(f"{task} must generate at least one problem, got size={params.get('size')}")
    entries: list[dict[str, Any]] = []
    failures, index = 0, 0
    while len(entries) < wanted:
        try:
            entries.append(dataset[index])
        except (ValueError, AssertionError) as error:
            # Some generators give up on an unlucky index; the next one takes its place.
            failures += 1
            if failures > max(20, wanted):
                raise ConfigError(
                    f"{task} cannot generate {wanted} problems with {params}: {failures} of {index + 1} "
                    f"tries failed ({error}); widen its ranges"
                ) from error
        index += 1
    return entries


def _plain(value: Any) -> Any:
    """What JSON holds in place of a value it does not know."""
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=repr)
    if hasattr(value, "tolist"):
        return value.tolist()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return str(value)
