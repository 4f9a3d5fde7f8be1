r"""`RLSPRewards`: an outcome verifier and exploration rewards as one object for TRL.

RLSP's reward (2502.06773, eq. 1) is `R = alpha * V + (1 - alpha) * R_ex`. The suite is a list whose plain sum is
`R / alpha = V + (1 - alpha) / alpha * R_ex`, so that TRL's `rewards/outcome_verifier/mean` is the accuracy for any
alpha. TRL ignores weights set on reward functions, so the values themselves are scaled.
"""

from __future__ import annotations

import copy
import inspect
from collections import Counter
from collections.abc import Iterable
from typing import Any

from trl_rlsp.errors import ConfigError
from trl_rlsp.rewards._scoring import Gate, Objective, Part, Reward, Scorer, name_of
from trl_rlsp.rewards.balance import AlphaSchedule
from trl_rlsp.rewards.batch import Reader, log_mean
from trl_rlsp.rewards.exploration import LengthExploration
from trl_rlsp.rewards.outcome import OutcomeVerifier


class _SuiteType(type):
    """Raises an error if the class itself is used as a reward function, as `trl grpo --reward_funcs` does."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if "completions" in kwargs:
            way_out = "write `--reward_funcs trl_rlsp.rlsp_rewards`, or pass RLSPRewards() with its arguments"
            raise ConfigError(f"a reward function must be an object, got the class {cls.__name__} itself; {way_out}")
        return super().__call__(*args, **kwargs)

    @property
    def __signature__(cls) -> inspect.Signature:
        signature = inspect.signature(cls.__init__)  # type: ignore[misc]
        return signature.replace(parameters=list(signature.parameters.values())[1:])


class RLSPRewards(list, metaclass=_SuiteType):
    """The RLSP reward for `GRPOTrainer(reward_funcs=...)`: a list of reward functions that is also callable.

    `suite + [other_reward]` is also a suite. A suite is read-only; build a new one to change it.

    Args:
        verifier: default `OutcomeVerifier()`; or a TRL reward function whose values are scores from 0 to 1, booleans,
            `Verdict`s, or `None` for not scorable.
        exploration: exploration rewards, averaged; default one `LengthExploration()`. With an empty list, training uses
            only the outcome.
        alpha: weight of the outcome, 0 < alpha <= 1 (0.8 in the paper), or an `AlphaSchedule`. Above 0.5, with
            bounded exploration, a correct completion outranks every wrong one of its group.
        gate: which completions get the exploration reward: all (`"none"`, as in the paper), `"correct"`, `"incorrect"`;
            or `"adaptive"`: all, times the group's failure rate, with a length penalty growing with its solve rate.
        length_penalty: weight of the length penalty under `gate="adaptive"`, in [0, 1].
        objective: sum of the outcome columns in a group of solve rate p: `"verdict"`, the verdict `V`; `"max_rl"`,
            `V / p` (MaxRL, 2602.02710), for problems rarely solved; `"pass@k"`, `V`, or for a wrong completion the
            chance that k - 1 others of its group include a right one (2505.15201), to solve each problem at least once;
            `"rare"`, `V (1 + r)`, with `r` the rarity in its group of the calculations that lead to the answer (similar
            to 2601.08763), in [0, 1].
        k: number of completions that pass@k draws, at most the group size.
        end_of_thinking: as in `Reader`, like `thinking_required`; a given `OutcomeVerifier` has its own settings.

    Raises ConfigError for an argument out of range, unbounded exploration under `gate="adaptive"`, two parts with the
    same name (TRL would merge them in its logs), or reading settings that differ from the verifier's.

    Example:
        >>> rewards = RLSPRewards(exploration=[LengthExploration(C=6)], alpha=0.8)
        >>> [part.__name__ for part in rewards]
        ['outcome_verifier', 'length_exploration']
        >>> rewards(completions=["3 times 4 is 12 . \\\\boxed{12}"], solution=["12"])
        [1.125]
    """

    __name__ = "rlsp_rewards"

    scorer: Scorer
    verifier: Reward
    exploration: tuple[Reward, ...]
    schedule: AlphaSchedule
    alpha: float
    gate: Gate
    length_penalty: float

    def __init__(
        self,
        verifier: Reward | None = None,
        exploration: Iterable[Reward] | None = None,
        *,
        alpha: float | AlphaSchedule = 0.8,
        gate: Gate = "none",
        length_penalty: float = 0.25,
        objective: Objective = "verdict",
        k: int = 4,
        end_of_thinking: str | None = "</think>",
        thinking_required: bool | None = None,
    ) -> None:
        if verifier is None:
            verifier = OutcomeVerifier(end_of_thinking=end_of_thinking, thinking_required=thinking_required)
        asked = Reader(end_of_thinking, thinking_required)
        reader = verifier.reader if isinstance(verifier, OutcomeVerifier) else asked
        if asked not in (Reader(), reader):
            raise ConfigError(
                "end_of_thinking and thinking_required must match those of the given verifier, got "
                f"{asked} and {reader}; set them in OutcomeVerifier(...)"
            )
        parts = (LengthExploration(),) if exploration is None else tuple(exploration)
        for part in (verifier, *parts):
            if not callable(part):
                raise ConfigError(f"a reward must be callable, got {part!r}")
        schedule = alpha if isinstance(alpha, AlphaSchedule) else AlphaSchedule("constant", alpha)
        scorer = Scorer(verifier, parts, schedule, gate, length_penalty, reader, objective, k)
        shared = ("verifier", "exploration", "schedule", "gate", "length_penalty")
        vars(self).update({name: getattr(scorer, name) for name in shared}, scorer=scorer, alpha=schedule.start)
        super().__init__(Part(scorer, place) for place in range(len(scorer.names)))
        self._refuse_equal_names()

    def __setattr__(self, name: str, value: Any) -> None:
        raise ConfigError(f"a suite is read-only, got {name} = {value!r}: build a new one with RLSPRewards({name}=...)")

    def __add__(self, others: Iterable[Reward]) -> RLSPRewards:  # type: ignore[override]
        suite = copy.copy(self)
        suite.extend(others)
        suite._refuse_equal_names()
        return suite

    def _refuse_equal_names(self) -> None:
        name, count = Counter(map(name_of, self)).most_common(1)[0]
        if count > 1:
            raise ConfigError(f"two rewards have the name {name!r}; TRL merges them in its logs: set `__name__`")

    def __repr__(self) -> str:
        alpha = self.schedule if self.schedule.moves else f"{self.alpha:g}"
        return f"RLSPRewards({list(self)!r}, alpha={alpha}, gate={self.gate!r})"

    def __call__(
        self, prompts: Any = None, completions: Any = (), log_metric: Any = None, **kwargs: Any
    ) -> list[float | None]:
        """The sum of the parts, `None` if the outcome is not scorable; logs `rewards/<part>/mean` as TRL would."""
        columns = [part(prompts=prompts, completions=completions, log_metric=log_metric, **kwargs) for part in self]
        for part, column in zip(self, columns, strict=True):
            log_mean(log_metric, f"rewards/{name_of(part)}/mean", column)
        rows = zip(*columns, strict=True)
        return [None if row[0] is None else sum(value for value in row if value is not None) for row in rows]

    def close(self) -> None:
        """Stop the verifier's workers, if it has any; a later call starts them again."""
        if isinstance(self.verifier, OutcomeVerifier):
            self.verifier.close()
