"""Generated problems from reasoning-gym: `reasoning_gym:TASK?param=value&seed=1&size=500`.

A row stores the task's own entry as JSON, so that its scorer can be called later, in a worker process. reasoning-gym is
imported inside functions, because it is optional and loads sympy.
"""

from __future__ import annotations

import collections.abc
import contextlib
import dataclasses
import hashlib
import json
import time
import types
import typing
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any, Literal
from urllib.parse import unquote

from trl_rlsp.errors import ConfigError, MissingDependencyError, did_you_mean
from trl_rlsp.problems._disk_cache import DiskCache, cache_folder

PREFIX = "reasoning_gym:"
PromptStyle = Literal["task", "compact"]

WORTH_STORING_S = 1.0  # seconds; problems that took longer to generate are stored on disk
WORDS: dict[Any, dict[str, Any]] = {
    bool: {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False},
    types.NoneType: {"none": None, "null": None},
}

# Functions of a task's metadata, by task. Add entries to support another task.
PerTask = dict[str, Callable[[Mapping[str, Any]], str]]
COMPACT_PROMPTS: PerTask = {"countdown": lambda m: f"{' '.join(map(str, m['numbers']))} : {m['target']}"}
PROBLEM_KEYS: PerTask = {"countdown": lambda m: f"{' '.join(map(str, sorted(m['numbers'])))} : {m['target']}"}
LEVELS: PerTask = {"countdown": lambda m: str(len(m["numbers"]))}


def gym_rows(
    source: str, *, seed: int = 0, prompt_style: PromptStyle = "task", at_most: int | None = None
) -> list[dict[str, Any]]:
    """Generate the problems of a source: `problem`, `solution`, `task` (JSON of name and entry), maybe `level`.

    Seeds that differ by less than `size` share problems: reasoning-gym draws problem `i` from `seed + i`. Choose seeds
    far apart for training and evaluation, and use `load_problems(..., exclude=...)` to be sure.

    `seed` is for a source without one; `prompt_style="compact"` poses the problem in the shortest form; at most
    `at_most` are generated. ConfigError: the task refuses the values, has no compact form, or see `parse_source`.
    """
    task, params = parse_source(source, seed=seed)
    if prompt_style == "compact" and task not in COMPACT_PROMPTS:
        known = ", ".join(COMPACT_PROMPTS)
        raise ConfigError(f"prompt_style='compact' is supported only for {known}, got {task}; use prompt_style='task'")
    return [
        {
            "problem": COMPACT_PROMPTS[task](entry["metadata"]) if prompt_style == "compact" else entry["question"],
            "solution": "" if entry["answer"] is None else str(entry["answer"]),
            "task": json.dumps({"name": task, "entry": entry}, ensure_ascii=False),
            **({"level": LEVELS[task](entry["metadata"])} if task in LEVELS else {}),
        }
        for entry in _entries(task, params, at_most)
    ]


def _entries(task: str, params: dict[str, Any], at_most: int | None) -> list[dict[str, Any]]:
    """The task's entries after a JSON round trip, from disk if generating them was slow before."""
    versions = {package: version(package) for package in ("reasoning-gym", "sympy")}
    key = {"task": task, "params": params, "at_most": at_most, "versions": versions}
    name = hashlib.sha256(json.dumps(key, sort_keys=True, default=str).encode()).hexdigest()
    cache, foreseeable = DiskCache(cache_folder() / "problems.cache"), params["seed"] is not None
    if foreseeable and isinstance(stored := cache.get([name]).get(name), list):
        return stored
    start = time.perf_counter()
    entries = [json.loads(json.dumps(entry, default=_plain)) for entry in _generate(task, params, at_most)]
    if foreseeable and time.perf_counter() - start > WORTH_STORING_S:
        cache.put({name: entries})
    return entries


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
    for index in range(2 * wanted + 20):
        try:
            entries.append(dataset[index])
        except (ValueError, AssertionError) as error:  # an unlucky index failed: use the next one instead
            failure = f"{index + 1 - len(entries)} of {index + 1} tries failed ({error})"
        if len(entries) == wanted:
            return entries
    raise ConfigError(f"{task} cannot generate {wanted} problems with {params}: {failure}; widen its ranges")


def _plain(value: Any) -> Any:
    """The JSON replacement for a value that JSON does not support."""
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=repr)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return value.tolist() if hasattr(value, "tolist") else str(value)


def parse_source(source: str, *, seed: int = 0) -> tuple[str, dict[str, Any]]:
    """Task and parameters of `reasoning_gym:TASK?param=value`, with the types that the task's configuration declares.

    Values may be percent-encoded, lists are comma-separated; `seed` is for sources without one. ConfigError: an unknown
    task or parameter, or a value of the wrong type; MissingDependencyError: reasoning-gym is not installed.
    """
    try:
        import reasoning_gym  # noqa: F401  (importing it registers the tasks)
        from reasoning_gym.factory import DATASETS
    except ImportError as error:
        way_out = 'install it with pip install "trl-rlsp[gym]"'
        raise MissingDependencyError(f"generated tasks need reasoning-gym ({error}): {way_out}") from error
    task, _, query = source.removeprefix(PREFIX).partition("?")
    if task not in DATASETS:
        tasks = sorted(DATASETS)
        raise ConfigError(f"reasoning-gym has no task {task!r}{did_you_mean(task, tasks)}; it has {', '.join(tasks)}")
    config: type = DATASETS[task][1]
    annotations = typing.get_type_hints(config)
    names = sorted(field.name for field in dataclasses.fields(config) if field.init)
    params: dict[str, Any] = {"seed": seed}
    for part in filter(None, query.split("&")):
        name, equals, text = part.partition("=")
        if name not in names:
            raise ConfigError(f"{task} has no parameter {name!r}{did_you_mean(name, names)}; it has {', '.join(names)}")
        try:
            if not equals:
                raise ValueError("no value")
            params[name] = _typed(unquote(text), annotations[name])
        except (ValueError, TypeError) as error:
            kind = annotations[name]
            wanted = kind.__name__ if isinstance(kind, type) else str(kind).replace("typing.", "")
            raise ConfigError(f"{task} requires {name}={wanted}, got {part!r} ({error})") from error
    return task, params


def _typed(text: str, annotation: Any) -> Any:
    """Parse `text` as the annotated type of a configuration field."""
    kind, arguments = typing.get_origin(annotation) or annotation, typing.get_args(annotation)
    if kind in (typing.Union, types.UnionType):
        *others, last = sorted(arguments, key=lambda option: option is not types.NoneType)
        for option in others:
            with contextlib.suppress(ValueError):
                return _typed(text, option)
        return _typed(text, last)
    words = dict(zip(arguments, arguments, strict=True)) if kind is Literal else WORDS.get(kind)
    if words is not None:
        word = text if kind is Literal else text.lower()
        if word not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return words[word]
    if kind in (int, float, str):
        return kind(text)
    if kind in (list, tuple, collections.abc.Sequence):
        inner = [argument for argument in arguments if argument is not Ellipsis] or [str]
        items = enumerate(filter(None, text.split(",")))
        values = [_typed(item, inner[min(index, len(inner) - 1)]) for index, item in items]
        return tuple(values) if kind is tuple else values
    if dataclasses.is_dataclass(annotation):
        raise ValueError("which a source string cannot hold")
    return json.loads(text)
