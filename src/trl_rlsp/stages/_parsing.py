"""The grammar of every command: `--config FILE` with flat YAML, and `--field value`, which takes precedence.

A command declares dataclasses; their fields, declared with `option`, are the keys of its YAML file and its options. A
list is a YAML list or several words after the option.
"""

from __future__ import annotations

import dataclasses
import os
from argparse import Action, ArgumentDefaultsHelpFormatter, ArgumentParser
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn, TypeVar, get_type_hints

from trl_rlsp.errors import ConfigError, did_you_mean

T = TypeVar("T")


def option(default: Any = dataclasses.MISSING, help: str = "", *, positional: Any = None, **more: Any) -> Any:
    """A field of a command with its help text; required if it has no default; `more` is passed to `add_argument`.

    `positional` makes it a positional argument, with the number of its values (argparse's `nargs`, or 1).
    """
    metadata = {"help": help, **({"positional": positional} if positional else {}), **more}
    if isinstance(default, list):
        return dataclasses.field(default_factory=default.copy, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def parse_stage(
    kinds: Iterable[Any],
    arguments: Sequence[str],
    prog: str,
    *,
    written: Callable[[dict[str, Any]], dict[str, Any]] = dict,
    as_written: Any = None,
    also: Iterable[str] = (),
) -> tuple[Any, ...]:
    """Parse `--config FILE` and overrides into one instance of each of the dataclasses `kinds`.

    A `model_name_or_path` may be a folder relative to the YAML file. The file's `env` is not a field: see
    `apply_environment`.

    Args:
        kinds: dataclasses; the docstring of a single one is shown by --help.
        written: filter for the file's content (empty without a file); default: all of it.
        as_written: the dataclass among `kinds` to return as a plain namespace, without its own validation.
        also: more names to suggest for an unknown argument.

    Raises:
        ConfigError: a field that none of the dataclasses has, or a value of the wrong kind.
    """
    parser = _Parser(tuple(kinds), prog)
    values, rest = parser.values(arguments, written)
    for word in rest:
        name = word.partition("=")[0]
        parser.error(f"unknown argument {name!r}{parser.nearest(name, also)}")
    return tuple(parser.make(kind, values, judge=kind is not as_written) for kind in parser.kinds)


def parse_fields(kind: type[T], arguments: Sequence[str], prog: str, **options: Any) -> T:
    """`parse_stage` for one dataclass."""
    return parse_stage((kind,), arguments, prog, **options)[0]


def parse_known(kind: type[T], arguments: Sequence[str], prog: str) -> tuple[T, list[str]]:
    """`parse_fields`, and the words that no option takes."""
    parser = _Parser((kind,), prog)
    values, rest = parser.values(arguments)
    return parser.make(kind, values), rest


class _Help(ArgumentDefaultsHelpFormatter):
    """Shows defaults, but not that there is none."""

    def _get_help_string(self, action: Action) -> str | None:
        return super()._get_help_string(action) if action.default not in (None, [], "") else action.help


class _Parser(ArgumentParser):
    """Options from the fields of dataclasses, parsed as in transformers, with this package's errors."""

    def __init__(self, kinds: Sequence[Any], prog: str) -> None:
        from transformers.hf_argparser import HfArgumentParser

        about = kinds[0].__doc__ if len(kinds) == 1 else None
        super().__init__(prog, description=about, allow_abbrev=False, formatter_class=_Help)
        self.kinds = kinds
        for kind in kinds:
            hints = get_type_hints(kind)
            for field in filter(lambda field: field.init, dataclasses.fields(kind)):
                field.type = hints[field.name]
                given = dict(field.metadata)
                if count := given.pop("positional", None):
                    type_ = Path if "Path" in str(field.type) else str
                    self.add_argument(field.name, type=type_, nargs=None if count == 1 else count, **given)
                else:
                    HfArgumentParser._parse_dataclass_field(self, field)
        self.names = {action.dest for action in self._actions} - {"help"}
        self.reads_file = "config" not in self.names
        if self.reads_file:
            self.add_argument("--config", metavar="FILE", help="YAML file of `field: value` lines")

    def nearest(self, name: str, also: Iterable[str] = ()) -> str:
        return did_you_mean(name.lstrip("-").replace("-", "_"), {*self.names, "config", *also})

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}; `{self.prog} --help` lists every field")

    def values(
        self, arguments: Sequence[str], written: Callable[[dict[str, Any]], dict[str, Any]] = dict
    ) -> tuple[dict[str, Any], list[str]]:
        """The value of each field, and the words that no option takes."""
        path = config_of(arguments) if self.reads_file else None
        content = read_yaml(path) if path else {}
        content.pop("env", None)
        content = written(content)
        for name in sorted(set(content) - self.names):
            self.error(f"unknown field {name!r} in {path}{self.nearest(name)}")
        for action in self._actions:
            if action.dest in content:
                action.default, action.required = _typed(action, content[action.dest], path), False
        values, rest = self.parse_known_args(list(arguments))
        model = getattr(values, "model_name_or_path", None)
        if model and path is not None and not Path(model).is_dir() and (path.parent / model).is_dir():
            values.model_name_or_path = str(path.parent / model)
        return vars(values), rest

    def make(self, kind: Any, values: dict[str, Any], *, judge: bool = True) -> Any:
        """The dataclass with the values or, with `judge=False`, a namespace of them."""
        fields = {name: values[name] for name in kind.__dataclass_fields__ if name in values}
        try:
            return kind(**fields) if judge else SimpleNamespace(**fields)
        except ConfigError:
            raise
        except ValueError as error:
            self.error(str(error))


