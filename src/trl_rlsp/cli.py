"""The command `rlsp`: one experiment, or one stage of it."""

from __future__ import annotations

import difflib
import logging
import sys
import warnings
from collections.abc import Sequence

from trl_rlsp import __version__, commands
from trl_rlsp.errors import ConfigError, RLSPError
from trl_rlsp.stages import apply_environment
from trl_rlsp.text import visible_text

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


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `rlsp`: arguments, by default `sys.argv[1:]`, to an exit status.

    0 is done, 1 a failed check, 2 an error that names what is wrong, 128 and more stopped by a signal.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage())
        return 0 if arguments else 2
    if arguments[0] == "--version":
        print(__version__)
        return 0
    command, *rest = arguments
    try:
        if command not in COMMANDS:
            near = difflib.get_close_matches(command, COMMANDS, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ConfigError(f"unknown command {command!r}{hint}; the commands are {', '.join(COMMANDS)}")
        apply_environment(rest)
        _quiet_libraries()
        return getattr(commands, f"run_{command}")(rest) or 0
    except RLSPError as error:
        print(visible_text(f"rlsp {command}: {type(error).__name__}: {error}"), file=sys.stderr)
        return 2
    except PermissionError as error:
        print(f"rlsp {command}: {error.filename!r} must be readable: {error.strerror}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"rlsp {command}: stopped", file=sys.stderr)
        return 130


def _quiet_libraries() -> None:
    """Leave out what other libraries say at their import and nobody who runs a recipe can do anything about."""
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"(transformers|trl|torch|peft|accelerate)\b")
    warnings.filterwarnings("ignore", message=".*gradient_checkpointing.* is deprecated", category=FutureWarning)
    noisy = logging.getLogger("bitsandbytes.backends.cpu.ops")  # it warns that a kernel cannot be downloaded
    noisy.addFilter(lambda record: "from kernels-community" not in record.getMessage())
