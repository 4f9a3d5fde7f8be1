r"""An exploration reward as it stands in the suite: which completions it pays, how much, and when it takes away.

The gates, for a completion with verdict `V` and exploration `E`, in a group with failure rate `f`, each times the
part's scale:

| gate | value |
|---|---|
| `none` | `E` (the paper, 2502.06773, eq. 1) |
| `correct` | `E` if `V > 0`, else 0 |
| `incorrect` | `E` if `V <= 0`, else 0 |
| `adaptive` | `f * E`; a measure of length: `f * E - brevity * (1 - f) * L` |

`adaptive` pays for effort where the group still fails and, for length, prefers brevity where it already succeeds: the
sign by failure rate of 2509.00125, the cost by solve rate of 2506.05256, the gate on it of 2505.18086. `L` is the
same bounded measure as `E` over everything that was written: text that effort does not count (repetition, all after
the answer) would otherwise be a place to hide from the cost. For honest text `L` is `E` up to the answer itself, and
the value about `(f - brevity * (1 - f)) * E`, which changes its sign at `f = brevity / (1 + brevity)`, 0.2 by default.

The value of `adaptive` lies in `(-brevity * (1 - f), f)`, an interval no wider than 1 and common to a group. So with
alpha > 0.5, where the scale is below 1, no wrong completion outranks a right one of its group.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

from trl_rlsp.errors import ConfigError
from trl_rlsp.rewards.batch import BatchOutcomes, Reward

Gate = Literal["none", "correct", "incorrect", "adaptive"]


class Shaped:
    """One exploration reward as it stands in the suite: scaled, gated, `None` where the verdict is `None`.

    Args:
        exploration: a reward function with values that are independent of correctness. Where its attribute
            `measures_length` is true, its method `costs(completions, **kwargs)` gives `L`, B values in [0, 1).
        outcomes: the suite's verdicts.
        scale: factor of the values.
        gate: which completions are paid.
        brevity: weight of the cost of length, in [0, 1]; used by the gate `adaptive`.
    """

    def __init__(
        self, exploration: Reward, outcomes: BatchOutcomes, *, scale: float, gate: Gate, brevity: float = 0.25
    ) -> None:
        self.exploration, self.outcomes, self.scale = exploration, outcomes, scale
        self.gate, self.brevity = gate, brevity
        self.__name__: str = getattr(exploration, "__name__", type(exploration).__name__)

    def __repr__(self) -> str:
        return f"{self.scale:g} * {self.exploration!r}"

    @property
    def verifier(self) -> Reward:
        """The suite's verifier."""
        return self.outcomes.verifier

    def __call__(self, *, completions: Sequence[Any], **kwargs: Any) -> list[float | None]:
        """Score a batch of B completions: B floats, or `None` where verdict or exploration is `None`."""
        verdicts, rates = self.outcomes(completions, kwargs)
        values = self.exploration(completions=completions, **kwargs)
        if self.gate == "adaptive":
            _log_failure(kwargs.get("log_metric"), rates)
            shaped = self._adaptive(values, rates, self._costs(completions, kwargs))
        else:
            shaped = [self._gated(verdict, value) for verdict, value in zip(verdicts, values, strict=True)]
        return [None if verdict is None else value for verdict, value in zip(verdicts, shaped, strict=True)]

    def _gated(self, verdict: float | None, value: float | None) -> float | None:
        if verdict is None or value is None:
            return None
        paid = {"none": True, "correct": verdict > 0, "incorrect": verdict <= 0}[self.gate]
        return self.scale * value if paid else 0.0

    def _adaptive(
        self, values: Sequence[float | None], rates: Sequence[float | None], costs: Sequence[float]
    ) -> list[float | None]:
        return [
            None if value is None or rate is None else self.scale * (rate * value - self.brevity * (1 - rate) * cost)
            for value, rate, cost in zip(values, rates, costs, strict=True)
        ]

    def _costs(self, completions: Sequence[Any], kwargs: dict[str, Any]) -> Sequence[float]:
        if not self.brevity or not getattr(self.exploration, "measures_length", False):
            return [0.0] * len(completions)
        measure: Any = self.exploration
        return measure.costs(completions, **kwargs)


def _log_failure(log_metric: Any, rates: Sequence[float | None]) -> None:
    known = [rate for rate in rates if rate is not None]
    if log_metric is not None and known:
        log_metric("exploration/failure_rate", sum(known) / len(known))


def check_gate(gate: str, brevity: float, exploration: Sequence[Reward]) -> None:
    """Refuse a gate that does not exist or cannot hold what it promises.

    Raises:
        ConfigError: an unknown gate; brevity outside [0, 1]; `adaptive` with an unbounded exploration reward.
    """
    if gate not in get_args(Gate):
        raise ConfigError(f"gate is 'none', 'correct', 'incorrect' or 'adaptive', got {gate!r}")
    if not 0 <= brevity <= 1:
        raise ConfigError(f"brevity is the weight of the cost of length, from 0 to 1, got {brevity!r}")
    unbounded = [part for part in exploration if getattr(part, "bounded", True) is False]
    if gate == "adaptive" and unbounded:
        raise ConfigError(
            f"gate='adaptive' needs exploration in [0, 1), got {unbounded}: unbounded, it lets wrong completions "
            "outrank correct ones whatever alpha is; use form='bounded', or gate='none' for the paper's reward"
        )
