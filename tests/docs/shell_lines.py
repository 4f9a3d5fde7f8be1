"""Shell lines of the documentation: each is read by the parser of the command that it calls, or run dry."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import subprocess
import tomllib
from pathlib import Path

CPU = ["--bf16", "False", "--use_cpu", "True"]
PASSED = {"cd", "eval", "export", "git", "nvidia-smi", "vllm"}
"""Words of the shell itself, and what belongs to no one here."""


def commands_in(text):
    """The commands of a shell block as lists of words; comments, `time` and settings of variables are left out."""
    joined = re.sub(r"\\\n\s*", " ", text)
    for line in joined.splitlines():
        words = shlex.split(line, comments=True)
        while words and re.fullmatch(r"[A-Z_]+=.*|time", words[0]):
            words.pop(0)
        if words:
            yield words


def check(words):
    """Read one command as it would be read when typed.

    Raises:
        AssertionError: a command that is not known here, or a file, extra or target that does not exist.
        Exception: whatever the command's own parser finds wrong.
    """
    program, *arguments = words
    if words[:3] == ["python", "-m", "trl_rlsp"]:
        program, arguments = "rlsp", words[3:]
    readers = {
        "rlsp": check_rlsp,
        "trl": check_trl,
        "accelerate": check_accelerate,
        "make": check_make,
        "pip": check_pip,
        "python": check_script,
        "bash": check_script,
        "sbatch": check_batch,
    }
    if program not in PASSED:
        assert program in readers, f"nothing here can check {program!r}"
        readers[program](arguments)


def check_rlsp(arguments):
    """`rlsp COMMAND ...` by the command's own parser."""
    from trl_rlsp.cli import COMMANDS
    from trl_rlsp.commands import command_class
    from trl_rlsp.planning import Settings
    from trl_rlsp.stages import apply_environment

    command, *rest = arguments
    if command.startswith("--"):
        assert arguments in (["--help"], ["--version"])
        return
    assert command in COMMANDS, f"rlsp has no command {command!r}"
    apply_environment(rest)
    if command == "run":
        check_run(rest)
        return
    given = command_class(command).parse([*rest, *(CPU if command in ("sft", "grpo") else [])])
    if command in ("eval", "check", "filter"):
        assert getattr(given, "rescore", None) or given.required()
    elif command == "plan":
        assert all(map(Settings.of, given.planned))
    elif command == "compare":
        given.execute()
    elif command == "recipes":
        check_recipes(rest)
    else:
        given.check()


def check_recipes(arguments):
    """Nothing, or `copy` of a recipe that is shipped."""
    from trl_rlsp.pipeline import recipe_names

    assert not arguments or (arguments[0] == "copy" and arguments[1] in recipe_names()), arguments


def check_run(arguments):
    """A recipe, its rounds, and the overrides of each stage by the stage's own parser."""
    from trl_rlsp.pipeline import parse_run, plan, round_settings

    run = parse_run(arguments)
    round_settings(run.recipe, run.overrides["rounds"])
    for step in plan(run):
        if step.trains:
            check_rlsp([step.command, "--config", str(step.config), *step.arguments])


def check_trl(arguments):
    """`trl grpo ...` by the parser of TRL's script, and the reward functions by import."""
    from importlib import import_module

    from trl.scripts.grpo import make_parser

    assert arguments[0] == "grpo", "say here how other scripts of TRL are read"
    script, training, *_ = make_parser().parse_args_and_config([*arguments[1:], *CPU])
    for name in script.reward_funcs or []:
        module, _, function = name.rpartition(".")
        assert callable(getattr(import_module(module), function)), name
    assert training.output_dir


def check_accelerate(arguments):
    """`accelerate launch ... -m trl_rlsp ...` by the launcher's parser, then by that of `rlsp`."""
    from accelerate.commands.launch import launch_command_parser

    assert arguments[0] == "launch", "say here how other commands of accelerate are read"
    given = launch_command_parser().parse_args(arguments[1:])
    assert given.config_file is None or Path(given.config_file).is_file(), given.config_file
    assert given.module, "a script's file would be read as a module's name"
    assert given.training_script == "trl_rlsp", given.training_script
    check_rlsp(given.training_script_args)


def check_make(arguments):
    """A target that exists, run dry."""
    subprocess.run(["make", "--dry-run", *arguments], check=True, capture_output=True, timeout=30)


def check_pip(arguments):
    """Files, extras and groups that exist."""
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
    assert arguments[0] == "install", arguments
    takes_value = {"-c": None, "--constraint": None, "--group": project["dependency-groups"]}
    waiting = None
    for word in arguments[1:]:
        if waiting:
            known = takes_value[waiting]
            assert word in known if known is not None else Path(word).is_file(), word
            waiting = None
        elif word in takes_value:
            waiting = word
        elif match := re.match(r"(?:\.|trl-rlsp)\[(.*)\]", word):
            extras = project["project"]["optional-dependencies"]
            assert set(match[1].split(",")) <= set(extras), f"{word}: the extras are {', '.join(extras)}"


def check_script(arguments):
    """`python FILE ...` and `bash FILE`: the file exists, is one, and knows the options."""
    path = Path(arguments[0])
    assert path.is_file(), f"{path} does not exist"
    source = path.read_text(encoding="utf-8")
    if path.suffix == ".sh":
        subprocess.run(["bash", "-n", str(path)], check=True, timeout=30)
    else:
        compile(source, str(path), "exec")
    for option in arguments[1:]:
        assert not option.startswith("--") or option in source, f"{path} has no {option}"


def check_batch(arguments):
    """`sbatch FILE rlsp's arguments`."""
    check_script(arguments[:1])
    check_rlsp(arguments[1:])


def help_of(command):
    """What `rlsp COMMAND --help` prints."""
    from trl_rlsp.cli import main

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        main([command, "--help"])
    return printed.getvalue()
