"""Train, validation and test problems that share nothing, with the difficulty of each."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from trl_rlsp.errors import DataError

if TYPE_CHECKING:
    from datasets import Dataset

    from countdown.grid import Grid


class Problems(NamedTuple):
    """The problems of an experiment.

    Attributes:
        train: for RL.
        validation: for choosing learning rates; in no run's RL (the starting model's SFT has seen them).
        test: for the results.
    """

    train: Dataset
    validation: Dataset
    test: Dataset


def load(grid: Grid) -> Problems:
    """Load the problems; no problem is in two of the sets.

    Raises:
        DataError: a source has fewer different problems than are wanted of it.
    """
    whole = _load(grid, grid.problems["held_out"])
    held_out = _of_difficulty(grid, whole)
    train = _of_difficulty(grid, _load(grid, grid.problems["train"], exclude=whole))
    test, rest = grid.problems["test"], len(train) - grid.problems["validation"]
    if len(held_out) < test or rest < 1:
        raise DataError(
            f"{test} test problems are wanted of {len(held_out)} different ones that are held out, "
            f"{grid.problems['validation']} validation problems of {len(train)} different ones for training: raise the "
            "size of the source"
        )
    return Problems(train.select(range(rest)), train.select(range(rest, len(train))), held_out.select(range(test)))


def demonstrable(grid: Grid) -> Dataset:
    """The different problems that demonstrations are written for: of any difficulty, none of them held out.

    Easy ones are among them so that many demonstrations end in a hit: from the hard ones alone a model does not learn
    to tell hits from misses.
    """
    return _load(grid, grid.problems["train"], exclude=_load(grid, grid.problems["held_out"]))


def _load(grid: Grid, sources: str | list[str], exclude: Any = None) -> Dataset:
    """The different problems of a source, in its order, or of several, in random order."""
    from datasets import concatenate_datasets

    from trl_rlsp.problems import load_problems

    own: Any = getattr(grid.module(), "load", None) or partial(load_problems, prompt_style="compact")
    if isinstance(sources, str):
        return own(sources, unique=True, exclude=exclude)
    parts = [own(source, unique=True, exclude=exclude) for source in sources]
    return concatenate_datasets(parts).shuffle(seed=0)


def _of_difficulty(grid: Grid, rows: Dataset) -> Dataset:
    """The rows whose difficulty lies in the experiment's range, ends included; all without a range."""
    if "difficulty" not in grid.problems:
        return rows
    low, high = grid.problems["difficulty"]
    return rows.select([place for place, value in enumerate(difficulties(grid, rows)) if low <= value <= high])


def difficulties(grid: Grid, rows: Dataset) -> list[float]:
    """Difficulty of each problem, as the grid's domain defines it."""
    measure: Any = grid.module().difficulty
    return [round(float(measure(row)), 4) for row in rows]
