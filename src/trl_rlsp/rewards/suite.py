r"""`RLSPRewards`: an outcome verifier and exploration rewards as one thing that TRL takes.

RLSP's reward (2502.06773, eq. 1) is `R = alpha * V + (1 - alpha) * R_ex`. The suite is a list whose plain sum is
`R / alpha = V + (1 - alpha) / alpha * R_ex`, so that TRL's `rewards/outcome_verifier/mean` is the accuracy whatever
alpha is. TRL ignores weights set on reward functions; the scale is in the values.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from trl_rlsp.errors import ConfigError
from trl_rlsp.rewards.alpha_schedule import AlphaSchedule
from trl_rlsp.rewards.batch import BatchOutcomes, Reward
from trl_rlsp.rewards.gates import Gate, Shaped, check_gate
from trl_rlsp.rewards.length import LengthExploration
from trl_rlsp.rewards.outcome import OutcomeVerifier


class RLSPRewards(list):
    """The RLSP reward for `GRPOTrainer(reward_funcs=...)`: a list of reward functions that can also be called.

    Args:
        verifier: the outcome verifier; default `OutcomeVerifier()`.
        exploration: exploration rewards, averaged; default one `LengthExploration()`. An empty list trains on the
            outcome alone.
        alpha: weight of the outcome, 0 < alpha <= 1 (the paper's 0.8), or an `AlphaSchedule` of it. Above 0.5, with
            bounded exploration, a correct completion outranks every wrong one of its group.
        gate: which completions exploration pays: all (`"none"`, the paper), the `"correct"`, the `"incorrect"`, or
            `"adaptive"`: all, times the group's failure rate, and length costs where the group succeeds (see
            `trl_rlsp.rewards.gates` for the formula).
        brevity: weight of the cost of length under `gate="adaptive"`, in [0, 1].

    Attributes:
        schedule: alpha over training; `alpha` is its start.

    Raises:
        ConfigError: alpha or brevity out of range, an unknown gate, unbounded exploration under `gate="adaptive"`,
            something that is not callable, or two parts of one name (TRL would merge them in its logs).

    Example:
        >>> rewards = RLSPRewards(exploration=[LengthExploration(C=6)], alpha=0.8)
        >>> [part.__name__ for part in rewards]
        ['outcome_verifier', 'length_exploration']
        >>> rewards(completions=["3 times 4 is 12 . \\\\boxed{12}"], solution=["12"])
        [1.125]
    """

    __name__ = "rlsp_rewards"

    def __init__(
        self,
        verifier: Reward | None = None,
        exploration: Iterable[Reward] | None = None,
        *,
        alpha: float | AlphaSchedule = 0.8,
        gate: Gate = "none",
        brevity: float = 0.25,
    ) -> None:
        self.schedule = alpha if isinstance(alpha, AlphaSchedule) else AlphaSchedule("constant", alpha)
        self.alpha, self.gate, self.brevity = self.schedule.start, gate, brevity
        self.verifier: Reward = verifier if verifier is not None else OutcomeVerifier()
        self.exploration: list[Reward] = [LengthExploration()] if exploration is None else list(exploration)
        for part in (self.verifier, *self.exploration):
            if not callable(part):
                raise ConfigError(f"a reward is a callable, got {part!r}")
        check_gate(gate, brevity, self.exploration)
        outcomes = BatchOutcomes(self.verifier, by_group=gate == "adaptive")
        share = 1 / max(len(self.exploration), 1)
        shaped = [
            Shaped(part, outcomes, alpha=self.schedule, share=share, gate=gate, brevity=brevity)
            for part in self.exploration
        ]
        super().__init__([self.verifier, *shaped])
        self._refuse_equal_names()

    def _refuse_equal_names(self) -> None:
        names = [part.__name__ for part in self]
        for name in set(names):
            if names.count(name) > 1:
                raise ConfigError(f"two rewards are called {name!r}; TRL merges them in its logs: set `__name__`")

    def __repr__(self) -> str:
        alpha = self.schedule if self.schedule.moves else f"{self.alpha:g}"
        return f"RLSPRewards({list(self)!r}, alpha={alpha}, gate={self.gate!r})"

    def __call__(
        self, prompts: Any = None, completions: Any = (), log_metric: Any = None, **kwargs: Any
    ) -> list[float | None]:
        """The sum of the parts, for hosts that take one function; logs each part's mean as TRL would.

        Args:
            prompts: B prompts.
            completions: B completions.
            log_metric: TRL's logger of scalars, if any; receives `rewards/<part>/mean`.

        Returns:
            B floats; `None` where the outcome is not scorable.
        """
        columns = [part(prompts=prompts, completions=completions, log_metric=log_metric, **kwargs) for part in self]
        if log_metric is not None:
            for part, column in zip(self, columns, strict=True):
                scored = [value for value in column if value is not None]
                if scored:
                    log_metric(f"rewards/{part.__name__}/mean", sum(scored) / len(scored))
        return [
            None if row[0] is None else sum(value for value in row if value is not None)
            for row in zip(*columns, strict=True)
        ]

    def start(self, kinds: Sequence[str] = ("math",)) -> None:
        """Start the verifier's workers for rows of these kinds without waiting for them, if it has any."""
        if isinstance(self.verifier, OutcomeVerifier):
            self.verifier.start(kinds)

    def close(self) -> None:
        """Stop the verifier's workers, if it has any; a later call starts them again."""
        if isinstance(self.verifier, OutcomeVerifier):
            self.verifier.close()
