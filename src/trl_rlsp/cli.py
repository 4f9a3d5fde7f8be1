"""The command `rlsp`: one experiment, or one stage of it."""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from trl_rlsp import __version__
from trl_rlsp.errors import ConfigError, RLSPError
from trl_rlsp.text.visible import visible_text

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
Several processes: accelerate launch -m trl_rlsp grpo --config FILE."""

COMMANDS = {
    "run": "pipeline.pipeline:run_pipeline",
    "sft": "commands.training:run_sft",
    "grpo": "commands.training:run_grpo",
    "eval": "commands.evaluating:run_eval",
    "harvest": "commands.harvest:run_harvest",
    "recipes": "commands.recipes:run_recipes",
    "check": "commands.evaluating:run_check_command",
    "filter": "commands.filter:run_filter",
    "doctor": "commands.doctor:run_doctor",
    "plan": "commands.plan:run_plan",
    "merge": "commands.merge:run_merge",
    "report": "commands.report:run_report",
    "behaviours": "commands.behaviours:run_behaviours",
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
        The exit status: 0 done, 1 failed check, 2 an error that names what is wrong.
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


def dispatch(command: str, arguments: list[str]) -> int:
    """Run one command; imports only what it needs.

    Raises:
        RLSPError: an unknown command, or whatever the command finds wrong.
    """
    apply_environment(arguments)
    # TRL's own default sets the deprecated field; nobody who runs a recipe can do anything about it.
    warnings.filterwarnings("ignore", message=".*gradient_checkpointing.* is deprecated", category=FutureWarning)
    if command not in COMMANDS:
        raise ConfigError(f"unknown command {command!r}; the commands are {', '.join(COMMANDS)}")
    module, function = COMMANDS[command].split(":")
    status = getattr(importlib.import_module(f"trl_rlsp.{module}"), function)(arguments)
    return 0 if status is None else int(status)


def apply_environment(arguments: list[str]) -> None:
    """Set the `env` of the YAML file before torch is imported, which reads its thread count only then.

    Values already set in the environment win.

    Raises:
        ConfigError: no file after --config, or one that does not exist or is not a YAML mapping.
    """
    if "--config" not in arguments:
        return
    if arguments[-1] == "--config":
        raise ConfigError("--config wants a YAML file after it")
    for name, value in environment_of(Path(arguments[arguments.index("--config") + 1])).items():
        os.environ.setdefault(name, value)


def environment_of(path: Path) -> dict[str, str]:
    """The environment variables that a YAML file asks for.

    Raises:
        ConfigError: the file does not exist or is not a YAML mapping, or its `env` is not one.
    """
    wanted = read_yaml(path).get("env", {})
    if not isinstance(wanted, dict):
        raise ConfigError(f"`env` in {path} must be a mapping of names to values, got {wanted!r}")
    return {str(name): str(value) for name, value in wanted.items()}


def read_yaml(path: Path) -> dict:
    """A flat YAML file as a mapping.

    Raises:
        ConfigError: the file does not exist or is not a YAML mapping.
    """
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the configuration {str(path)!r}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} must hold a YAML mapping of `field: value` lines, got {type(content).__name__}")
    return content
