"""Whether a trainer's settings keep the balance alpha : 1 - alpha between outcome and exploration."""

from __future__ import annotations

import logging

from trl import GRPOConfig

from trl_rlsp.errors import ConfigError
from trl_rlsp.rewards.suite import RLSPRewards

logger = logging.getLogger(__name__)


def refuse_imbalance(rewards: RLSPRewards, args: GRPOConfig) -> None:
    """Refuse settings under which the exploration bonus replaces the outcome as the goal.

    Under `gate="adaptive"` it would be the cost of length, too: both are divided by their own spread.

    Raises:
        ConfigError: group scaling, or normalisation of each reward, with an exploration bonus that wrong
            completions earn too.
    """
    per_group = str(args.scale_rewards) in ("group", "True")
    per_reward = getattr(args, "multi_objective_aggregation", "") == "normalize_then_sum"
    if not _explores(rewards) or rewards.gate == "correct" or not (per_group or per_reward):
        return
    setting = "scale_rewards='group'" if per_group else "multi_objective_aggregation='normalize_then_sum'"
    adaptive = " and the failure rate cancels out of gate='adaptive'" if rewards.gate == "adaptive" else ""
    raise ConfigError(
        f"{setting} makes the exploration bonus the whole signal in every group whose verdicts are equal, "
        f"whatever alpha={rewards.schedule.low:g} says{adaptive}: completions grow while accuracy falls. Use "
        "scale_rewards='none' or 'batch', or RLSPRewards(gate='correct'); for a study of the failure itself "
        "use trl.GRPOTrainer."
    )


def check_balance(rewards: RLSPRewards, args: GRPOConfig) -> None:
    """Refuse or warn about settings that lose the balance between outcome and exploration.

    Raises:
        ConfigError: as `refuse_imbalance`.
    """
    refuse_imbalance(rewards, args)
    if not _explores(rewards):
        return
    weights = getattr(args, "reward_weights", None)
    if weights is not None and len(set(weights)) > 1:
        logger.warning(
            "reward_weights=%s change the balance that alpha=%g sets; leave them out and set alpha",
            weights,
            rewards.alpha,
        )
    if rewards.schedule.low <= 0.5:
        logger.warning("alpha=%g: a wrong completion can outrank a correct one; use alpha > 0.5", rewards.schedule.low)
    unbounded = [e for e in rewards.exploration if getattr(e, "bounded", True) is False]
    if unbounded:
        logger.warning(
            "%s is unbounded: a long wrong completion can outrank a short correct one; use form='bounded'", unbounded
        )
    endless = [e for e in rewards.exploration if getattr(e, "form", "") == "relative"]
    if endless and rewards.gate != "adaptive":
        logger.warning("%s pays for more length at any length; use gate='adaptive', which ends that", endless)
    _check_schedule(rewards, args)


def _explores(rewards: RLSPRewards) -> bool:
    return bool(rewards.exploration) and rewards.schedule.low < 1


def _check_schedule(rewards: RLSPRewards, args: GRPOConfig) -> None:
    by_solve_rate = rewards.schedule.moves and rewards.schedule.shape == "solve_rate"
    if by_solve_rate and str(getattr(args.logging_strategy, "value", args.logging_strategy)) == "no":
        logger.warning(
            "logging_strategy='no' leaves no solve rate to read: alpha stays at %g; use logging_steps=1", rewards.alpha
        )
