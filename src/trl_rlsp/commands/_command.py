"""What a command is, which there are, and `rlsp completion`: a script that a shell reads once."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, is_dataclass
from typing import Self

from trl_rlsp.errors import ConfigError
from trl_rlsp.stages import option, parse_fields


class Command:
    """A command of `rlsp`: a dataclass of its options, whose docstring is what --help says, or a class that reads the
    words after its name itself."""

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> Self:
        """The command with its options; a ConfigError for what cannot be read."""
        if not is_dataclass(cls):
            return cls(arguments)  # type: ignore[call-arg]
        return parse_fields(cls, arguments, f"rlsp {cls.__name__.lower()}")

    def check(self) -> None:
        """An RLSPError for what can be known to be wrong before data and model are loaded."""

    def execute(self) -> int | None:
        """Do it; the exit status, 0 by default."""
        raise NotImplementedError


def command_class(command: str) -> type[Command]:
    """The class of a command, from the module that it is in."""
    from trl_rlsp import commands

    found: type[Command] = getattr(commands, command.capitalize())
    return found


GROUPS = {
    "prepare": {
        "init": ("", "a recipe for your model, data and hardware"),
        "recipes": ("[copy NAME]", "what comes with the package; a copy to change"),
        "check": ("--dataset SRC", "whether every gold answer of a data set verifies"),
        "filter": ("--config FILE", "the problems that a model solves sometimes"),
        "doctor": ("--config FILE", "what is wrong with a stage, and the line to change"),
        "plan": ("--config FILE", "memory on each GPU, and what would make it fit"),
    },
    "train": {
        "run": ("RECIPE", "every stage, data to report; goes on if cut off"),
        "sft": ("--config FILE", "train on demonstrations of reasoning"),
        "grpo": ("--config FILE", "RL with outcome verifier and exploration reward"),
        "harvest": ("RUN", "verified, novel completions as demonstrations"),
        "merge": ("--adapter DIR", "an adapter into its base at full precision"),
    },
    "measure": {
        "eval": ("--config FILE", "accuracy and effort of a model; --preset, --rescore"),
        "compare": ("RUN RUN", "paired difference of two evaluations"),
        "efficiency": ("--runs A=RUN", "accuracy of majority votes against tokens"),
        "budget": ("--config FILE", "accuracy against tokens of reasoning"),
    },
    "look": {
        "report": ("RUN...", "one page about what the model learned, with warnings"),
        "behaviours": ("RUN...", "backtracking and verification in any TRL run"),
    },
}
"""What one wants -> command -> its arguments and what it does."""

COMMANDS = {command: text for group in GROUPS.values() for command, text in group.items()}
COMMANDS["completion"] = ("bash|zsh", "what a shell needs to complete commands and options")


def usage() -> str:
    """What `rlsp --help` says: 23 lines of at most 80 columns."""
    lines = ["usage: rlsp COMMAND [ARGUMENTS], each with --help"]
    for group, entries in GROUPS.items():
        lines.append(f"{group}:")
        lines += [f"  {command:10} {given:13}  {what}" for command, (given, what) in entries.items()]
    lines.append("Override any field: rlsp grpo --config FILE --alpha 0.7; tab: rlsp completion")
    return "\n".join(lines)


_BASH = """_rlsp() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}" options=""
  case "${{COMP_WORDS[1]}}" in
{cases}
  esac
  if [ "$COMP_CWORD" = 1 ]; then options="{commands}"; elif [ "${{word:0:1}}" != - ]; then options=""; fi
  COMPREPLY=($(compgen -W "$options" -- "$word"))
  [ -n "$options" ] || COMPREPLY=($(compgen -f -- "$word"))
}}
complete -o filenames -F _rlsp rlsp"""


@dataclass
class Completion(Command):
    """Print what bash or zsh needs to complete commands and options; in the file that the shell starts with:
    eval "$(rlsp completion bash)"."""

    shell: str = option(help="bash or zsh", positional=1)

    def check(self) -> None:
        if self.shell not in ("bash", "zsh"):
            raise ConfigError(f"rlsp completion takes bash or zsh, got {self.shell!r}")

    def execute(self) -> None:
        cases = "\n".join(f'    {command}) options="{" ".join(_options(command))}" ;;' for command in COMMANDS)
        start = "autoload -U +X bashcompinit && bashcompinit\n" if self.shell == "zsh" else ""
        print(start + _BASH.format(cases=cases, commands=" ".join(COMMANDS)))


def _options(command: str) -> list[str]:
    """The options that a command's help names, each of which has a second spelling with hyphens."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        command_class(command).parse(["--help"])
    return sorted(set(re.findall(r"(?<![\w-])--[a-z]\w*(?![\w-])", said.getvalue())))