def _typed(action: Action, value: Any, source: Any) -> Any:
    """A value of a YAML file converted as by the option: numbers to their type, a single value of a list to a list."""
    if value is None or (action.nargs != "+" and action.type not in (int, float)):
        return value
    values = value if action.nargs == "+" and isinstance(value, list) else [value]
    try:
        values = [action.type(str(one)) if action.type in (int, float) else one for one in values]
    except ValueError as error:
        kind = "a whole number" if action.type is int else "a number"
        raise ConfigError(f"{action.dest} in {source} is {kind}, got {value!r}") from error
    return values if action.nargs == "+" else values[0]


def options_of(arguments: Sequence[str]) -> dict[str, list[str]]:
    """Option -> the words after it, in order; the key "" has the words before the first option."""
    found: dict[str, list[str]] = {"": []}
    words = found[""]
    for word in arguments:
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            words = found[name.replace("-", "_")] = [value] if equals else []
        else:
            words.append(word)
    return found


def config_of(arguments: Sequence[str]) -> Path | None:
    """The YAML file given with --config, if any; a ConfigError if its name is missing."""
    if (words := options_of(arguments).get("config")) is None:
        return None
    if not any(words[:1]):
        raise ConfigError("--config needs a YAML file after it")
    return Path(words[0])


def read_yaml(path: Path) -> dict[str, Any]:
    """A flat YAML file as a mapping; a ConfigError if it cannot be read or is not a mapping."""
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the configuration {str(path)!r}: {error.strerror}") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} is not valid YAML in UTF-8: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} must hold a YAML mapping of `field: value` lines, got {type(content).__name__}")
    return content


def environment_of(path: Path) -> dict[str, str]:
    """The environment variables that a YAML file sets; a ConfigError if its `env` is not a mapping."""
    wanted = read_yaml(path).get("env", {})
    if not isinstance(wanted, dict):
        raise ConfigError(f"`env` in {path} must be a mapping of names to values, got {wanted!r}")
    return {str(name): str(value) for name, value in wanted.items()}


def apply_environment(arguments: Sequence[str]) -> None:
    """Set unset variables from the YAML file's `env`, before torch is imported, because it reads its threads then."""
    path = config_of(arguments)
    for name, value in (environment_of(path) if path else {}).items():
        os.environ.setdefault(name, value)
