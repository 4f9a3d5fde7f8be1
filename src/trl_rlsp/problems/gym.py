"""Generated problems from reasoning-gym: `reasoning_gym:TASK?param=value&seed=1&size=500`.

Promises rows with the task's own entry as JSON, so that its scorer can be asked later, in a worker process.
Nothing here scores anything. reasoning-gym is imported inside the functions: it is optional and loads sympy.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import difflib
import json
import types
import typing
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any, Literal
from urllib.parse import unquote

from trl_rlsp.errors import ConfigError, MissingDependencyError
from trl_rlsp.problems.disk_cache import cached_rows

PREFIX = "reasoning_gym:"
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


def parse_source(source: str, *, seed: int = 0) -> tuple[str, dict[str, Any]]:
    """Take `reasoning_gym:TASK?param=value` apart.

    Args:
        source: the source; values may be percent-encoded, lists are separated by commas.
        seed: the generator's seed where the source gives none.

    Returns:
        The task's name and its parameters, typed as the task's configuration declares them.

    Raises:
        MissingDependencyError: reasoning-gym is not installed.
        ConfigError: an unknown task or parameter, or a value of the wrong type.
    """
    task, _, query = source.removeprefix(PREFIX).partition("?")
    config_class = _config_class(task)
    types_of = typing.get_type_hints(config_class)
    names = [field.name for field in dataclasses.fields(config_class) if field.init]
    params: dict[str, Any] = {"seed": seed}
    for part in filter(None, query.split("&")):
        name, equals, text = part.partition("=")
        if name not in names:
            raise ConfigError(
                f"{task} has no parameter {name!r}{_suggestion(name, names)}; it has {', '.join(sorted(names))}"
            )
        try:
            if not equals:
                raise ValueError("no value")
            params[name] = _typed(unquote(text), types_of[name])
        except (ValueError, TypeError) as error:
            raise ConfigError(f"{task} wants {name}={_type_name(types_of[name])}, got {part!r} ({error})") from error
    return task, params


def _config_class(task: str) -> type:
    datasets = _registry()
    if task not in datasets:
        raise ConfigError(
            f"reasoning-gym has no task {task!r}{_suggestion(task, list(datasets))}; "
            f"it has {', '.join(sorted(datasets))}"
        )
    return datasets[task][1]


def _registry() -> dict[str, tuple[type, type]]:
    try:
        import reasoning_gym  # noqa: F401  (importing it registers the tasks)
        from reasoning_gym.factory import DATASETS
    except ImportError as error:
        raise MissingDependencyError(
            f'generated tasks need reasoning-gym ({error}): install it with pip install "trl-rlsp[gym]"'
        ) from error
    return DATASETS


def _suggestion(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _type_name(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation).replace("typing.", "")


def _typed(text: str, annotation: Any) -> Any:
    """Read `text` as the type a configuration field is annotated with."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        if type(None) in arguments and text.lower() in ("none", "null"):
            return None
        return _first_fit(text, [option for option in arguments if option is not type(None)])
    if annotation is bool:
        if text.lower() not in ("true", "false", "1", "0", "yes", "no"):
            raise ValueError("must be true or false")
        return text.lower() in ("true", "1", "yes")
    if annotation in (int, float, str):
        return annotation(text)
    if origin is Literal:
        return next(value for value in arguments if str(value) == text)
    sequence = origin or annotation
    if sequence in (list, tuple, collections.abc.Sequence):
        items = [item for item in text.split(",") if item]
        inner = [argument for argument in arguments if argument is not Ellipsis] or [str]
        values = [_typed(item, inner[min(index, len(inner) - 1)]) for index, item in enumerate(items)]
        return values if sequence is not tuple else tuple(values)
    if dataclasses.is_dataclass(annotation):
        raise ValueError("which a source string cannot hold")
    return json.loads(text)


def _first_fit(text: str, options: list[Any]) -> Any:
    for option in options[:-1]:
        try:
            return _typed(text, option)
        except ValueError:
            continue
    return _typed(text, options[-1])
