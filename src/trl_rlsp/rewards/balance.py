"""alpha : 1 - alpha, the balance between outcome and exploration: its schedule, and whether a trainer preserves it.

The paper says that alpha "should be tuned and decayed over time" and did neither (2502.06773, section 2.2). With a
rising alpha, exploration helps while correct answers are rare and then fades, like the bonus of 2505.17621. A schedule
has no state between steps: it reads `trainer_state`, which is in checkpoints, so a resumed run continues unchanged.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from trl_rlsp.errors import ConfigError

if TYPE_CHECKING:
    from trl_rlsp.rewards._scoring import Scorer

ScheduleShape = Literal["constant", "linear", "cosine", "solve_rate"]

OUTCOME_METRIC = "rewards/outcome_verifier/mean"

GROUP_ADVICE = (
    "scale_rewards='group' weights each group by how much its rewards differ. Where all verdicts of a group are equal, "
    "the suite keeps the exploration bonus at its own size; for the balance that alpha sets in all groups, use "
    "scale_rewards='none' (with loss_type='dr_grpo')"
)
ASYNC_ADVICE = (
    "AsyncGRPOTrainer always divides rewards by their group's standard deviation: exploration becomes the whole "
    "signal in every group whose verdicts are equal; use RLSPRewards(gate='correct') there"
)


@dataclass(frozen=True)
class AlphaSchedule:
    """alpha as a function of the trainer's state; `start` without one, or if nothing has been logged yet.

    With `p` the fraction of completed steps and `s` the solve rate, alpha is `start + (end - start) * w`:

    | shape | w |
    |---|---|
    | `constant` | 0 |
    | `linear` | `p` |
    | `cosine` | `(1 - cos(pi * p)) / 2` |
    | `solve_rate` | `s`: the mean verdict over the last `window` log entries that have one |

    `start` and `end` are in (0, 1]; `constant` has no `end`.

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
            raise ConfigError(f"a schedule must be one of {', '.join(get_args(ScheduleShape))}, got {self.shape!r}")
        for alpha in (self.start, self.end):
            if alpha is not None and not 0 < alpha <= 1:
                raise ConfigError(f"alpha, the weight of the outcome, must be above 0 and at most 1, got {alpha!r}")
        if (self.end is None) != (self.shape == "constant"):
            rule = "'constant' has only a start, other schedules have a start and an end"
            raise ConfigError(f"{rule}, got {self.shape!r} with end={self.end!r}")
        if self.window < 1:
            raise ConfigError(f"window must be at least 1 log entry, got {self.window!r}")

    @property
    def low(self) -> float:
        """The smallest alpha of the schedule."""
        return min(self.start, self.end or self.start)

    @property
    def moves(self) -> bool:
        """Whether alpha can change at all."""
        return self.end not in (None, self.start)

    def value(self, trainer_state: Any = None, *, metric: str = OUTCOME_METRIC) -> float:
        """alpha for a `transformers.TrainerState`, which TRL passes to every reward; `metric` is the logged verdict."""
        if trainer_state is None or self.end is None:
            return self.start
        alpha = self.start + (self.end - self.start) * self._progress(trainer_state, metric)
        return min(max(alpha, self.low), max(self.start, self.end))

    def _progress(self, state: Any, metric: str) -> float:
        if self.shape == "solve_rate":
            known = [float(entry[metric]) for entry in state.log_history if entry.get(metric) is not None]
            recent = [value for value in known if math.isfinite(value)][-self.window :]
            return min(max(math.fsum(recent) / len(recent), 0.0), 1.0) if recent else 0.0
        done = min(max(state.global_step / state.max_steps, 0.0), 1.0) if state.max_steps > 0 else 0.0
        return done if self.shape == "linear" else (1 - math.cos(math.pi * done)) / 2


@dataclass(frozen=True)
class Imbalance:
    """A trainer setting that breaks the balance: with an error, the outcome is not the goal; with a warning, maybe."""

    code: str
    severity: Literal["error", "warning"]
    message: str  # the setting, and why it breaks the balance
    advice: str  # the line of a stage's YAML file that fixes it


def scorers_of(reward_funcs: Any) -> list[Scorer]:
    """The scorers of all suites among a trainer's reward functions: a suite, or a list of suites or their parts."""
    return [scorer for scorer in dict.fromkeys(map(_scorer_of, _as_list(reward_funcs))) if scorer is not None]


def check_balance(reward_funcs: Any, args: Any) -> list[Imbalance]:
    """Problems with the `args` of a trainer for the suites among its `reward_funcs`, errors first."""
    findings: list[Imbalance] = []
    for scorer in scorers_of(reward_funcs):
        findings += _objective(scorer, args)
        if scorer.exploration and scorer.schedule.low < 1:
            findings += [*_scaling(scorer, args), *_warnings(scorer, reward_funcs, args)]
    return sorted(findings, key=lambda finding: finding.severity)


