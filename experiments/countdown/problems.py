"""Train, validation and test problems that share nothing, with the difficulty of each."""

from __future__ import annotations

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
    """Load the problems; no (numbers, target) is in two of the sets.

    Raises:
        DataError: the held-out source has fewer different problems than test and validation need.
    """
    from trl_rlsp.data import load_problems

    grid.module()
    held_out = load_problems(grid.problems["held_out"], prompt_style="compact", unique=True)
    test, validation = grid.problems["test"], grid.problems["validation"]
    if len(held_out) < test + validation:
        raise DataError(
            f"{test} test and {validation} validation problems are wanted, the source has {len(held_out)} different "
            "ones: raise its size"
        )
    train = load_problems(grid.problems["train"], prompt_style="compact", unique=True, exclude=held_out)
    return Problems(train, held_out.select(range(test, test + validation)), held_out.select(range(test)))


def difficulties(grid: Grid, rows: Dataset) -> list[float]:
    """Difficulty of each problem, as the grid's domain defines it."""
    measure: Any = grid.module().difficulty
    return [round(float(measure(row)), 4) for row in rows]
