"""What the parts of a suite need to know about a batch beside its completions: verdicts and failure rates.

Found once for a batch, whichever part asks first: the rates are gathered over ranks, and a gathering for each part
would cost an exchange each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from trl_rlsp.rewards.groups import gather_groups, group_keys
from trl_rlsp.rewards.outcome import OutcomeVerifier

Reward = Callable[..., Sequence[float | None]]

_LOGGERS = ("log_metric", "log_extra")


class Outcomes(NamedTuple):
    """A batch of B completions as the verifier sees it.

    Attributes:
        verdicts: B scores, `None` = not scorable.
        failure_rates: B rates in [0, 1], each its group's; `None` where no completion of the group is scorable, and
            throughout where they were not asked for.
    """

    verdicts: Sequence[float | None]
    failure_rates: Sequence[float | None]


class BatchOutcomes:
    """Verdicts and failure rates of the batch at hand, remembered until the next one.

    A batch is recognised by the identity of everything a reward is passed but the loggers, which TRL hands to every
    reward of a step as the same objects. What is remembered is not pickled.

    Args:
        verifier: the outcome verifier.
        by_group: whether failure rates are wanted; each new batch then needs prompts, and every rank of a distributed
            run (see `trl_rlsp.rewards.groups`).
    """

    def __init__(self, verifier: Reward, *, by_group: bool = False) -> None:
        self.verifier, self.by_group = verifier, by_group
        self._last: tuple[dict[str, Any], Outcomes] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_last": None}

    def __call__(self, completions: Sequence[Any], kwargs: Mapping[str, Any]) -> Outcomes:
        """The outcomes of B completions.

        Args:
            completions: strings or message lists.
            kwargs: the other arguments of the reward.

        Raises:
            ConfigError: failure rates are wanted and there are no prompts.
        """
        batch = {name: value for name, value in kwargs.items() if name not in _LOGGERS}
        batch["completions"] = completions
        last = self._last
        if last is not None and _identical(last[0], batch):
            return last[1]
        verdicts = quiet_scores(self.verifier, completions, kwargs)
        rates: Sequence[float | None] = [None] * len(verdicts)
        if self.by_group:
            groups = gather_groups(group_keys(kwargs.get("prompts"), kwargs), verdicts)
            rates = [failure_rate(group) for group in groups]
        outcomes = Outcomes(verdicts, rates)
        self._last = batch, outcomes
        return outcomes


def _identical(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return one.keys() == other.keys() and all(one[name] is other[name] for name in one)


def failure_rate(verdicts: Sequence[float | None]) -> float | None:
    """1 - the mean verdict over the scorable completions, in [0, 1]; `None` without any.

    The sum is exact, so that the order of the ranks does not show.

    Example:
        >>> failure_rate([1.0, 0.0, None, 0.0, 0.0])
        0.75
    """
    scored = [verdict for verdict in verdicts if verdict is not None]
    if not scored:
        return None
    return min(max(1 - math.fsum(scored) / len(scored), 0.0), 1.0)


def quiet_scores(verifier: Reward, completions: Sequence[Any], kwargs: Mapping[str, Any]) -> Sequence[float | None]:
    """Scores of `verifier` without logging; cached by `OutcomeVerifier`, computed again by any other callable."""
    if isinstance(verifier, OutcomeVerifier):
        wanted = {name: kwargs.get(name) for name in ("prompts", "solution", "task", "tests")}
        return [verdict.score for verdict in verifier.verdicts(completions, **wanted)]
    silent = {name: value for name, value in kwargs.items() if name not in _LOGGERS}
    return verifier(completions=completions, **silent)
