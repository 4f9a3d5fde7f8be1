"""The command `rlsp`: one experiment, or one stage of it."""

from __future__ import annotations

import difflib
import importlib
import logging
import sys
import warnings
from collections.abc import Sequence

from trl_rlsp import __version__
from trl_rlsp.errors import ConfigError, RLSPError
from trl_rlsp.stages.parsing import apply_environment
from trl_rlsp.text import visible_text

USAGE = """\
usage: rlsp COMMAND [ARGUMENTS]

  run    RECIPE          all stages of a recipe, a folder or a name, from data to report; resumes what was cut off
  recipes                the recipes that come with the package; recipes copy NAME makes a copy to change
  sft    --config FILE   train on demonstrations of reasoning
  grpo   --config FILE   train by RL with the outcome verifier and an exploration reward
  eval   --config FILE   accuracy and effort of a model, with intervals; --preset math-500, --rescore FOLDER
  compare    RUN RUN     paired difference of two evaluations on the same problems
  efficiency --runs A=RUN B=RUN   accuracy of majority votes against tokens
  budget --config FILE   accuracy against tokens: thinking budgets, votes that stop early
  harvest RUN            verified, novel completions of a run as demonstrations for sft
  check  --dataset SRC   prove that every gold answer of a data set verifies
  filter --config FILE   problems that a model solves sometimes, as a data set file for grpo
  doctor --config FILE   what is wrong with a stage, and the line to change, before a model is loaded
  plan   --config FILE   memory on each GPU by part, for several numbers of GPUs, and what would make it fit
  merge  --adapter DIR   an adapter into its base at full precision, verified by logits
  report RUN...          one page about what the model learned, with warnings
  behaviours RUN...      backtracking, verification, alternatives in the completions of any TRL run

Each takes --help. Every field of a YAML file can be overridden: rlsp grpo --config FILE --learning_rate 1e-5.
Several processes: accelerate launch -m trl_rlsp grpo --config FILE; `rlsp run` launches them by itself."""

COMMANDS = {
    "run": "commands.run:run_pipeline",
    "sft": "commands.training:run_sft",
    "grpo": "commands.training:run_grpo",
    "eval": "commands.evaluating:run_eval",
    "harvest": "commands.harvest:run_harvest",
    "recipes": "commands.run:run_recipes",
    "check": "commands.evaluating:run_check_command",
    "filter": "commands.filter:run_filter",
    "doctor": "commands.stages:run_doctor",
    "plan": "commands.stages:run_plan",
    "merge": "commands.training:run_merge",
    "report": "commands.reporting:run_report",
    "behaviours": "commands.reporting:run_behaviours",
    "budget": "commands.budget:run_budget",
    "compare": "commands.comparing:run_compare",
    "efficiency": "commands.comparing:run_efficiency",
}
"""Command -> module of `trl_rlsp` and its function, which returns the exit status or nothing for 0."""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `rlsp`.

    Args:
        argv: arguments without the program's name; default `sys.argv[1:]`.

    Returns:
        The exit status: 0 done, 1 failed check, 2 an error that names what is wrong, 130 or 143 stopped by a signal.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(USAGE)
        return 0 if arguments else 2
    if arguments[0] == "--version":
        print(__version__)
        return 0
    try:
        return dispatch(arguments[0], arguments[1:])
    except RLSPError as error:
        print(visible_text(f"rlsp {arguments[0]}: {type(error).__name__}: {error}"), file=sys.stderr)
        return 2
    except PermissionError as error:
        print(f"rlsp {arguments[0]}: {error.filename!r} must be readable: {error.strerror}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"rlsp {arguments[0]}: stopped", file=sys.stderr)
        return 130


def dispatch(command: str, arguments: list[str]) -> int:
    """Run one command; imports only what it needs.

    Raises:
        RLSPError: an unknown command, or whatever the command finds wrong.
    """
    if command not in COMMANDS:
        near = difflib.get_close_matches(command, COMMANDS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"unknown command {command!r}{hint}; the commands are {', '.join(COMMANDS)}")
    apply_environment(arguments)
    quiet_libraries()
    module, function = COMMANDS[command].split(":")
    status = getattr(importlib.import_module(f"trl_rlsp.{module}"), function)(arguments)
    return 0 if status is None else int(status)


def quiet_libraries() -> None:
    """Leave out what other libraries say at their import and nobody who runs a recipe can do anything about."""
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"(transformers|trl|torch|peft|accelerate)\b")
    warnings.filterwarnings("ignore", message=".*gradient_checkpointing.* is deprecated", category=FutureWarning)
    noisy = logging.getLogger("bitsandbytes.backends.cpu.ops")  # it warns that a kernel cannot be downloaded
    noisy.addFilter(lambda record: "from kernels-community" not in record.getMessage())
