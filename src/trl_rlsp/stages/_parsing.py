"""The one grammar of every command: `--config FILE` with flat YAML, and `--field value`, which wins.

A command declares dataclasses; their fields, written with `option` (lists with `field`), are the keys of its YAML file
and its options. A list is a YAML list or several words after the option.
"""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import os
import re
from argparse import Action, ArgumentDefaultsHelpFormatter, ArgumentParser
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn, TypeVar, get_type_hints

from trl_rlsp.errors import ConfigError

T = TypeVar("T")
Written = Callable[[dict[str, Any]], dict[str, Any]]

_ENTRY = re.compile(r"^ {4}(\w+): ((?:.*\n?)(?: {5,}.*\n?)*)", re.MULTILINE)
"""A field of a docstring's "Args:", its text on one or several lines."""


def option(default: Any = dataclasses.MISSING, help: str = "", *, positional: Any = None, **more: Any) -> Any:
    """A field of a command.

    Args:
        default: its value; without one it must be given.
        help: what --help says.
        positional: makes it positional, with the number of values that it takes (argparse's `nargs`, or 1).
        more: further arguments of `add_argument`.
    """
    given = {"positional": positional} if positional else {}
    return dataclasses.field(default=default, metadata={"help": help, **given, **more})


def parse_stage(
    kinds: Iterable[Any],
    arguments: Sequence[str],
    prog: str,
    *,
    written: Written | None = None,
    as_written: Any = None,
    also: Iterable[str] = (),
) -> tuple[Any, ...]:
    """Parse `--config FILE` and overrides into one instance of each dataclass.

    A `model_name_or_path` that is a folder beside the YAML file is taken from there. The file's `env` is no field: see
    `apply_environment`.

    Args:
        kinds: dataclasses whose fields may be given; a single one says in --help what the command does.
        arguments: the command line.
        prog: name of the command, for --help.
        written: what counts, from the file's content (empty without a file); default all of it.
        as_written: the one of `kinds` whose own validation is not wanted; its fields come as a plain namespace.
        also: further names that an unknown argument may have meant.

    Raises:
        ConfigError: a field that none of the dataclasses has, or a value of the wrong kind.
    """
    parser = _Parser(tuple(kinds), prog)
    made, rest = parser.parse(arguments, written, as_written)
    for word in rest:
        name = word.partition("=")[0]
        near = parser.nearest(name, also) if name.startswith("--") else ""
        parser.error(f"unknown argument {name!r}{near}")
    return tuple(made)


def parse_fields(kind: type[T], arguments: Sequence[str], prog: str, *, written: Written | None = None) -> T:
    """As `parse_stage` for one dataclass."""
    found: T = parse_stage((kind,), arguments, prog, written=written)[0]
    return found


def parse_known(kind: type[T], arguments: Sequence[str], prog: str) -> tuple[T, list[str]]:
    """As `parse_fields`, with the words that no option takes."""
    (found,), rest = _Parser((kind,), prog).parse(arguments)
    return found, rest


