"""The one grammar of every command: `--config FILE` with flat YAML, and `--field value`, which wins.

A command declares dataclasses; their fields are the keys of its YAML file and its options. A list is a YAML list or
several words after the option.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

from trl_rlsp.errors import ConfigError

T = TypeVar("T")
Written = Callable[[dict[str, Any], Path], dict[str, Any]]


def parse_stage(
    dataclasses: Iterable[Any],
    arguments: Sequence[str],
    prog: str,
    *,
    description: str | None = None,
    written: Written | None = None,
    as_written: Any = None,
) -> tuple[Any, ...]:
    """Parse `--config FILE` and overrides into one instance of each dataclass.

    A `model_name_or_path` that is a folder beside the YAML file is taken from there. The file's `env` is no field: see
    `apply_environment`.

    Args:
        dataclasses: types whose fields may be given.
        arguments: the command line.
        prog: name of the command, for --help.
        description: what --help says the command does.
        written: what of the file counts, from its content and its folder; default all of it.
        as_written: the one of the dataclasses whose own validation is not wanted; its fields come as a plain namespace.

    Raises:
        ConfigError: a field that none of the dataclasses has, or a value of the wrong kind.
    """
    *found, _ = parse_known(
        dataclasses, arguments, prog, description=description, written=written, as_written=as_written, leave=False
    )
    return tuple(found)


def parse_fields(kind: type[T], arguments: Sequence[str], prog: str, *, written: Written | None = None) -> T:
    """As `parse_stage` for one dataclass; --help says its docstring's first paragraph."""
    described = (kind.__doc__ or "").split("\n\n")[0]
    found: T = parse_stage((kind,), arguments, prog, description=described, written=written)[0]
    return found


def parse_known(
    dataclasses: Iterable[Any],
    arguments: Sequence[str],
    prog: str,
    *,
    description: str | None = None,
    written: Written | None = None,
    as_written: Any = None,
    leave: bool = True,
) -> list[Any]:
    """As `parse_stage`, with the words that no option takes as last entry; without `leave` these are an error."""
    from trl_rlsp.stages._parser import Parser

    kinds = tuple(dataclasses)
    parser = Parser(kinds, prog, description)
    path = config_of(arguments)
    if path is not None and "config" not in {name for kind in kinds for name in kind.__dataclass_fields__}:
        content = read_yaml(path)
        content.pop("env", None)
        content = content if written is None else written(content, path.parent)
        parser.take_written(content, str(path))
    values, rest = parser.parse_known_args(list(arguments))
    if not leave:
        parser.refuse_unknown(rest)
    given = vars(values)
    name = given.get("model_name_or_path")
    if name and path is not None and not Path(name).is_dir() and (path.parent / name).is_dir():
        given["model_name_or_path"] = str(path.parent / name)
    try:
        made = [
            (SimpleNamespace if kind is as_written else kind)(
                **{n: given[n] for n in kind.__dataclass_fields__ if n in given}
            )
            for kind in kinds
        ]
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(f"{error} (`{prog} --help` lists every field)") from error
    return [*made, rest]


def config_of(arguments: Sequence[str]) -> Path | None:
    """The YAML file that a command line names.

    Raises:
        ConfigError: no file after --config.

    Example:
        >>> config_of(["--alpha", "1", "--config=grpo.yaml"])
        PosixPath('grpo.yaml')
    """
    words = iter(arguments)
    for word in words:
        name, equals, value = word.partition("=")
        if name == "--config":
            value = value if equals else next(words, "")
            if not value:
                raise ConfigError("--config wants a YAML file after it")
            return Path(value)
    return None


def read_yaml(path: Path) -> dict[str, Any]:
    """A flat YAML file as a mapping.

    Raises:
        ConfigError: the file does not exist, cannot be read, or is not a YAML mapping.
    """
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the configuration {str(path)!r}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"the configuration {str(path)!r} must be text in UTF-8: {error}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} must hold a YAML mapping of `field: value` lines, got {type(content).__name__}")
    return content


def apply_environment(arguments: Sequence[str]) -> None:
    """Set the `env` of the YAML file before torch is imported, which reads its thread count only then.

    Values already set in the environment win.

    Raises:
        ConfigError: no file after --config, or one that cannot be read.
    """
    path = config_of(arguments)
    for name, value in (environment_of(path) if path else {}).items():
        os.environ.setdefault(name, value)


def environment_of(path: Path) -> dict[str, str]:
    """The environment variables that a YAML file asks for.

    Raises:
        ConfigError: the file cannot be read, or its `env` is not a mapping.
    """
    wanted = read_yaml(path).get("env", {})
    if not isinstance(wanted, dict):
        raise ConfigError(f"`env` in {path} must be a mapping of names to values, got {wanted!r}")
    return {str(name): str(value) for name, value in wanted.items()}
