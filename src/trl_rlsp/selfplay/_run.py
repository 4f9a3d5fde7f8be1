"""From the folder of a run to the files of a harvest, and those of the round after it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from trl_rlsp.errors import ConfigError
from trl_rlsp.evaluation import Band
from trl_rlsp.files import write_json, write_lines
from trl_rlsp.rewards import OutcomeVerifier
from trl_rlsp.runs import completion_files, read_completions
from trl_rlsp.selfplay._harvest import Harvest, harvest, judge, select, solve_rates
from trl_rlsp.selfplay._sources import (
    Demonstrated,
    HeldOut,
    demonstration_source,
    evaluation_sources,
    held_out_source,
    mixed,
    next_problems,
    problem_source,
    trained_on,
)
from trl_rlsp.stages import ProblemArguments, option

MIXTURE_FILE = "mixture.jsonl"
PROBLEMS_FILE = "problems.jsonl"


@dataclass(kw_only=True)
class Selection:
    """What a harvest keeps, and what the round after it trains on."""

    per_problem: int = option(2, "harvested demonstrations of one problem, at most")
    prefer: Literal["diverse", "shortest"] = option("diverse", "which of one problem's")
    novelty: float = option(0.2, "least share of 8-grams that are new against demonstrations of the same problem")
    harvested_share: float = option(0.5, "least share of the harvest among the demonstrations of the next SFT")
    solve_rate_low: float = option(0.1, "problems solved more rarely are not kept")
    solve_rate_high: float = option(0.9, "problems solved more often are not kept")

    def __post_init__(self) -> None:
        Demonstrated([], novelty=self.novelty)
        select([], self.per_problem, self.prefer)
        mixed([], [], self.harvested_share, 0)
        Band(self.solve_rate_low, self.solve_rate_high)


def harvest_run(
    run: Path,
    output: Path,
    selection: Selection,
    *,
    given: Sequence[str] = (),
    config: str | None = None,
    exclude: Iterable[str] = (),
    next_round: bool = False,
    seed: int = 0,
) -> tuple[Harvest, dict[str, Any]]:
    """Read a run, verify its completions again and write what is kept.

    Args:
        run: folder of `rlsp run`, of a GRPOTrainer, or of an evaluation.
        output: the file to write; counts go beside it, last.
        selection: what to keep.
        given: arguments that say what the run was trained on, such as `--dataset SOURCE`.
        config: YAML file of the RL stage, if the run does not name it.
        exclude: further evaluation sets, SOURCE or SOURCE@SPLIT.
        next_round: also write the demonstrations and the problems of the next round beside it.
        seed: of the draw of these demonstrations.

    Returns:
        The harvest and its counts.

    Raises:
        RLSPError: a run that cannot be read, data that cannot be loaded, or nothing to harvest.
    """
    file = completion_files(run)[0]
    folder = file.parent.parent if file.parent.name == "completions" else file.parent
    source = problem_source(folder, given, config)
    sets = _held_out_sources(folder, source, exclude)
    completions = read_completions([folder])
    problems = list(source.load()) if source else []
    demonstrated = demonstration_source(folder)
    with OutcomeVerifier(batch_seconds=3600) as verifier:
        judged = judge(completions, problems, verifier)
    originals = trained_on(*demonstrated) if demonstrated else []
    held_out = HeldOut(row for other in sets for row in other.load())
    found = harvest(
        judged,
        demonstrated=Demonstrated(originals, novelty=selection.novelty),
        held_out=held_out,
        per_problem=selection.per_problem,
        prefer=selection.prefer,
        run=run.resolve().name,
    )
    write_lines(output, found.rows)
    counts = {
        **found.counts(),
        "source": source.dataset if source else None,
        "demonstrations_before": len(originals),
        "excluded": [str(other.dataset) for other in sets],
    }
    if next_round:
        if source is None:
            raise ConfigError("a round needs the data set of its run, which is not recorded: give it with --dataset")
        band = Band(selection.solve_rate_low, selection.solve_rate_high)
        chosen, of_problems = next_problems(problems, solve_rates(judged), band, held_out)
        mixture = mixed(found.rows, originals, selection.harvested_share, seed)
        write_lines(output.with_name(MIXTURE_FILE), mixture)
        write_lines(output.with_name(PROBLEMS_FILE), chosen)
        counts["round"] = {"mixture": len(mixture), **of_problems}
    write_json(output.with_suffix(".json"), counts)
    return found, counts


def _held_out_sources(folder: Path, source: ProblemArguments | None, names: Iterable[str]) -> list[ProblemArguments]:
    """The evaluation sets: those of the run's own evaluations, what its training left out, and those that are named."""
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
