"""Metrics over the steps of RL, and how they changed from its first part to its last."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trl_rlsp.runs.completion import accuracy_part

_PART = re.compile(r"rewards/(.+)/mean\Z")
FEWEST = 3
"""Values that a window must hold before its mean is compared with another's."""


def values_of(history: Sequence[Mapping[str, Any]], key: str) -> tuple[list[int], list[float]]:
    """Steps and values of a metric, where it was logged as a finite number."""
    found = [(entry["step"], entry[key]) for entry in history if _is_number(entry.get(key))]
    return [step for step, _ in found], [float(value) for _, value in found]


def reward_parts(history: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of the reward functions that TRL logged, in the order in which they first occur."""
    names = {match.group(1): None for entry in history for key in entry if (match := _PART.match(key))}
    return list(names)


def accuracy_key(history: Sequence[Mapping[str, Any]], *, held_out: bool = False) -> str | None:
    """The metric that is the accuracy, on training problems or on `eval_dataset`."""
    part = accuracy_part(reward_parts(history))
    if part is None:
        return None
    key = f"{'eval_' if held_out else ''}rewards/{part}/mean"
    return key if any(_is_number(entry.get(key)) for entry in history) else None


@dataclass(frozen=True)
class Change:
    """How a metric changed over training.

    Attributes:
        before: mean over the first quarter of its values (at least 3 of them).
        after: mean over the last quarter.
        error: standard error of `after - before`, from the scatter within the two windows.
    """

    before: float
    after: float
    error: float

    @property
    def size(self) -> float:
        """`after - before`."""
        return self.after - self.before

    def rises(self, least: float) -> bool:
        """Whether it grew by more than `least` and by more than two standard errors."""
        return self.size > max(least, 2 * self.error)

    def falls(self, least: float) -> bool:
        """Whether it shrank by more than `least` and by more than two standard errors."""
        return -self.size > max(least, 2 * self.error)


def change(values: Sequence[float]) -> Change | None:
    """First quarter against last quarter; `None` with fewer than 6 values.

    Example:
        >>> change([1, 1, 1, 5, 3, 3, 3])
        Change(before=1.0, after=3.0, error=0.0)
    """
    width = max(FEWEST, len(values) // 4)
    if len(values) < 2 * width:
        return None
    (before, first), (after, last) = _moments(values[:width]), _moments(values[-width:])
    return Change(before, after, math.sqrt(first + last))


def last_mean(values: Sequence[float]) -> float | None:
    """Mean over the last quarter; `None` with fewer than 3 values."""
    width = max(FEWEST, len(values) // 4)
    return _moments(values[-width:])[0] if len(values) >= FEWEST else None


def _moments(values: Sequence[float]) -> tuple[float, float]:
    """Mean, and its squared standard error."""
    mean = sum(values) / len(values)
    variance = sum((v - mean) ** 2 for v in values) / (len(values) - 1)
    return mean, variance / len(values)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