def refuse_imbalance(reward_funcs: Any, args: Any) -> list[Imbalance]:
    """The warnings of `check_balance`; ConfigError if it finds an error."""
    findings = check_balance(reward_funcs, args)
    for finding in findings:
        if finding.severity == "error":
            raise ConfigError(f"{finding.message}; for a study of the failure itself use trl.GRPOTrainer")
    return findings


def unbounded(scorer: Scorer) -> list[Any]:
    """The exploration rewards that declare that their values are not in [0, 1]."""
    return [part for part in scorer.exploration if getattr(part, "bounded", True) is False]


def _as_list(reward_funcs: Any) -> list[Any]:
    return list(reward_funcs) if isinstance(reward_funcs, list | tuple) else [reward_funcs]


def _scorer_of(part: Any) -> Any:
    scorer = getattr(part, "scorer", None)
    return scorer if hasattr(scorer, "length_penalty") else None


def divides(args: Any) -> bool:
    """Whether a trainer with these `args` divides advantages by each group's standard deviation."""
    return str(getattr(args, "scale_rewards", "none")) in ("group", "True")


def _objective(scorer: Scorer, args: Any) -> Iterator[Imbalance]:
    if scorer.objective != "verdict" and divides(args):
        message = f"scale_rewards='group' undoes objective={scorer.objective!r}: use scale_rewards='none'"
        yield Imbalance("objective", "warning", message, "scale_rewards: none")
    size = getattr(args, "num_generations", scorer.k)
    if scorer.objective == "pass@k" and scorer.k > size:
        message = f"k={scorer.k} is more than num_generations={size}: the objective is pass@{size}"
        yield Imbalance("objective_k", "warning", message, f"objective_k: {size}")


def _scaling(scorer: Scorer, args: Any) -> Iterator[Imbalance]:
    per_group = divides(args)
    per_reward = getattr(args, "multi_objective_aggregation", "") == "normalize_then_sum"
    if scorer.gate == "correct" or not (per_group or per_reward):
        return
    setting = "scale_rewards='group'" if per_group else "multi_objective_aggregation='normalize_then_sum'"
    adaptive = " and the failure rate cancels out of gate='adaptive'" if scorer.gate == "adaptive" else ""
    yield Imbalance(
        "group_scaling",
        "error",
        f"{setting} makes the exploration bonus the whole signal in every group whose verdicts are equal, whatever "
        f"alpha={scorer.schedule.low:g} says{adaptive}: completions grow while accuracy falls. Use "
        "scale_rewards='none' (with loss_type='dr_grpo') or 'batch', or RLSPRewards(gate='correct')",
        "scale_rewards: none" if per_group else "multi_objective_aggregation: sum_then_normalize",
    )


def _warnings(scorer: Scorer, reward_funcs: Any, args: Any) -> Iterator[Imbalance]:
    low, start = scorer.schedule.low, scorer.schedule.start
    weights = getattr(args, "reward_weights", None) or []
    own = {weight for part, weight in zip(_as_list(reward_funcs), weights, strict=False) if _scorer_of(part) is scorer}
    if len(own) > 1:
        message = f"reward_weights={weights} change the balance that alpha={start:g} sets; leave them out and set alpha"
        yield Imbalance("reward_weights", "warning", message, "leave out reward_weights, and set alpha")
    if low <= 0.5:
        message = f"alpha={low:g}: a wrong completion can outrank a correct one; use alpha > 0.5"
        yield Imbalance("low_alpha", "warning", message, "alpha: 0.8")
    if parts := unbounded(scorer):
        message = f"{parts} is unbounded: a long wrong completion can outrank a short correct one; use form='bounded'"
        yield Imbalance("unbounded", "warning", message, "length_form: bounded")
    endless = [part for part in scorer.exploration if getattr(part, "form", "") == "relative"]
    if endless and scorer.gate != "adaptive":
        message = f"{endless} rewards more length at any length; use gate='adaptive', which prevents that"
        yield Imbalance("endless", "warning", message, "gate: adaptive")
    strategy = getattr(args, "logging_strategy", "steps")
    by_solve_rate = scorer.schedule.moves and scorer.schedule.shape == "solve_rate"
    if by_solve_rate and str(getattr(strategy, "value", strategy)) == "no":
        message = f"logging_strategy='no' leaves no solve rate to read: alpha stays at {start:g}; use logging_steps=1"
        yield Imbalance("no_log", "warning", message, "logging_strategy: steps")
