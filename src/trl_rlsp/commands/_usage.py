"""What `rlsp --help` says, and `rlsp completion`: a script that a shell reads once, so that a tab costs no import."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Sequence

from trl_rlsp.errors import ConfigError

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
"""What one wants -> command -> its arguments and what it does; `trl_rlsp.commands.run_COMMAND` does it."""

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


def run_completion(arguments: Sequence[str]) -> None:
    """Print the completion script of bash or zsh: eval "$(rlsp completion bash)"."""
    if list(arguments) in (["-h"], ["--help"]):
        print('usage: rlsp completion bash|zsh; in the file that the shell starts with: eval "$(rlsp completion bash)"')
        return
    if list(arguments) not in (["bash"], ["zsh"]):
        raise ConfigError(f"rlsp completion takes bash or zsh, got {' '.join(arguments)!r}")
    named = {command: " ".join(_options(command)) for command in COMMANDS}
    cases = "\n".join(f'    {command}) options="{options}" ;;' for command, options in named.items())
    start = "autoload -U +X bashcompinit && bashcompinit\n" if arguments[0] == "zsh" else ""
    print(start + _BASH.format(cases=cases, commands=" ".join(COMMANDS)))


def _options(command: str) -> list[str]:
    """The options that a command's help names."""
    from trl_rlsp import commands

    said = io.StringIO()
    if command == "completion":
        return []
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        getattr(commands, f"run_{command}")(["--help"])
    found = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", said.getvalue()))
    return sorted(option for option in found if "-" not in option[2:])  # each has a second spelling with hyphens
