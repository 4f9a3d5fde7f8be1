r"""`RLSPRewards`: an outcome verifier and exploration rewards as one thing that TRL takes.

RLSP's reward (2502.06773, eq. 1) is `R = alpha * V + (1 - alpha) * R_ex`. The suite is a list whose plain sum is
`R / alpha = V + (1 - alpha) / alpha * R_ex`, so that TRL's `rewards/outcome_verifier/mean` is the accuracy whatever
alpha is. TRL ignores weights set on reward functions; the scale is in the values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

from trl_rlsp.errors import ConfigError
from trl_rlsp.rewards.exploration import LengthExploration
from trl_rlsp.rewards.outcome import OutcomeVerifier

Reward = Callable[..., Sequence[float | None]]
Gate = Literal["none", "correct", "incorrect"]


class Shaped:
    """One exploration reward as it stands in the suite: scaled, gated, `None` where the verdict is `None`.

    Args:
        exploration: a reward function with values that are independent of correctness.
        verifier: the suite's verifier.
        scale: factor of the values.
        gate: which completions are paid.
    """

    def __init__(self, exploration: Reward, verifier: Reward, *, scale: float, gate: Gate) -> None:
        self.exploration, self.verifier, self.scale, self.gate = exploration, verifier, scale, gate
        self.__name__: str = getattr(exploration, "__name__", type(exploration).__name__)

    def __repr__(self) -> str:
        return f"{self.scale:g} * {self.exploration!r}"

    def __call__(self, *, completions: Sequence[Any], **kwargs: Any) -> list[float | None]:
        """Score a batch of B completions: B floats, or `None` where verdict or exploration is `None`."""
        verdicts = quiet_scores(self.verifier, completions, kwargs)
        values = self.exploration(completions=completions, **kwargs)
        return [self._shape(verdict, value) for verdict, value in zip(verdicts, values, strict=True)]

    def _shape(self, verdict: float | None, value: float | None) -> float | None:
        if verdict is None or value is None:
            return None
        paid = {"none": True, "correct": verdict > 0, "incorrect": verdict <= 0}[self.gate]
        return self.scale * value if paid else 0.0


class RLSPRewards(list):
    """The RLSP reward for `GRPOTrainer(reward_funcs=...)`: a list of reward functions that can also be called.

    Args:
        verifier: the outcome verifier; default `OutcomeVerifier()`.
        exploration: exploration rewards, averaged; default one `LengthExploration()`. An empty list trains on the
            outcome alone.
        alpha: weight of the outcome, 0 < alpha <= 1 (the paper's 0.8). Above 0.5, with bounded exploration, a
            correct completion outranks every wrong one.
        gate: which completions exploration pays: all (`"none"`, the paper), the `"correct"` or the `"incorrect"`.

    Raises:
        ConfigError: alpha out of range, an unknown gate, something that is not callable, or two parts of one name
            (TRL would merge them in its logs).

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
        alpha: float = 0.8,
        gate: Gate = "none",
    ) -> None:
        if not 0 < alpha <= 1:
            raise ConfigError(f"alpha is the weight of the outcome, above 0 and at most 1, got {alpha!r}")
        if gate not in ("none", "correct", "incorrect"):
            raise ConfigError(f"gate is 'none', 'correct' or 'incorrect', got {gate!r}")
        self.alpha, self.gate = alpha, gate
        self.verifier: Reward = verifier if verifier is not None else OutcomeVerifier()
        self.exploration: list[Reward] = [LengthExploration()] if exploration is None else list(exploration)
        for part in (self.verifier, *self.exploration):
            if not callable(part):
                raise ConfigError(f"a reward is a callable, got {part!r}")
        scale = (1 - alpha) / alpha / max(len(self.exploration), 1)
        shaped = [Shaped(part, self.verifier, scale=scale, gate=gate) for part in self.exploration]
        super().__init__([self.verifier, *shaped])
        self._refuse_equal_names()

    def _refuse_equal_names(self) -> None:
        names = [part.__name__ for part in self]
        for name in set(names):
            if names.count(name) > 1:
                raise ConfigError(f"two rewards are called {name!r}; TRL merges them in its logs: set `__name__`")

    def __repr__(self) -> str:
        return f"RLSPRewards({list(self)!r}, alpha={self.alpha:g}, gate={self.gate!r})"

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


def quiet_scores(verifier: Reward, completions: Sequence[Any], kwargs: dict[str, Any]) -> Sequence[float | None]:
    """Scores of `verifier` without logging; cached by `OutcomeVerifier`, computed again by any other callable."""
    if isinstance(verifier, OutcomeVerifier):
        wanted = {name: kwargs.get(name) for name in ("prompts", "solution", "task", "tests")}
        return [verdict.score for verdict in verifier.verdicts(completions, **wanted)]
    silent = {name: value for name, value in kwargs.items() if name not in ("log_metric", "log_extra")}
    return verifier(completions=completions, **silent)
