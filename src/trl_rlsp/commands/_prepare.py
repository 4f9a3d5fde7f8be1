"""`rlsp init`, `recipes`, `check`, `filter` and `doctor`: preparations before paying for a GPU."""

from __future__ import annotations

import json
import os
import re
import socket
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from rich.table import Column, Table

from trl_rlsp import evaluation, problems, stages
from trl_rlsp.commands._command import Command
from trl_rlsp.commands._measure import Eval, count_table
from trl_rlsp.doctor import Finding, examine
from trl_rlsp.errors import ConfigError
from trl_rlsp.files import atomic_write, write_json, write_lines
from trl_rlsp.pipeline import companion_names, copy_recipe, description_of, recipe_names
from trl_rlsp.stages import option
from trl_rlsp.text import Terminal

_COLORS = {"error": "red", "warning": "yellow", "not checked": "blue"}
_REWARDS = {"outcome": "none", "length": "length", "behaviours": "length,behaviour", "diversity": "length,diversity"}
_HELD_OUT = {"math": "math-500", "aime": "aime-2024"}


@dataclass
class Init(Command):
    """Write a recipe for your model, data and hardware. Prompts for options that are not given."""

    model: str = option("", "hub id or folder")
    data: str = option("", "math, gsm8k, aime, reasoning_gym:TASK, or a .csv, .jsonl or .parquet file with answers")
    hardware: str = option("", "cpu, 24gb, 80gb or 8x80gb")
    reward: str = option("", "besides right answers: outcome (nothing), length, behaviours, diversity")
    held_out: str | None = option(None, "problems for evaluation; default: a preset's own, else a tenth of the file")
    output: Path = option(Path("recipes/mine"), "folder of the recipe")

    def execute(self) -> None:
        """Ask for what is missing and write the recipe; a ConfigError for an existing folder or an unknown value."""
        if self.output.exists():
            raise ConfigError(f"{self.output} exists; name another folder with --output")
        for asked in fields(self)[:4]:
            if not getattr(self, asked.name):
                setattr(self, asked.name, _ask(asked.name, asked.metadata["help"]))
        kinds = stages.read_yaml(Path(__file__).with_name("hardware.yaml"))["hardware"]
        for name, known in (("hardware", kinds), ("reward", _REWARDS)):
            if getattr(self, name) not in known:
                raise ConfigError(f"--{name} is one of {', '.join(known)}, got {getattr(self, name)!r}")
        data, held_out = _data(self.data, self.held_out, self.output)
        hardware = kinds[self.hardware]
        longest, dtype = hardware["max_completion_length"], {"dtype": hardware["dtype"]}
        rewards = {"alpha": 0.8, "exploration": _REWARDS[self.reward], "length_c": longest // 4}
        start = {"model_name_or_path": self.model, "output_dir": f"runs/{self.output.name}/rlsp"}
        grpo = {**start, **data, **rewards, **hardware}
        evaluation = {**dtype, **held_out, "max_new_tokens": longest, "batch_size": 64}
        ranks = 8 if self.hardware.startswith("8x") else 1
        about = {"title": f"{self.model} on {self.data}", "hardware": self.hardware, "processes": ranks}
        for name, comment, written in (
            ("grpo", "RL; every field: rlsp grpo --help", grpo),
            ("eval", "Evaluation before and after; every field: rlsp eval --help", evaluation),
            ("recipe", "Shown by rlsp recipes and rlsp run", about),
        ):
            atomic_write(self.output / f"{name}.yaml", f"# {comment}\n\n{yaml.safe_dump(written, sort_keys=False)}")
        print(f"recipe: {self.output}; next, check it: rlsp doctor --config {self.output / 'grpo.yaml'}")
        print(f"then, from the start to the report: rlsp run {self.output}")


def _ask(name: str, question: str) -> str:
    if not sys.stdin.isatty():
        raise ConfigError(f"--{name} is required without a terminal: {question}")
    return input(f"{name} ({question}): ").strip()


def _data(source: str, held_out: str | None, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Fields of the RL stage and of the evaluation for the source of their problems, which do not overlap."""
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
    rows = problems.load_problems(source, unique=True)
    if len(rows) < 20:
        raise ConfigError(f"{source} has {len(rows)} problems, too few to hold some out: name --held_out")
    kept = rows.train_test_split(test_size=min(len(rows) // 10, 200), seed=0)["test"]
    write_lines(folder / "held_out.jsonl", [dict(row) for row in kept])
    test = str(folder / "held_out.jsonl")
    return {"dataset": source, "exclude": test, "unique_problems": True}, {"dataset": test}


@dataclass
class Recipes(Command):
    """List the recipes that come with the package, or copy one."""

    words: list[str] = option([], "copy a recipe so that it can be changed", positional="*", metavar="copy NAME")
    to: Path | None = option(None, "the folder to create; default: recipes/NAME")

    def execute(self) -> None:
        """Print the list, or copy a recipe."""
        if not self.words:
            table = Table(Column("recipe", no_wrap=True), "purpose", "hardware", box=None, pad_edge=False)
            for name in recipe_names():
                recipe = description_of(name)
                table.add_row(name, recipe.title, recipe.hardware)
            Terminal().print(table)
            others = " and ".join(companion_names())
            print(f"\nrlsp run NAME runs one; rlsp recipes copy NAME makes a copy to change, also of {others}.")
            return
        if len(self.words) != 2 or self.words[0] != "copy":
            raise ConfigError(f"rlsp recipes takes nothing, or copy NAME, got {' '.join(self.words)!r}")
        target = copy_recipe(self.words[1], self.to)
        print(f"{self.words[1]} copied to {target}")
        if self.words[1] in recipe_names():
            print(f"next: change it, then rlsp run {target}")


@dataclass
class Check(stages.VerifierArguments, stages.ProblemArguments, Command):
    """Print every gold answer of a data set that does not score 1.0; exits with status 1 if there is one."""

    def execute(self) -> int:
        """Print the report; return 1 if an answer does not verify."""
        problems = self.load()
        with self.outcome_verifier(batch_seconds=3600) as verifier:
            report = evaluation.check_dataset(problems, verifier)
        evaluation.print_report(report, problems, self.required(), Terminal())
        return int(not report.ok)


@dataclass
class Filter(Eval):
    """Keep the problems that a model solves sometimes. Samples are drawn as in RL: temperature 1 and at most 4096
    tokens, unless the file sets them. Samples of an interrupted run are kept."""

    n: int = option(8, "samples of each problem")
    low: float = option(0.1, "problems solved less often are left out, 0 to 1")
    high: float = option(0.9, "problems solved more often are left out, 0 to 1")
    output: str = option("problems.jsonl", "the .jsonl file to write; the samples go beside it")
    temperature: float = option(1.0, "as in the RL stage")
    max_new_tokens: int = option(4096, "as max_completion_length of the RL stage")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_samples not in (1, self.n):
            raise ConfigError(f"the samples of each problem are given with --n, got --num_samples {self.num_samples}")
        self.num_samples = self.n
        if self.preset or self.rescore:
            raise ConfigError("rlsp filter takes --dataset or --config, neither --preset nor --rescore")
        if Path(self.output).suffix != ".jsonl":
            raise ConfigError(f"--output is a .jsonl file, got {self.output!r}")
        self.output_dir = self.output_dir or str(Path(self.output).with_suffix("")) + "-samples"

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> Self:
        """Of an RL stage's file, only the fields that determine the samples are used, without seed and folder."""
        names = {f.name for f in fields(cls)} - {"output_dir", "seed", "batch_size", "num_samples"}

        def sampled(content: dict[str, Any]) -> dict[str, Any]:
            renamed = {("max_new_tokens" if n == "max_completion_length" else n): v for n, v in content.items()}
            return {name: value for name, value in renamed.items() if name in names and value is not None}

        return stages.parse_fields(cls, arguments, "rlsp filter", written=sampled)

    def check(self) -> None:
        """Also a ConfigError for an invalid band."""
        super().check()
        evaluation.Band(self.low, self.high)

    def execute(self) -> None:
        """Draw and score the missing samples, and write the problems that are kept, with their counts."""
        console = Terminal()
        problems, samples = self.draw(console)
        with self.scorer(self.model_name_or_path) as verifier:
            scored = evaluation.score_samples(samples, problems, verifier)
        output = Path(self.output)
        rows, counts = evaluation.keep_band(problems.to_list(), scored, evaluation.Band(self.low, self.high))
        write_lines(output, rows)
        write_json(output.with_suffix(".json"), {**counts, "settings": asdict(self)})
        kept = f"kept, {self.low:g} to {self.high:g}"
        table = count_table("problems", "sampled", len(problems), counts["dropped"], kept, len(rows))
        table.title = f"solve rates of {self.n} samples"
        console.print(table)
        if partly := sum(row["scored_samples"] < self.n for row in rows):
            console.print(f"{partly} kept problems have samples without a score, which are ignored")
        plain = self.prompt_style == "task" and self.system_prompt != "none"
        reading = f"--dataset {self.output}" + ("" if plain else " --prompt_style task --system_prompt none")
        console.print(f"train on it with: rlsp grpo {reading}", soft_wrap=True)


@dataclass
class OfStage(Command):
    """A command about a stage, which also accepts the stage's fields."""

    config: Path | None = option(None, "YAML file of `rlsp sft` or `rlsp grpo`")
    stage: Literal["sft", "grpo"] | None = option(None, "kind of the stage; default: determined by its fields")
    json: bool = option(False, "print the result as JSON")
    described: stages.Stage = field(init=False)

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> Self:
        """The command, and the stage that its other arguments describe; without a network, the hub is not queried."""
        offline_without_network()
        given, overrides = stages.parse_known(cls, arguments, f"rlsp {cls.__name__.lower()}")
        if given.config is None:
            also = ", or --recipe NAME for all stages of a recipe" if hasattr(given, "recipe") else ""
            raise ConfigError(f"no stage: give its YAML file with --config FILE{also}")
        kind, words = given.stage or stages.kind_of(given.config), ["--config", str(given.config), *overrides]
        ranks: Any = {name: getattr(given, name) for name in ("processes", "elsewhere") if hasattr(given, name)}
        given.described = stages.read_stage(kind, words, also=vars(given), **{"processes": 1, **ranks})
        return given


def offline_without_network() -> None:
    """If no proxy is set and the hub is unreachable, set its client to offline before its import: it would wait."""
    if not any(map(os.environ.get, ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HF_HUB_OFFLINE"))):
        try:
            socket.create_connection(("huggingface.co", 443), timeout=3).close()
        except OSError:
            os.environ["HF_HUB_OFFLINE"] = "1"


@dataclass
class Doctor(OfStage):
    """Check the YAML file of `rlsp sft` or `rlsp grpo` without loading weights. Other arguments override its fields.
    Exits with status 1 if an error is found."""

    processes: int | None = option(None, "ranks that the stage will run on; default: $WORLD_SIZE or 1")
    elsewhere: bool = option(False, "the stage will run on another machine: skip hardware, disk and judge")

    def __post_init__(self) -> None:
        if self.processes is not None and self.processes < 1:
            raise ConfigError(f"--processes is a number of ranks, at least 1, got {self.processes}")

    def execute(self) -> int:
        """Print the findings; return 1 if one is an error."""
        findings = examine(self.described)
        if self.json:
            print(json.dumps([asdict(finding) for finding in findings], indent=2))
        else:
            _show_findings(findings, self.config or Path())
        return int(any(finding.severity == "error" for finding in findings))


def _show_findings(findings: list[Finding], path: Path) -> None:
    console = Terminal(soft_wrap=True)
    lines = path.read_text(encoding="utf-8").splitlines()
    for finding in findings:
        console.print(finding.severity, style=_COLORS[finding.severity], end=" ")
        console.print(f"{finding.check}: {finding.what}\n    {finding.why}")
        if finding.change:
            console.print(f"    change {_where(finding, path, lines)}")
    errors, warnings, unchecked = (sum(finding.severity == name for finding in findings) for name in _COLORS)
    console.print(f"{path}: {errors} errors, {warnings} warnings, {unchecked} not checked")


def _where(finding: Finding, path: Path, lines: Sequence[str]) -> str:
    """The place for a finding's line: the line of the file that sets the field, or a new one."""
    name, colon, _ = finding.change.partition(":")
    if not (colon and name.isidentifier()):
        return finding.change
    for number, line in enumerate(lines, start=1):
        if re.match(rf"{name}\s*:", line):
            return f"{path}:{number}: `{line.split(' #')[0].strip()}` to `{finding.change}`"
    return f"{path}: add `{finding.change}`"
