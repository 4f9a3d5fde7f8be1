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
from trl_rlsp.rewards.alpha_schedule import AlphaSchedule
from trl_rlsp.rewards.batch import BatchOutcomes, Reward

Gate = Literal["none", "correct", "incorrect", "adaptive"]


class Shaped:
    """One exploration reward as it stands in the suite: scaled, gated, `None` where the verdict is `None`.

    Args:
        exploration: a reward function with values that are independent of correctness. Where its attribute
            `measures_length` is true, its method `costs(completions, **kwargs)` gives `L`, B values in [0, 1).
        outcomes: the suite's verdicts.
        alpha: weight of the outcome over training; the scale is `share * (1 - alpha) / alpha`.
        share: this reward's share of the exploration term.
        gate: which completions are paid.
        brevity: weight of the cost of length, in [0, 1]; used by the gate `adaptive`.
    """

    def __init__(
        self,
        exploration: Reward,
        outcomes: BatchOutcomes,
        *,
        alpha: AlphaSchedule,
        share: float = 1.0,
        gate: Gate = "none",
        brevity: float = 0.25,
    ) -> None:
        self.exploration, self.outcomes = exploration, outcomes
        self.alpha, self.share, self.gate, self.brevity = alpha, share, gate, brevity
        self.__name__: str = getattr(exploration, "__name__", type(exploration).__name__)

    def __repr__(self) -> str:
        return f"{self.scale(self.alpha.start):g} * {self.exploration!r}"

    @property
    def verifier(self) -> Reward:
        """The suite's verifier."""
        return self.outcomes.verifier

    def scale(self, alpha: float) -> float:
        """Factor of the values beside a verdict of 1."""
        return self.share * (1 - alpha) / alpha

    def __call__(self, *, completions: Sequence[Any], **kwargs: Any) -> list[float | None]:
        """Score a batch of B completions: B floats, or `None` where verdict or exploration is `None`."""
        outcomes = self.outcomes(completions, kwargs)
        values = self.exploration(completions=completions, **kwargs)
        costs = self._costs(completions, kwargs)
        scale = self.scale(self._current_alpha(kwargs))
        if self.gate == "adaptive":
            _log_failure(kwargs.get("log_metric"), outcomes.failure_rates)
        return [
            None if verdict is None or value is None else scale * self._gated(verdict, rate, value, cost)
            for verdict, rate, value, cost in zip(*outcomes, values, costs, strict=True)
        ]

    def _gated(self, verdict: float, rate: float | None, value: float, cost: float) -> float:
        if rate is not None:  # known under the adaptive gate, and only there
            return rate * value - self.brevity * (1 - rate) * cost
        paid = {"none": True, "correct": verdict > 0, "incorrect": verdict <= 0}[self.gate]
        return value if paid else 0.0

    def _current_alpha(self, kwargs: dict[str, Any]) -> float:
        name = getattr(self.verifier, "__name__", type(self.verifier).__name__)
        alpha = self.alpha.value(kwargs.get("trainer_state"), metric=f"rewards/{name}/mean")
        log_metric = kwargs.get("log_metric")
        if self.alpha.moves and log_metric is not None:
            log_metric("exploration/alpha", alpha)
        return alpha

    def _costs(self, completions: Sequence[Any], kwargs: dict[str, Any]) -> Sequence[float]:
        measured = getattr(self.exploration, "measures_length", False)
        if self.gate != "adaptive" or not self.brevity or not measured:
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
