"""Whether a trainer's settings keep the balance alpha : 1 - alpha between outcome and exploration.

Looks at the fields of the trainer's arguments alone, so that it needs no trainer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from trl_rlsp.errors import ConfigError

if TYPE_CHECKING:
    from trl_rlsp.rewards.scoring import Scorer

ASYNC_ADVICE = (
    "AsyncGRPOTrainer divides rewards by their group's deviation whatever is set, so that the exploration bonus is the "
    "whole signal in every group whose verdicts are equal; use RLSPRewards(gate='correct') there"
)


@dataclass(frozen=True)
class Imbalance:
    """A setting that loses the balance.

    Attributes:
        code: names the kind: `group_scaling`, `reward_weights`, `low_alpha`, `unbounded`, `endless`, `no_log`.
        severity: an error replaces the outcome as the goal, a warning can.
        message: the setting, and why it is one.
        advice: the line of a stage's YAML file that mends it.
    """

    code: str
    severity: Literal["error", "warning"]
    message: str
    advice: str


def scorers_of(reward_funcs: Any) -> list[Scorer]:
    """The scorers of all suites in what a trainer is given: a suite, or a list that holds suites or their parts."""
    found = [_scorer_of(part) for part in _as_list(reward_funcs)]
    return list({id(scorer): scorer for scorer in found if scorer is not None}.values())


def check_balance(reward_funcs: Any, args: Any) -> list[Imbalance]:
    """What is wrong with a trainer's arguments for the suites among its rewards.

    Args:
        reward_funcs: as the trainer takes them; other rewards than a suite's are not looked at.
        args: a `GRPOConfig` or another trainer's arguments.

    Returns:
        Errors first; nothing for a suite without exploration or with alpha 1.
    """
    found = [
        finding
        for scorer in scorers_of(reward_funcs)
        if scorer.exploration and scorer.schedule.low < 1
        for finding in (*_scaling(scorer, args), *_weights(scorer, reward_funcs, args), *_own(scorer, args))
    ]
    return sorted(found, key=lambda finding: finding.severity)


def refuse_imbalance(reward_funcs: Any, args: Any) -> list[Imbalance]:
    """The warnings of `check_balance`.

    Raises:
        ConfigError: an error among its findings.
    """
    found = check_balance(reward_funcs, args)
    for finding in found:
        if finding.severity == "error":
            raise ConfigError(f"{finding.message}; for a study of the failure itself use trl.GRPOTrainer")
    return found


def _as_list(reward_funcs: Any) -> list[Any]:
    return list(reward_funcs) if isinstance(reward_funcs, list | tuple) else [reward_funcs]


def _scorer_of(part: Any) -> Any:
    scorer = getattr(part, "scorer", None)
    return scorer if hasattr(scorer, "length_penalty") else None


def _scaling(scorer: Scorer, args: Any) -> Iterator[Imbalance]:
    per_group = str(getattr(args, "scale_rewards", "none")) in ("group", "True")
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


def _weights(scorer: Scorer, reward_funcs: Any, args: Any) -> Iterator[Imbalance]:
    weights = getattr(args, "reward_weights", None) or []
    own = {weight for part, weight in zip(_as_list(reward_funcs), weights, strict=False) if _scorer_of(part) is scorer}
    if len(own) > 1:
        yield Imbalance(
            "reward_weights",
            "warning",
            f"reward_weights={weights} change the balance that alpha={scorer.schedule.start:g} sets; leave them out "
            "and set alpha",
            "leave out reward_weights, and set alpha",
        )


def _own(scorer: Scorer, args: Any) -> Iterator[Imbalance]:
    """What is wrong whatever the trainer does."""
    low = scorer.schedule.low
    if low <= 0.5:
        message = f"alpha={low:g}: a wrong completion can outrank a correct one; use alpha > 0.5"
        yield Imbalance("low_alpha", "warning", message, "alpha: 0.8")
    unbounded = [part for part in scorer.exploration if getattr(part, "bounded", True) is False]
    if unbounded:
        message = (
            f"{unbounded} is unbounded: a long wrong completion can outrank a short correct one; use form='bounded'"
        )
        yield Imbalance("unbounded", "warning", message, "length_form: bounded")
    endless = [part for part in scorer.exploration if getattr(part, "form", "") == "relative"]
    if endless and scorer.gate != "adaptive":
        message = f"{endless} pays for more length at any length; use gate='adaptive', which ends that"
        yield Imbalance("endless", "warning", message, "gate: adaptive")
    strategy = getattr(args, "logging_strategy", "steps")
    by_solve_rate = scorer.schedule.moves and scorer.schedule.shape == "solve_rate"
    if by_solve_rate and str(getattr(strategy, "value", strategy)) == "no":
        message = (
            f"logging_strategy='no' leaves no solve rate to read: alpha stays at {scorer.schedule.start:g}; use "
            "logging_steps=1"
        )
        yield Imbalance("no_log", "warning", message, "logging_strategy: steps")