class _Parser(ArgumentParser):
    """Options from the fields of dataclasses, as transformers reads them, with errors of this package."""

    def __init__(self, kinds: Sequence[Any], prog: str) -> None:
        described = (kinds[0].__doc__ or "").split("\n\n")[0] if len(kinds) == 1 else None
        super().__init__(prog, description=described, allow_abbrev=False, formatter_class=ArgumentDefaultsHelpFormatter)
        self.kinds = kinds
        for kind in kinds:
            hints, texts = get_type_hints(kind), _described_fields(kind)
            for field in dataclasses.fields(kind):
                field.type = hints[field.name]
                self._add_field(field)
            for action in self._actions:
                if action.help is None and action.dest in texts:
                    action.help = texts[action.dest].replace("%", "%%")
        self.reads_file = "config" not in self.names
        if self.reads_file:
            self.add_argument("--config", metavar="FILE", help="YAML file of `field: value` lines")

    def _add_field(self, field: dataclasses.Field[Any]) -> None:
        from transformers.hf_argparser import HfArgumentParser

        given = dict(field.metadata)
        count = given.pop("positional", None)
        if count is not None:
            kind = Path if "Path" in str(field.type) else str
            self.add_argument(field.name, type=kind, nargs=None if count == 1 else count, **given)
        else:
            HfArgumentParser._parse_dataclass_field(self, field)

    def parse(
        self, arguments: Sequence[str], written: Written | None = None, as_written: Any = None
    ) -> tuple[list[Any], list[str]]:
        """An instance of each dataclass, and the words that no option takes."""
        path = config_of(arguments) if self.reads_file else None
        content = read_yaml(path) if path else {}
        content.pop("env", None)
        self._take_written(written(content) if written else content, str(path))
        values, rest = self.parse_known_args(list(arguments))
        given = vars(values)
        model = given.get("model_name_or_path")
        if model and path is not None and not Path(model).is_dir() and (path.parent / model).is_dir():
            given["model_name_or_path"] = str(path.parent / model)
        try:
            return [_made(kind, given, judged=kind is not as_written) for kind in self.kinds], rest
        except ConfigError:
            raise
        except ValueError as error:
            self.error(str(error))

    def error(self, message: str) -> NoReturn:
        """Say what is wrong as an error of this package."""
        raise ConfigError(f"{message} (`{self.prog} --help` lists every field)")

    @property
    def names(self) -> set[str]:
        """The fields that there are."""
        return {action.dest for action in self._actions} - {"help"}

    def nearest(self, name: str, also: Iterable[str] = ()) -> str:
        """The nearest field, as a question; empty if none is near."""
        known = sorted({*self.names, *also})
        found = difflib.get_close_matches(name.lstrip("-").replace("-", "_"), known, n=1)
        return f": did you mean {found[0]!r}?" if found else ""

    def _take_written(self, written: dict[str, Any], source: str) -> None:
        """Make what a file says the defaults."""
        for name in sorted(set(written) - self.names):
            self.error(f"unknown field {name!r} in {source}{self.nearest(name)}")
        for action in self._actions:
            if action.dest in written:
                action.default = _typed(action, written[action.dest], source)
                action.required = False


def _made(kind: Any, values: dict[str, Any], judged: bool) -> Any:
    fields = {name: values[name] for name in kind.__dataclass_fields__ if name in values}
    return kind(**fields) if judged else SimpleNamespace(**fields)


def _described_fields(kind: type) -> dict[str, str]:
    """Field -> its text under "Args:" in the docstrings of a class and its bases."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        section = (inspect.getdoc(base) or "").partition("Args:\n")[2].split("\n\n")[0]
        found |= {name: " ".join(text.split()) for name, text in re.findall(_ENTRY, section)}
    return found


def _typed(action: Action, value: Any, source: str) -> Any:
    """A value of a YAML file as the option would have read it: numbers as their type, one value of a list as a list."""
    if action.nargs == "+" and value is not None:
        return [_number(action, item, source) for item in (value if isinstance(value, list) else [value])]
    return _number(action, value, source)


def _number(action: Action, value: Any, source: str) -> Any:
    if value is None or action.type not in (int, float):
        return value
    try:
        found = action.type(value) if isinstance(value, (str, int, float)) else None
    except ValueError:
        found = None
    if found is None or isinstance(value, bool) or (isinstance(value, float) and found != value):
        kind = "a whole number" if action.type is int else "a number"
        raise ConfigError(f"{action.dest} in {source} is {kind}, got {value!r}")
    return found


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


def environment_of(path: Path) -> dict[str, str]:
    """The environment variables that a YAML file asks for; a ConfigError if its `env` is no mapping."""
    wanted = read_yaml(path).get("env", {})
    if not isinstance(wanted, dict):
        raise ConfigError(f"`env` in {path} must be a mapping of names to values, got {wanted!r}")
    return {str(name): str(value) for name, value in wanted.items()}


def apply_environment(arguments: Sequence[str]) -> None:
    """Set the `env` of the YAML file where nothing is set, before torch is imported: it reads its threads only then."""
    path = config_of(arguments)
    for name, value in (environment_of(path) if path else {}).items():
        os.environ.setdefault(name, value)
