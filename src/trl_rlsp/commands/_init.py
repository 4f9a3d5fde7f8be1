"""`rlsp init`: four answers become a recipe of one's own."""

# ruff: noqa: RUF009 (`option` is `dataclasses.field`)
from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from trl_rlsp.errors import ConfigError
from trl_rlsp.files import atomic_write, write_lines
from trl_rlsp.stages import option, parse_fields

_LORA = """
use_peft: true, lora_r: 32, lora_alpha: 32, lora_dropout: 0.0, lora_target_modules: all-linear, bf16: true,
gradient_checkpointing: true, learning_rate: 2.0e-5, max_steps: 200"""
_HARDWARE = {
    "cpu": """
dtype: float32, use_cpu: true, bf16: false, gradient_checkpointing: false, learning_rate: 3.0e-4, max_steps: 60,
per_device_train_batch_size: 32, max_completion_length: 256""",
    "24gb": f"""
dtype: bfloat16, load_in_4bit: true, {_LORA}, per_device_train_batch_size: 1, gradient_accumulation_steps: 64,
max_completion_length: 1024""",
    "80gb": f"""
dtype: bfloat16, {_LORA}, per_device_train_batch_size: 4, gradient_accumulation_steps: 32,
max_completion_length: 2048""",
    "8x80gb": f"""
dtype: bfloat16, {_LORA}, per_device_train_batch_size: 4, gradient_accumulation_steps: 8,
max_completion_length: 4096, ddp_find_unused_parameters: false""",
}
"""Fields of the RL stage, 64 to 256 completions an update."""

_REWARDS = {"outcome": "none", "length": "length", "behaviours": "length,behaviour", "diversity": "length,diversity"}
_HELD_OUT = {"math": "math-500", "aime": "aime-2024"}
_QUESTIONS = {
    "model": "model (hub id or folder)",
    "data": "problems (math, gsm8k, aime, reasoning_gym:TASK, or a .csv, .jsonl or .parquet file)",
    "hardware": f"hardware ({', '.join(_HARDWARE)})",
    "reward": f"what to reward besides right answers ({', '.join(_REWARDS)})",
}


@dataclass
class InitArguments:
    """Write a recipe for your model, data and hardware. What is not given is asked for."""

    model: str | None = option(None, "hub id or folder")
    data: str | None = option(None, "a preset, reasoning_gym:TASK, or a file with problems and answers")
    hardware: str | None = option(None, "cpu, 24gb, 80gb or 8x80gb")
    reward: str | None = option(None, "besides right answers: length, behaviours, diversity, or outcome for nothing")
    held_out: str | None = option(None, "problems for the evaluation; default a preset's own, else a tenth of the file")
    output: Path = option(Path("recipes/mine"), "folder of the recipe")


def run_init(arguments: Sequence[str]) -> None:
    """Ask what is not given, write the recipe, and say how to go on."""
    given = parse_fields(InitArguments, arguments, "rlsp init")
    if given.output.exists():
        raise ConfigError(f"{given.output} exists; name another folder with --output")
    answers = {name: getattr(given, name) or _ask(name, question) for name, question in _QUESTIONS.items()}
    for name, known in (("hardware", _HARDWARE), ("reward", _REWARDS)):
        if answers[name] not in known:
            raise ConfigError(f"--{name} is one of {', '.join(known)}, got {answers[name]!r}")
    data, held_out = _data(answers["data"], given.held_out, given.output)
    name, hardware = given.output.name, yaml.safe_load(f"{{{_HARDWARE[answers['hardware']]}}}")
    longest, dtype = hardware["max_completion_length"], {"dtype": hardware["dtype"]}
    rewards = {"alpha": 0.8, "exploration": _REWARDS[answers["reward"]], "length_c": longest // 4}
    sampling = {"num_generations": 8, "temperature": 1.0, "beta": 0.0}
    logs = {"logging_steps": 1, "save_steps": 20, "save_total_limit": 1, "report_to": "none"}
    start = {"model_name_or_path": answers["model"], "output_dir": f"runs/{name}/rlsp"}
    grpo = {**start, **data, **rewards, **sampling, **hardware, **logs}
    evaluation = {**dtype, **held_out, "max_new_tokens": longest, "batch_size": 64}
    said = {"title": f"{answers['model']} on {answers['data']}", "hardware": answers["hardware"]}
    ranks = 8 if answers["hardware"].startswith("8x") else 1
    _write(given.output / "grpo.yaml", "RL; every field: rlsp grpo --help", grpo)
    _write(given.output / "eval.yaml", "evaluation before and after; every field: rlsp eval --help", evaluation)
    _write(given.output / "recipe.yaml", "what rlsp recipes and rlsp run show", {**said, "processes": ranks})
    print(f"recipe: {given.output}; next, what is wrong with it: rlsp doctor --config {given.output / 'grpo.yaml'}")
    print(f"then, from the start to the report: rlsp run {given.output}")


def _ask(name: str, question: str) -> str:
    if not sys.stdin.isatty():
        raise ConfigError(f"--{name} is needed where nobody can be asked: {question}")
    return input(f"{question}: ").strip()


def _data(source: str, held_out: str | None, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Fields of the RL stage and of the evaluation that say where problems come from; they share none."""
    if source.startswith("reasoning_gym:"):
        source += "" if "?" in source else "?"
        joint = "" if source.endswith("?") else "&"
        train, test = (f"{source}{joint}seed={seed}&size={size}" for seed, size in ((1, 5000), (1000000, 500)))
        shared = {"unique_problems": True}
        return {"dataset": train, "exclude": test, **shared}, {"dataset": test, **shared}
    if held_out or source in _HELD_OUT:
        test = held_out or _HELD_OUT[source]
        return {"dataset": source, "exclude": test}, {"dataset": test}
    if source == "gsm8k":
        return {"dataset": source}, {"dataset": source, "dataset_split": "test"}
    if not Path(source).is_file():
        raise ConfigError(f"--held_out names the problems of the evaluation, which {source!r} needs: a source or file")
    from trl_rlsp.problems import load_problems

    rows = load_problems(source, unique=True)
    if len(rows) < 20:
        raise ConfigError(f"{source} has {len(rows)} problems, too few to keep some apart: name --held_out")
    kept = rows.train_test_split(test_size=min(len(rows) // 10, 200), seed=0)["test"]
    write_lines(folder / "held_out.jsonl", [dict(row) for row in kept])
    test = str(folder / "held_out.jsonl")
    return {"dataset": source, "exclude": test, "unique_problems": True}, {"dataset": test}


def _write(path: Path, comment: str, fields: dict[str, Any]) -> None:
    atomic_write(path, f"# {comment[0].upper()}{comment[1:]}\n\n{yaml.safe_dump(fields, sort_keys=False)}")
