"""From the folder of a run to the files of a harvest, and to those of the next round.

The settings recorded by stages (`settings.json`) and evaluations (`metrics.json`) are read as dataclasses.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from trl_rlsp.errors import ConfigError, DataError
from trl_rlsp.evaluation import Band, load_settings, stored_row
from trl_rlsp.files import write_json, write_lines
from trl_rlsp.problems import problem_key
from trl_rlsp.rewards import OutcomeVerifier
from trl_rlsp.runs import completion_files, read_completions
from trl_rlsp.selfplay._harvest import Demonstrated, Harvest, HeldOut, harvest, judge, select, solve_rates
from trl_rlsp.stages import DemonstrationArguments, ProblemArguments, option, parse_fields, read_record, settings_of
from trl_rlsp.text import read

MIXTURE_FILE = "mixture.jsonl"
PROBLEMS_FILE = "problems.jsonl"
# with this template, a row whose reasoning is a whole completion becomes that completion again
NEUTRAL_TEMPLATE = "{reasoning}\n\n\\boxed{{answer}}"

Source = TypeVar("Source", bound=ProblemArguments)


@dataclass(kw_only=True)
class Selection:
    """Which completions a harvest keeps, and the data that the next round trains on."""

    per_problem: int = option(2, "most harvested demonstrations per problem")
    prefer: Literal["diverse", "shortest"] = option("diverse", "how to choose among those of one problem")
    novelty: float = option(0.2, "least share of 8-grams that no demonstration of the same problem has")
    harvested_share: float = option(0.5, "least share of harvested demonstrations in the next SFT")
    solve_rate_low: float = option(0.1, "problems solved less often are not kept")
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
    """Read a run, verify its completions again and write those that are kept to `output`; a file of counts comes last.

    `given` are arguments for the data set that the run was trained on; `config` is the YAML file of the RL stage if the
    run has no record of it. `next_round` also writes demonstrations and problems for the next round, drawn with `seed`.
    """
    file = completion_files(run)[0]
    folder = file.parent.parent if file.parent.name == "completions" else file.parent
    source = problem_source(folder, given, config)
    sets = held_out_sources(folder, source, exclude)
    problems = list(source.load()) if source else []
    with OutcomeVerifier(batch_seconds=86_400) as verifier:
        judged = judge(read_completions([folder]), problems, verifier)
    originals = trained_on(folder)
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
    counts = {**found.counts(), "source": source.dataset if source else None, "demonstrations_before": len(originals)}
    counts["excluded"] = [str(other.dataset) for other in sets]
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


def _source_from(kind: type[Source], settings: Mapping[str, Any], given: Sequence[str] = ()) -> Source:
    """The fields of `kind` from the settings of a stage and the arguments `given`, which take precedence."""
    own = {name: value for name, value in settings.items() if name in kind.__dataclass_fields__ and value is not None}
    return parse_fields(kind, given, "rlsp harvest", written=lambda _: own)


def _recorded(folder: Path) -> dict[str, Any]:
    """The recorded settings of a stage or an evaluation, those of a preset included; empty if there are none."""
    try:
        evaluated = load_settings(folder) if (folder / "metrics.json").is_file() else {}
        return {**evaluated, **(read_record(folder) or {"settings": {}})["settings"]}
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder}: {error}; give the data set with --dataset") from error


def problem_source(folder: Path, given: Sequence[str] = (), config: str | None = None) -> ProblemArguments | None:
    """The data set of the completions in `folder`; `None` if neither the run nor the caller names one."""
    named = any(argument.partition("=")[0] == "--dataset" for argument in given)
    settings = {} if named else settings_of(["--config", config]) if config else _recorded(folder)
    source = _source_from(ProblemArguments, settings, given)
    return source if source.dataset else None


def held_out_sources(folder: Path, source: ProblemArguments | None, names: Iterable[str]) -> list[ProblemArguments]:
    """The evaluation sets: those of evaluations beside the RL stage, the ones that training excluded, and `names`, in
    the prompt style of `source` if they are generated by the same task."""
    beside = sorted(folder.parent.glob("eval_*")) if (folder / "completions").is_dir() else []
    found: list[ProblemArguments] = []
    for settings in filter(None, map(_recorded, beside)):
        other = _source_from(ProblemArguments, settings)
        found += [other] if other not in found else []
    left_out = [f"{source.exclude}@{source.exclude_split or ''}"] if source and source.exclude else []
    for name in [*names, *left_out]:
        dataset, _, split = name.partition("@")
        if not dataset:
            raise ConfigError(f"--exclude needs SOURCE or SOURCE@SPLIT, got {name!r}")
        task = dataset.partition("?")[0] if dataset.startswith("reasoning_gym:") else None
        same_task = source and task == str(source.dataset).partition("?")[0]
        style = source.prompt_style if source and same_task else "task"
        if split or dataset not in [other.dataset for other in found]:
            found.append(ProblemArguments(dataset=dataset, dataset_split=split or None, prompt_style=style))
    return found


def trained_on(folder: Path) -> list[dict[str, Any]]:
    """The rows of the SFT stage beside an RL stage, if any: `prompt`, `reasoning` (the completion) and `answer`."""
    settings = _recorded(folder.parent / "sft")
    if not settings:
        return []
    rows = []
    for row in _source_from(DemonstrationArguments, settings).load_rows(int(settings.get("seed", 0))):
        messages = row.get("messages") or []
        prompt, completion = (messages[:-1], messages[-1:]) if messages else (row["prompt"], row["completion"])
        text = completion if isinstance(completion, str) else completion[-1]["content"]
        rows.append({"prompt": prompt, "reasoning": text, "answer": (read(text).answer or "").strip()})
    return rows


def mixed(
    harvested: Sequence[Mapping[str, Any]], originals: Sequence[Mapping[str, Any]], share: float, seed: int
) -> list[Mapping[str, Any]]:
    """Harvested demonstrations, then as many originals, drawn with `seed`, as keep the harvest's share >= `share`."""
    if not 0 < share <= 1:
        raise ConfigError(f"harvested_share is above 0 and at most 1, got {share!r}")
    wanted = min(len(originals), int(len(harvested) * (1 - share) / share + 1e-9))
    drawn = sorted(random.Random(seed).sample(range(len(originals)), wanted))
    return [*harvested, *(originals[index] for index in drawn)]


