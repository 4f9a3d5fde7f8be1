"""The base class of commands, the list of commands, and `rlsp completion`, which prints a completion script."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Self

from trl_rlsp.errors import ConfigError
from trl_rlsp.stages import option, parse_fields

_FOLDER = Path(__file__).parent
_USAGE = (_FOLDER / "usage.txt").read_text(encoding="utf-8")  # 23 lines of at most 80 columns
COMMANDS = [*re.findall(r"^  (\w+) ", _USAGE, re.MULTILINE), "completion"]


def usage() -> str:
    """The text of `rlsp --help`."""
    return _USAGE.rstrip()


class Command:
    """A command of `rlsp`: a dataclass of its options, whose docstring is shown by --help, or a class that parses its
    own arguments."""

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> Self:
        """The command with its options; a ConfigError for invalid arguments."""
        if not is_dataclass(cls):
            return cls(arguments)  # type: ignore[call-arg]
        return parse_fields(cls, arguments, f"rlsp {cls.__name__.lower()}")

    def check(self) -> None:
        """Raise an RLSPError for faults that can be found before data and model are loaded."""

    def execute(self) -> int | None:
        """Run the command; return the exit status, `None` for 0."""
        raise NotImplementedError


def command_class(command: str) -> type[Command]:
    """The class of a command, imported on demand."""
    from trl_rlsp import commands

    return getattr(commands, command.capitalize())


@dataclass
class Completion(Command):
    """Print a script with which bash or zsh completes commands and options. Add this line to the shell's startup file:
    eval "$(rlsp completion bash)"."""

    shell: str = option(help="bash or zsh", positional=1)

    def check(self) -> None:
        """A ConfigError for another shell."""
        if self.shell not in ("bash", "zsh"):
            raise ConfigError(f"rlsp completion takes bash or zsh, got {self.shell!r}")

    def execute(self) -> None:
        """Print the script."""
        cases = "\n".join(f'    {command}) options="{" ".join(_options(command))}" ;;' for command in COMMANDS)
        start = "autoload -U +X bashcompinit && bashcompinit\n" if self.shell == "zsh" else ""
        script = (_FOLDER / "completion.bash").read_text(encoding="utf-8")
        print(start + script.replace("@cases@", cases).replace("@commands@", " ".join(COMMANDS)))


def _options(command: str) -> list[str]:
    """The options in a command's help, without their second spelling with hyphens."""
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.suppress(SystemExit):
        command_class(command).parse(["--help"])
    return sorted(set(re.findall(r"(?<![\w-])--[a-z]\w*(?![\w-])", shown.getvalue())))
