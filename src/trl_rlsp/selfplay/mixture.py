"""What the next round trains on: the harvest among the demonstrations before it, and the problems solved sometimes."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trl_rlsp.errors import ConfigError, DataError
from trl_rlsp.evaluation import Band
from trl_rlsp.selfplay.judging import Judged, key_of
from trl_rlsp.selfplay.known import HeldOut


def mixed(
    harvested: Sequence[Mapping[str, Any]], originals: Sequence[Mapping[str, Any]], share: float, seed: int
) -> list[Mapping[str, Any]]:
    """Harvested demonstrations with as many of the originals as leave them their share.

    Args:
        harvested: H rows, all of which stay.
        originals: rows to draw from, without replacement.
        share: smallest share of harvested rows, above 0, at most 1; 1 leaves the originals out.
        seed: of the draw.

    Returns:
        At most H / share rows, the harvested first.

    Raises:
        ConfigError: a share out of its range.

    Example:
        >>> len(mixed([{"prompt": "a"}], [{"prompt": "b"}, {"prompt": "c"}], 0.5, seed=0))
        2
    """
    if not 0 < share <= 1:
        raise ConfigError(f"harvested_share is above 0 and at most 1, got {share!r}")
    wanted = min(len(originals), int(len(harvested) * (1 - share) / share + 1e-9))
    drawn = sorted(random.Random(seed).sample(range(len(originals)), wanted))
    return [*harvested, *(originals[index] for index in drawn)]


def solve_rates(judged: Iterable[Judged]) -> dict[str, float]:
    """Key of each problem with a scorable completion -> mean score of these."""
    scores: dict[str, list[float]] = {}
    for item in judged:
        if item.score is not None:
            scores.setdefault(item.key, []).append(item.score)
    return {key: sum(values) / len(values) for key, values in scores.items()}


@dataclass(frozen=True)
class NextProblems:
    """The problems of a round.

    Attributes:
        rows: as `load_problems` reads them from a file.
        retained: how many of them RL saw before.
        unseen: how many it did not.
        left_out: problems that RL saw and whose solve rate is outside the band.
    """

    rows: Sequence[Mapping[str, Any]]
    retained: int
    unseen: int
    left_out: int


def next_problems(
    problems: Iterable[Mapping[str, Any]], rates: Mapping[str, float], band: Band, held_out: HeldOut
) -> NextProblems:
    """Choose the problems of a round: those whose solve rate lies in the band, and those that RL has not seen.

    Args:
        problems: of the round before, rows of `load_problems`.
        rates: solve rates of the round before.
        band: of solve rates that stay.
        held_out: the problems of the evaluation sets, which never get in.

    Raises:
        DataError: none is left, or problems whose outcome is a program, of which there are no demonstrations.
    """
    chosen: dict[str, Mapping[str, Any]] = {}
    unseen, left_out = set(), set()
    for row in problems:
        key = key_of(row)
        if key in rates and rates[key] not in band:
            left_out.add(key)
        elif key in rates:
            chosen.setdefault(key, row)
        elif not held_out.has(row):
            chosen.setdefault(key, row)
            unseen.add(key)
    if not chosen:
        raise DataError(
            f"no problem is left for the next round: {len(left_out)} have a solve rate outside {band.low} to "
            f"{band.high}, and RL has seen every other one; widen the band, or take a larger source"
        )
    rows = [stored(row) for row in chosen.values()]
    return NextProblems(rows, len(chosen) - len(unseen), len(unseen), len(left_out))


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
