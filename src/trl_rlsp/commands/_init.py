"""`rlsp init`: four answers become a recipe of one's own."""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from trl_rlsp.commands._command import Command
from trl_rlsp.errors import ConfigError
from trl_rlsp.files import atomic_write, write_lines
from trl_rlsp.stages import option

_LORA = """
dtype: bfloat16, use_peft: true, lora_r: 32, lora_alpha: 32, lora_dropout: 0.0, lora_target_modules: all-linear,
bf16: true, gradient_checkpointing: true, learning_rate: 2.0e-5, max_steps: 200, ddp_find_unused_parameters: false"""
_HARDWARE = {
    "cpu": """
dtype: float32, use_cpu: true, bf16: false, gradient_checkpointing: false, learning_rate: 3.0e-4, max_steps: 60,
per_device_train_batch_size: 32, max_completion_length: 256""",
    "24gb": f"""{_LORA}, load_in_4bit: true,
per_device_train_batch_size: 1, gradient_accumulation_steps: 64, max_completion_length: 1024""",
    "80gb": f"{_LORA}, per_device_train_batch_size: 4, gradient_accumulation_steps: 32, max_completion_length: 2048",
    "8x80gb": f"{_LORA}, per_device_train_batch_size: 4, gradient_accumulation_steps: 8, max_completion_length: 4096",
}
"""Fields of the RL stage, 64 to 256 completions an update."""

_REWARDS = {"outcome": "none", "length": "length", "behaviours": "length,behaviour", "diversity": "length,diversity"}
_HELD_OUT = {"math": "math-500", "aime": "aime-2024"}


@dataclass
class Init(Command):
    """Write a recipe for your model, data and hardware. What is not given is asked for."""

    model: str = option("", "hub id or folder")
    data: str = option("", "math, gsm8k, aime, reasoning_gym:TASK, or a .csv, .jsonl or .parquet file with answers")
    hardware: str = option("", "cpu, 24gb, 80gb or 8x80gb")
    reward: str = option("", "besides right answers: outcome (nothing), length, behaviours, diversity")
    held_out: str | None = option(None, "problems for the evaluation; default a preset's own, else a tenth of the file")
    output: Path = option(Path("recipes/mine"), "folder of the recipe")

    def execute(self) -> None:
        if self.output.exists():
            raise ConfigError(f"{self.output} exists; name another folder with --output")
        for asked in fields(self)[:4]:
            if not getattr(self, asked.name):
                setattr(self, asked.name, _ask(asked.name, asked.metadata["help"]))
        for name, known in (("hardware", _HARDWARE), ("reward", _REWARDS)):
            if getattr(self, name) not in known:
                raise ConfigError(f"--{name} is one of {', '.join(known)}, got {getattr(self, name)!r}")
        data, held_out = _data(self.data, self.held_out, self.output)
        hardware = yaml.safe_load(f"{{{_HARDWARE[self.hardware]}}}")
        longest, dtype = hardware["max_completion_length"], {"dtype": hardware["dtype"]}
        rewards = {"alpha": 0.8, "exploration": _REWARDS[self.reward], "length_c": longest // 4}
        sampling = {"num_generations": 8, "temperature": 1.0, "beta": 0.0}
        logs = {"logging_steps": 1, "save_steps": 20, "save_total_limit": 1, "report_to": "none"}
        start = {"model_name_or_path": self.model, "output_dir": f"runs/{self.output.name}/rlsp"}
        grpo = {**start, **data, **rewards, **sampling, **hardware, **logs}
        evaluation = {**dtype, **held_out, "max_new_tokens": longest, "batch_size": 64}
        ranks = 8 if self.hardware.startswith("8x") else 1
        said = {"title": f"{self.model} on {self.data}", "hardware": self.hardware, "processes": ranks}
        for name, comment, written in (
            ("grpo", "RL; every field: rlsp grpo --help", grpo),
            ("eval", "Evaluation before and after; every field: rlsp eval --help", evaluation),
            ("recipe", "What rlsp recipes and rlsp run show", said),
        ):
            atomic_write(self.output / f"{name}.yaml", f"# {comment}\n\n{yaml.safe_dump(written, sort_keys=False)}")
        print(f"recipe: {self.output}; next, what is wrong with it: rlsp doctor --config {self.output / 'grpo.yaml'}")
        print(f"then, from the start to the report: rlsp run {self.output}")


def _ask(name: str, question: str) -> str:
    if not sys.stdin.isatty():
        raise ConfigError(f"--{name} is needed where nobody can be asked: {question}")
    return input(f"{name} ({question}): ").strip()


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
