"""`rlsp harvest RUN`: what a model found out in RL, as demonstrations for SFT."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from trl_rlsp.errors import ConfigError
from trl_rlsp.files import write_json, write_lines
from trl_rlsp.stages import parse_known

if TYPE_CHECKING:
    from trl_rlsp.selfplay import Harvest, HeldOut, Judged
    from trl_rlsp.stages import ProblemArguments


@dataclass
class HarvestArguments:
    """Keep the completions of a run that are verified, finished, novel and no duplicates, at most K of a problem, as
    demonstrations for `rlsp sft --demonstrations file --dataset FILE`. Problems of the run's evaluations never get in.
    Every field of a data set can be given as well, e.g. --dataset SOURCE for a run that does not say what it was
    trained on."""

    run: Path = field(metadata={"positional": 1, "help": "folder of `rlsp run`, of a GRPOTrainer, or of `rlsp eval`"})
    output: Path | None = field(
        default=None, metadata={"help": "file to write; default RUN/harvest/demonstrations.jsonl"}
    )
    per_problem: int = field(default=2, metadata={"metavar": "K", "help": "demonstrations of one problem"})
    prefer: Literal["diverse", "shortest"] = field(default="diverse", metadata={"help": "which of one problem's"})
    novelty: float = field(default=0.2, metadata={"help": "least share of new 8-grams"})
    exclude: list[str] = field(
        default_factory=list,
        metadata={"action": "extend", "metavar": "SOURCE", "help": "further evaluation set, SOURCE or SOURCE@SPLIT"},
    )
    config: str | None = field(
        default=None, metadata={"help": "YAML file of the RL stage, if the run does not name it"}
    )
    round: int | None = field(default=None, metadata={"help": "also write mixture.jsonl and problems.jsonl for it"})
    seed: int = field(default=0, metadata={"help": "of the draw of the mixture"})
    harvested_share: float = field(default=0.5, metadata={"help": "least share of the harvest in the mixture"})
    solve_rate_low: float = field(default=0.1, metadata={"help": "problems solved more rarely are not kept"})
    solve_rate_high: float = field(default=0.9, metadata={"help": "problems solved more often are not kept"})


def parse_harvest(arguments: Sequence[str]) -> tuple[HarvestArguments, list[str]]:
    """Settings of a harvest, and the fields of its data set that were given.

    Raises:
        ConfigError: a field or a value that cannot work.
    """
    from trl_rlsp.evaluation import Band
    from trl_rlsp.selfplay import Demonstrated, mixed, select, source_from
    from trl_rlsp.stages import ProblemArguments

    given, rest = parse_known(HarvestArguments, arguments, "rlsp harvest")
    source_from(ProblemArguments, {}, rest)
    Demonstrated([], novelty=given.novelty)
    select([], given.per_problem, given.prefer)
    mixed([], [], given.harvested_share, given.seed)
    Band(given.solve_rate_low, given.solve_rate_high)
    if given.output is not None and given.output.suffix != ".jsonl":
        raise ConfigError(f"--output is a .jsonl file, got {str(given.output)!r}")
    return given, rest


@dataclass(frozen=True)
class Material:
    """All that a harvest is made from.

    Attributes:
        folder: where the completions were logged.
        source: the data set they were sampled for, if it is known.
        problems: its rows.
        judged: the completions with their verdicts.
        originals: the demonstrations that the model was trained on.
        held_out: the problems of the evaluation sets.
        excluded: names of these sets.
    """

    folder: Path
    source: ProblemArguments | None
    problems: Sequence[Mapping[str, Any]]
    judged: Sequence[Judged]
    originals: Sequence[Mapping[str, Any]]
    held_out: HeldOut
    excluded: Sequence[str]


def run_harvest(arguments: Sequence[str]) -> None:
    """Harvest a run and print what became of its completions.

    Args:
        arguments: command-line arguments.

    Raises:
        RLSPError: a run or settings that cannot work, or nothing to harvest.
    """
    from trl_rlsp.selfplay import Demonstrated, harvest

    given, rest = parse_harvest(arguments)
    material = collect(given, rest)
    found = harvest(
        material.judged,
        demonstrated=Demonstrated(material.originals, novelty=given.novelty),
        held_out=material.held_out,
        per_problem=given.per_problem,
        prefer=given.prefer,
        run=given.run.resolve().name,
    )
    output = given.output or given.run / "harvest" / "demonstrations.jsonl"
    write_lines(output, found.rows)
    counts = {
        **found.counts(),
        "source": material.source.dataset if material.source else None,
        "demonstrations_before": len(material.originals),
        "excluded": list(material.excluded),
    }
    if given.round is not None:
        counts["round"] = prepare_round(given, material, found, output.parent)
    show(found, counts, output)
    # written last: its presence says that all is there
    write_json(output.with_suffix(".json"), counts)


def collect(given: HarvestArguments, rest: Sequence[str]) -> Material:
    """Read a run, and verify its completions again.

    Raises:
        RLSPError: a run that cannot be read, or data that cannot be loaded.
    """
    from trl_rlsp.rewards import OutcomeVerifier
    from trl_rlsp.runs import completion_files, read_completions
    from trl_rlsp.selfplay import HeldOut, demonstration_source, judge, problem_source, trained_on

    folder = stage_folder(completion_files(given.run)[0])
    source = problem_source(folder, rest, given.config)
    held_out = held_out_sources(folder, source, given.exclude)
    completions = read_completions([folder])
    problems = list(source.load()) if source else []
    demonstrated = demonstration_source(folder)
    with OutcomeVerifier(batch_seconds=3600) as verifier:
        judged = judge(completions, problems, verifier)
    return Material(
        folder,
        source,
        problems,
        judged,
        trained_on(*demonstrated) if demonstrated else [],
        HeldOut(row for other in held_out for row in other.load()),
        [str(other.dataset) for other in held_out],
    )


def held_out_sources(folder: Path, source: ProblemArguments | None, names: Iterable[str]) -> list[ProblemArguments]:
    """The evaluation sets: those of the run's own evaluations, what its training left out, and those that are named."""
    from trl_rlsp.selfplay import evaluation_sources, held_out_source

    found = evaluation_sources(folder) if (folder / "completions").is_dir() else []
    named = list(names)
    if source and source.exclude:
        named.append(f"{source.exclude}@{source.exclude_split}" if source.exclude_split else source.exclude)
    for name in named:
        same_task = source and str(source.dataset).partition("?")[0] == name.partition("?")[0]
        other = held_out_source(name, source.prompt_style if source and same_task else "task")
        if other.dataset not in [one.dataset for one in found] or other.dataset_split:
            found.append(other)
    return found


