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
        validation: for choosing learning rates.
        test: for the results.
    """

    train: Dataset
    validation: Dataset
    test: Dataset


def load(grid: Grid) -> Problems:
    """Load the problems; no problem is in two of the sets.

    Raises:
        DataError: the held-out sources have fewer different problems than test and validation need.
    """
    whole = _load(grid, grid.problems["held_out"])
    held_out = _of_difficulty(grid, whole)
    test, validation = grid.problems["test"], grid.problems["validation"]
    if len(held_out) < test + validation:
        raise DataError(
            f"{test} test and {validation} validation problems are wanted, the source has {len(held_out)} different "
            "ones: raise its size"
        )
    train = _of_difficulty(grid, _load(grid, grid.problems["train"], exclude=whole))
    return Problems(train, held_out.select(range(test, test + validation)), held_out.select(range(test)))


def _load(grid: Grid, sources: str | list[str], exclude: Any = None) -> Dataset:
    """The different problems of a source, in its order, or of several, in random order."""
    from datasets import concatenate_datasets

    from trl_rlsp.data import load_problems

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