def next_problems(
    problems: Iterable[Mapping[str, Any]], rates: Mapping[str, float], band: Band, held_out: HeldOut
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Choose among the problems of the previous round: those whose solve rate (by `problem_key`) lies in the band, and
    those that RL has not seen, unless they are held out.

    Returns:
        Rows of a file that `load_problems` can read, and counts of retained, unseen and left-out problems.

    Raises:
        DataError: no problem is left, or a problem has tests for programs, which cannot be demonstrated.
    """
    chosen: dict[str, Mapping[str, Any]] = {}
    left_out = set()
    for row in problems:
        key = problem_key(row)
        if key in rates and band.verdict(rates[key]):
            left_out.add(key)
        elif key in rates or not held_out.has(row):
            chosen.setdefault(key, row)
    if not chosen:
        raise DataError(
            f"no problem is left for the next round: {len(left_out)} have a solve rate outside {band.low} to "
            f"{band.high}, and RL has seen every other one; widen the band, or take a larger source"
        )
    retained = sum(key in rates for key in chosen)
    counts = {"retained": retained, "unseen": len(chosen) - retained, "left_out": len(left_out)}
    if any(row.get("tests") is not None for row in chosen.values()):
        raise DataError("rounds of self-play need final answers, got a problem whose answer is a program with tests")
    return [stored_row(row) for row in chosen.values()], {f"problems_{name}": count for name, count in counts.items()}
