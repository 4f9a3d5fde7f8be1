"""The parser behind `parse_stage`: transformers' parser of dataclasses, with positional fields and errors as ours."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import re
from argparse import Action, ArgumentParser
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

from transformers.hf_argparser import HfArgumentParser

from trl_rlsp.errors import ConfigError

ENTRY = re.compile(r"^ {4}(\w+): ((?:.*\n?)(?: {5,}.*\n?)*)", re.MULTILINE)
"""A field of a docstring's "Args:", its text on one or several lines."""


class Parser(HfArgumentParser):
    """Options from the fields of dataclasses.

    The metadata of a field are arguments of `add_argument`; without a `help` among them, it is the field's text in the
    class's docstring. `positional` makes a field positional, with the number of values that it takes (argparse's
    `nargs`, or 1); `flag` makes a boolean one that takes no value.
    """

    def __init__(self, kinds: Iterable[Any], prog: str, description: str | None) -> None:
        super().__init__(tuple(kinds), prog=prog, description=description, allow_abbrev=False)
        if "config" not in self.names:
            self.add_argument("--config", metavar="FILE", help="YAML file of `field: value` lines")

    def _add_dataclass_arguments(self, dtype: Any) -> None:
        super()._add_dataclass_arguments(dtype)
        texts = described_fields(dtype)
        for action in self._actions:
            if action.help is None and action.dest in texts:
                action.help = texts[action.dest].replace("%", "%%")

    @staticmethod
    def _parse_dataclass_field(parser: ArgumentParser, field: dataclasses.Field[Any]) -> None:
        given = dict(field.metadata)
        count = given.pop("positional", None)
        if given.pop("flag", False):
            name = field.name
            parser.add_argument(f"--{name}", f"--{name.replace('_', '-')}", action="store_true", help=given.get("help"))
        elif count is None:
            HfArgumentParser._parse_dataclass_field(parser, field)
        else:
            kind = Path if "Path" in str(field.type) else str
            parser.add_argument(field.name, type=kind, nargs=None if count == 1 else count, **given)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong as an error of this package."""
        raise ConfigError(f"{message} (`{self.prog} --help` lists every field)")

    @property
    def names(self) -> set[str]:
        """The fields that there are."""
        return {action.dest for action in self._actions} - {"help"}

    def take_written(self, written: dict[str, Any], source: str) -> None:
        """Make what a file says the defaults.

        Raises:
            ConfigError: a field that does not exist, or a value of the wrong kind.
        """
        for name in sorted(set(written) - self.names):
            self.error(f"unknown field {name!r} in {source}{self.nearest(name)}")
        for action in self._actions:
            if action.dest in written:
                action.default = typed(action, written[action.dest], source)
                action.required = False

    def nearest(self, name: str) -> str:
        """The nearest field, as a question; empty if none is near."""
        found = difflib.get_close_matches(name.lstrip("-").replace("-", "_"), sorted(self.names), n=1)
        return f": did you mean {found[0]!r}?" if found else ""

    def refuse_unknown(self, words: list[str]) -> None:
        """Raise a ConfigError that names the first of the words that no option takes."""
        for word in words:
            name = word.partition("=")[0]
            near = self.nearest(name) if name.startswith("--") else ""
            self.error(f"unknown argument {name!r}{near}")


def described_fields(kind: type) -> dict[str, str]:
    """Field -> its text under "Args:" in the docstrings of a class and its bases."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        _, _, section = (inspect.getdoc(base) or "").partition("Args:\n")
        section = section.split("\n\n")[0]
        found |= {name: " ".join(text.split()) for name, text in re.findall(ENTRY, section)}
    return found


def typed(action: Action, value: Any, source: str) -> Any:
    """A value of a YAML file as the option would have read it: numbers as their type, one value of a list as a list.

    Raises:
        ConfigError: no number where one is wanted.
    """
    if value is None:
        return None
    if action.nargs == "+":
        return [_number(action, item, source) for item in (value if isinstance(value, list) else [value])]
    return _number(action, value, source)


def _number(action: Action, value: Any, source: str) -> Any:
    if action.type not in (int, float):
        return value
    try:
        found = action.type(value) if isinstance(value, (str, int, float)) else None
    except ValueError:
        found = None
    if found is None or isinstance(value, bool) or (isinstance(value, float) and found != value):
        kind = "a whole number" if action.type is int else "a number"
        raise ConfigError(f"{action.dest} in {source} is {kind}, got {value!r}")
    return found
