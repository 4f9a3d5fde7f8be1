"""`rlsp completion`: a script that a shell reads once, so that a tab costs no import."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Sequence

from trl_rlsp.errors import ConfigError

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
    from trl_rlsp.cli import COMMANDS

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
