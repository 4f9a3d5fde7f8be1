"""The problems of the next round: those that the model solves sometimes, and fresh ones.

Difficulty follows the solve rate. A problem that RL saw is kept while its solve rate lies in a band: one that is
always or never solved gives GRPO no signal. Fresh problems are those of the source that RL has not seen; a generator
makes new ones from another seed, and from the next of a list of harder sources once the model solves most of what it
is given.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trl_rlsp.errors import ConfigError, DataError
from trl_rlsp.problems.gym_source import PREFIX
from trl_rlsp.selfplay.heldout import HeldOut
from trl_rlsp.selfplay.judging import Judged, key_of
from trl_rlsp.stages.arguments import ProblemArguments

SEED_STEP = 10_000_000
"""Between the seeds of two rounds; reasoning-gym draws problem i from `seed + i`."""

RECENT = 0.25
"""Share of the logged steps, the last ones, whose solve rate decides on harder problems."""


@dataclass(frozen=True)
class Band:
    """Solve rates worth training on.

    Args:
        low: lowest solve rate, which belongs to it.
        high: highest, likewise; with 8 completions a problem, 0.1 to 0.9 is 1 to 7 solved.

    Raises:
        ConfigError: not 0 <= low <= high <= 1.
    """

    low: float = 0.1
    high: float = 0.9

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high <= 1:
            raise ConfigError(f"a band of solve rates is 0 <= low <= high <= 1, got {self.low!r} to {self.high!r}")

    def __contains__(self, rate: object) -> bool:
        return isinstance(rate, float) and self.low <= rate <= self.high


def solve_rates(judged: Iterable[Judged]) -> dict[str, float]:
    """Mean score of each problem's completions, those that are not scorable left out.

    Returns:
        Key of the problem -> solve rate, for problems with at least one scorable completion.
    """
    scores: dict[str, list[float]] = {}
    for item in judged:
        if item.score is not None:
            scores.setdefault(item.key, []).append(item.score)
    return {key: sum(values) / len(values) for key, values in scores.items()}


def recent_solve_rate(judged: Sequence[Judged]) -> float | None:
    """Mean score over the last quarter of the logged steps, at least one; `None` if nothing in it is scorable."""
    steps = sorted({item.rollout.step or 0 for item in judged})
    recent = set(steps[-max(1, int(len(steps) * RECENT)) :])
    scores = [item.score for item in judged if item.score is not None and (item.rollout.step or 0) in recent]
    return sum(scores) / len(scores) if scores else None


def level_after(level: int, rate: float | None, promote: float, harder: Sequence[str]) -> int:
    """The level of the next round: one up where the recent solve rate has reached `promote`.

    Args:
        level: of this round; 0 is the recipe's own source, k the k-th of `harder`.
        rate: recent solve rate.
        promote: the rate from which on problems get harder.
        harder: sources, each harder than the one before.

    Example:
        >>> level_after(0, 0.8, 0.7, ["harder"]), level_after(0, 0.6, 0.7, ["harder"]), level_after(1, 0.8, 0.7, ["h"])
        (1, 0, 1)
    """
    return min(level + 1, len(harder)) if rate is not None and rate >= promote else level


def fresh_problems(
    source: ProblemArguments, seen: Sequence[Mapping[str, Any]], round_number: int, level: int, harder: Sequence[str]
) -> list[Mapping[str, Any]]:
    """Problems that may be new to the model.

    Args:
        source: the recipe's.
        seen: the problems of the round before.
        round_number: of the round they are for, from 2; each round has its own seed of a generator.
        level: 0 for the recipe's source, k for the k-th of `harder`.
        harder: sources, each harder than the one before.

    Returns:
        Newly generated problems; from a source that is no generator those of the round before and, above level 0,
        those of the harder source.
    """
    name = harder[level - 1] if level else source.required()
    if name.startswith(PREFIX):
        name = reseeded(name, SEED_STEP * (round_number - 1), source.dataset_seed)
        return list(dataclasses.replace(source, dataset=name).load())
    return [*seen, *(dataclasses.replace(source, dataset=name, dataset_limit=None).load() if level else ())]


def reseeded(source: str, add: int, seed: int = 0) -> str:
    """A generator's source with another seed.

    Args:
        source: `reasoning_gym:TASK?param=value`.
        add: added to its seed.
        seed: its seed where it names none.

    Raises:
        ConfigError: a seed that is no number.

    Example:
        >>> reseeded("reasoning_gym:countdown?seed=1&size=9", 10)
        'reasoning_gym:countdown?size=9&seed=11'
    """
    task, _, query = source.partition("?")
    parts = [part for part in query.split("&") if part]
    given = [part.removeprefix("seed=") for part in parts if part.startswith("seed=")]
    try:
        own = int(given[-1]) if given else seed
    except ValueError as error:
        raise ConfigError(f"rounds need a generator whose seed is a number, got {source!r}") from error
    return f"{task}?{'&'.join([*(p for p in parts if not p.startswith('seed=')), f'seed={own + add}'])}"


@dataclass(frozen=True)
class NextProblems:
    """The problems of a round.

    Attributes:
        rows: as `load_problems` reads them from a file.
        kept: how many of them RL saw before.
        fresh: how many it did not.
        left_out: problems that RL saw and whose solve rate is outside the band.
    """

    rows: Sequence[Mapping[str, Any]]
    kept: int
    fresh: int
    left_out: int


def next_problems(
    seen: Iterable[Mapping[str, Any]],
    fresh: Iterable[Mapping[str, Any]],
    rates: Mapping[str, float],
    band: Band,
    held_out: HeldOut,
) -> NextProblems:
    """Choose the problems of a round.

    Args:
        seen: the problems of the round before, rows of `load_problems`.
        fresh: problems that may be new.
        rates: solve rates of the round before.
        band: of solve rates that are kept.
        held_out: the problems of the evaluation sets, which never get in.

    Raises:
        DataError: none is left, or problems whose outcome is a program, of which there are no demonstrations.
    """
    chosen: dict[str, Mapping[str, Any]] = {}
    left_out: set[str] = set()
    for row in seen:
        key = key_of(row)
        if key in rates and rates[key] in band:
            chosen.setdefault(key, row)
        elif key in rates:
            left_out.add(key)
    kept = len(chosen)
    for row in fresh:
        key = key_of(row)
        if key not in rates and key not in chosen and not held_out.has(row):
            chosen[key] = row
    if not chosen:
        raise DataError(
            f"no problem is left for the next round: {len(left_out)} have a solve rate outside {band.low} to "
            f"{band.high}, and the source has no fresh ones; widen the band, or name harder sources"
        )
    return NextProblems([stored(row) for row in chosen.values()], kept, len(chosen) - kept, len(left_out))


def stored(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of `load_problems` as a line of a file that `load_problems` reads back.

    Raises:
        DataError: a problem with tests: rounds need answers in a box.
    """
    if row.get("tests") is not None:
        raise DataError("rounds of self-play need final answers; the outcome of this problem is a program with tests")
    names = ("task", "level", "subject", "id")
    return {
        "problem": row["prompt"],
        "answer": row["solution"] or "unknown",  # some tasks give none; their scorer decides
        **{n: row[n] for n in names if row.get(n) is not None},
    }