def prepare_round(given: HarvestArguments, material: Material, found: Harvest, folder: Path) -> dict[str, int]:
    """Write the demonstrations and the problems of a round.

    Args:
        given: settings.
        material: what the harvest was made from.
        found: the harvest.
        folder: where to write.

    Returns:
        Counts of the round.

    Raises:
        ConfigError: the data set is not known.
        DataError: no problem is left.
    """
    from trl_rlsp.evaluation import Band
    from trl_rlsp.selfplay import mixed, next_problems, solve_rates

    if material.source is None:
        raise ConfigError("a round needs the data set of its run, which is not recorded: give it with --dataset")
    band = Band(given.solve_rate_low, given.solve_rate_high)
    problems, counts = next_problems(material.problems, solve_rates(material.judged), band, material.held_out)
    mixture = mixed(found.rows, material.originals, given.harvested_share, given.seed)
    write_lines(folder / "mixture.jsonl", mixture)
    write_lines(folder / "problems.jsonl", problems)
    return {"mixture": len(mixture), **counts}


def stage_folder(file: Path) -> Path:
    """The folder of the stage that logged a file of completions."""
    return file.parent.parent if file.parent.name == "completions" else file.parent


def show(found: Harvest, counts: Mapping[str, Any], output: Path) -> None:
    """Print what became of the completions."""
    from rich.table import Table

    from trl_rlsp.text import Terminal

    table = Table("completions", "number")
    table.columns[1].justify = "right"
    table.add_row("read", str(found.read))
    for reason, count in found.dropped.items():
        table.add_row(f"dropped: {reason}", str(count))
    table.add_row(f"kept, for {found.problems} problems", str(len(found.rows)))
    console = Terminal()
    console.print(table)
    for name, value in counts.get("round", {}).items():
        console.print(f"{name.replace('_', ' ')}: {value}")
    console.print(f"demonstrations: {output}", soft_wrap=True)
