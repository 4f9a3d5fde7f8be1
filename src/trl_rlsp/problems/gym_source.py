"""Task and parameters of `reasoning_gym:TASK?param=value`, typed by the task's own configuration.

reasoning-gym is imported inside the functions: it is optional and loads sympy.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import difflib
import json
import types
import typing
from typing import Any, Literal
from urllib.parse import unquote

from trl_rlsp.errors import ConfigError, MissingDependencyError

PREFIX = "reasoning_gym:"


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
