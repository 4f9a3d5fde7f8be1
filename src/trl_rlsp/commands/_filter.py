"""`rlsp filter`: the problems that a model solves sometimes, as a data set file for RL."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trl_rlsp.errors import ConfigError
from trl_rlsp.files import write_json, write_lines
from trl_rlsp.stages import EvaluationArguments, parse_fields

if TYPE_CHECKING:
    from trl_rlsp.evaluation import Band, Filtered
    from trl_rlsp.text import Terminal

AS_IN_RL = {"max_completion_length": "max_new_tokens"}
"""Field of an RL stage -> field of the sampling that means the same."""


@dataclass
class FilterArguments(EvaluationArguments):
    """Which problems to keep; samples are drawn as in RL: temperature 1, at most 4096 tokens, unless the file says.

    Args:
        n: samples of each problem.
        low: problems solved more rarely are left out, 0 to 1.
        high: problems solved more often are left out, 0 to 1.
        output: the .jsonl file to write.
        output_dir: folder of the samples, which are not drawn again; default beside `output`.
        temperature: as in the RL stage.
        max_new_tokens: as `max_completion_length` of the RL stage.
    """

    n: int = 8
    low: float = 0.1
    high: float = 0.9
    output: str = "problems.jsonl"
    temperature: float = 1.0
    max_new_tokens: int = 4096

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

    def band(self) -> Band:
        """The band of solve rates.

        Raises:
            ConfigError: not 0 <= low <= high <= 1.
        """
        from trl_rlsp.evaluation import Band

        return Band(self.low, self.high)


def run_filter(arguments: list[str]) -> None:
    """Sample, score, keep the band and write the file; samples of a run that was cut off are not drawn again.

    Args:
        arguments: command-line arguments; `--config FILE` names an RL stage or an evaluation.

    Raises:
        RLSPError: data or settings that cannot work, before a model is loaded; or no problem is left.
    """

    from trl_rlsp.commands._evaluating import check_eval, draw_samples, verifier_of
    from trl_rlsp.evaluation import check_read_back, keep_band, score_samples
    from trl_rlsp.text import Terminal
    from trl_rlsp.verification import require_sandbox

    settings = parse_filter(arguments)
    band = settings.band()
    name, sampling = check_eval(settings)
    problems = settings.load()
    require_sandbox(problems.column_names)
    console = Terminal()
    samples = draw_samples(settings, name, sampling, problems, console)
    with verifier_of(settings, name) as verifier:
        scored = score_samples(samples, problems, verifier)
    rows = problems.to_list()
    found = keep_band(rows, scored, band)
    output = Path(settings.output)
    write_lines(output, found.rows)
    check_read_back(output, [rows[index] for index in found.kept])
    written = {**found.counts(), "settings": dataclasses.asdict(settings)}
    write_json(output.with_suffix(".json"), written)
    show(found, settings, console)


def parse_filter(arguments: list[str]) -> FilterArguments:
    """The settings: the command line's, else the YAML file's, else the defaults.

    Fields of an RL stage that sampling has no use for, such as a learning rate, are passed over; those of the command
    line must exist.

    Raises:
        ConfigError: a field or a value that cannot work.
    """
    return parse_fields(FilterArguments, arguments, "rlsp filter", written=stage_fields)


def stage_fields(written: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a stage's YAML file that decide what is sampled.

    Args:
        written: the file.
        folder: where it lies.
    """
    # an RL stage's seed and folder are those of its training
    names = {f.name for f in dataclasses.fields(FilterArguments)} - {"output_dir", "seed", "batch_size", "num_samples"}
    fields = {AS_IN_RL.get(name, name): value for name, value in written.items() if value is not None}
    return {name: value for name, value in fields.items() if name in names}


def show(found: Filtered, settings: FilterArguments, console: Terminal) -> None:
    """Print what became of the problems, and how the file is read."""
    from rich.table import Table

    counts = found.counts()
    table = Table("problems", "number", title=f"solve rates of {settings.n} samples")
    table.columns[1].justify = "right"
    table.add_row("sampled", str(counts["problems"]))
    for reason, count in found.dropped.items():
        table.add_row(f"dropped: {reason}", str(count))
    table.add_row(f"kept, {settings.low:g} to {settings.high:g}", str(counts["kept"]))
    console.print(table)
    partly = sum(row["scored_samples"] < settings.n for row in found.rows)
    if partly:
        console.print(f"{partly} kept problems have samples without a score, which have no part in their solve rate")
    reading = f"--dataset {settings.output}"
    if settings.prompt_style != "task" or settings.system_prompt == "none":
        reading += " --prompt_style task --system_prompt none"
    console.print(f"read it with: rlsp grpo {reading}", soft_wrap=True)
