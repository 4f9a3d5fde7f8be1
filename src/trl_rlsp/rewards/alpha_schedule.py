"""How alpha, the weight of the outcome, moves over a training run.

The paper says that alpha "should be tuned and decayed over time" and did neither (2502.06773, section 2.2). Both
directions are a choice of `start` and `end`: falling, exploration gains weight; rising, exploration helps while
correct answers are rare and fades (as the bonus of 2505.17621 does).

A schedule keeps nothing between steps. It reads `trainer_state`, which TRL saves with each checkpoint, so a run that
is resumed goes on exactly as if it had not been cut off.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, get_args

from trl_rlsp.errors import ConfigError

ScheduleShape = Literal["constant", "linear", "cosine", "solve_rate"]

OUTCOME_METRIC = "rewards/outcome_verifier/mean"


@dataclass(frozen=True)
class AlphaSchedule:
    """alpha as a function of the trainer's state.

    With `p` the share of the steps that are done and `s` the solve rate, alpha is `start + (end - start) * w`:

    | shape | w |
    |---|---|
    | `constant` | 0 |
    | `linear` | `p` |
    | `cosine` | `(1 - cos(pi * p)) / 2` |
    | `solve_rate` | `s`: the mean verdict over the last `window` entries of the log that have one |

    Without a state, or with nothing logged yet, alpha is `start`. `solve_rate` sees the log only, so with
    `logging_steps` above 1 it lags by as many steps.

    Args:
        shape: which of the four.
        start: alpha at the first step, or at solve rate 0; above 0, at most 1.
        end: alpha after the last step, or at solve rate 1; above 0, at most 1. None for `constant`.
        window: entries of the log that the solve rate is averaged over.

    Raises:
        ConfigError: an unknown shape, alpha out of range, `end` missing, or given for `constant`, window below 1.

    Example:
        >>> from types import SimpleNamespace
        >>> halfway = SimpleNamespace(global_step=50, max_steps=100, log_history=[])
        >>> AlphaSchedule("linear", 0.6, 0.9).value(halfway)
        0.75
    """

    shape: ScheduleShape
    start: float
    end: float | None = None
    window: int = 10

    def __post_init__(self) -> None:
        if self.shape not in get_args(ScheduleShape):
            raise ConfigError(f"a schedule is one of {', '.join(get_args(ScheduleShape))}, got {self.shape!r}")
        for alpha in (self.start, self.last):
            if not 0 < alpha <= 1:
                raise ConfigError(f"alpha is the weight of the outcome, above 0 and at most 1, got {alpha!r}")
        if (self.end is None) != (self.shape == "constant"):
            raise ConfigError(
                f"'constant' has a start alone, other schedules a start and an end, got {self.shape!r} with "
                f"end={self.end!r}"
            )
        if self.window < 1:
            raise ConfigError(f"window is a number of log entries, at least 1, got {self.window!r}")

    @property
    def last(self) -> float:
        """`end`, or `start` where alpha is constant."""
        return self.start if self.end is None else self.end

    @property
    def low(self) -> float:
        """The smallest alpha that the schedule can give."""
        return min(self.start, self.last)

    @property
    def high(self) -> float:
        """The largest alpha that the schedule can give."""
        return max(self.start, self.last)

    @property
    def moves(self) -> bool:
        """Whether alpha can change at all."""
        return self.low < self.high

    def value(self, trainer_state: Any = None, *, metric: str = OUTCOME_METRIC) -> float:
        """alpha at this state, between `low` and `high`.

        Args:
            trainer_state: `transformers.TrainerState`, which TRL passes to every reward; None gives `start`.
            metric: name of the logged mean verdict.
        """
        if trainer_state is None:
            return self.start
        alpha = self.start + (self.last - self.start) * self._progress(trainer_state, metric)
        return min(max(alpha, self.low), self.high)

    def _progress(self, state: Any, metric: str) -> float:
        if self.shape == "solve_rate":
            return solve_rate(state.log_history, metric, self.window)
        if self.shape == "constant" or state.max_steps <= 0:
            return 0.0
        done = min(max(state.global_step / state.max_steps, 0.0), 1.0)
        return done if self.shape == "linear" else (1 - math.cos(math.pi * done)) / 2


def solve_rate(log_history: Iterable[dict[str, Any]], metric: str, window: int) -> float:
    """Mean of `metric` over the last `window` finite entries that have it, within [0, 1]; 0 without any.

    Example:
        >>> solve_rate([{"m": 0.0}, {"m": 0.5}, {"loss": 1.0}, {"m": 1.0}], "m", window=2)
        0.75
    """
    known = [float(entry[metric]) for entry in log_history if entry.get(metric) is not None]  # None: not scorable
    recent = [value for value in known if math.isfinite(value)][-window:]
    return min(max(math.fsum(recent) / len(recent), 0.0), 1.0) if recent else 0.0
