"""The `rlsp` command: runs one experiment, or one stage of it."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Sequence

from trl_rlsp import __version__
from trl_rlsp.commands import COMMANDS, command_class, usage
from trl_rlsp.errors import ConfigError, RLSPError, did_you_mean
from trl_rlsp.stages import apply_environment
from trl_rlsp.text import visible_text


def main(argv: Sequence[str] | None = None) -> int:
    """Run `rlsp` with the arguments `argv`, by default `sys.argv[1:]`, and return its exit status.

    0: success; 1: a check failed; 2: an error, explained in a message; 128 or more: stopped by a signal.
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
            known = f"{did_you_mean(command, COMMANDS)}; the commands are {', '.join(COMMANDS)}"
            raise ConfigError(f"unknown command {command!r}{known}")
        apply_environment(rest)
        _quiet_libraries()
        given = command_class(command).parse(rest)
        given.check()
        return given.execute() or 0
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
    """Silence warnings that other libraries issue when imported and that users of a recipe cannot act on."""
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"(transformers|trl|torch|peft|accelerate)\b")
    warnings.filterwarnings("ignore", message=".*gradient_checkpointing.* is deprecated", category=FutureWarning)
    noisy = logging.getLogger("bitsandbytes.backends.cpu.ops")  # it warns that a kernel cannot be downloaded
    noisy.addFilter(lambda record: "from kernels-community" not in record.getMessage())
