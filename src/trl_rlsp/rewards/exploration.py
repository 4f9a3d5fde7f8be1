"""Exploration rewards: they score the reasoning process, independent of whether the answer is right.

Instances of every class here are reward functions for `trl.GRPOTrainer`; `RLSPRewards` scales and gates them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal, get_args

from trl_rlsp.behaviours import KINDS, Kind, credited
from trl_rlsp.errors import ConfigError
from trl_rlsp.rewards.batch import Batch, Reader, as_explored
from trl_rlsp.text import Reading, calculations, check_half, completion_text, effective_length, visible, words

LengthForm = Literal["bounded", "paper", "relative"]


class Exploration(ABC):
    """Base class of exploration rewards, called by TRL; subclasses need a fixed, unique `__name__` and `scores`.

    Picklable, with no state between steps. `bounded`: values are in [0, 1]; `can_fail`: values can be `None`.

    Example:
        >>> class Sentences(Exploration):
        ...     __name__ = "sentences"
        ...
        ...     def scores(self, batch):
        ...         counts = [reading.exploration.count(".") for reading, prompt in batch.rows]
        ...         return [count / (count + 10) for count in counts]
        >>> Sentences()(completions=["3 is too small. 4 fits. \\\\boxed{4}"])
        [0.16666666666666666]
    """

    __name__: str
    bounded: bool = True
    can_fail: bool = False
    takes_readings: bool = True

    def __call__(
        self,
        prompts: Sequence[Any] | None = None,
        completions: Sequence[Any] = (),
        log_metric: Any = None,
        readings: Sequence[Reading] | None = None,
        **columns: Any,
    ) -> list[float | None]:
        """B values, `None` if unavailable; a collective operation if groups are compared in a distributed run.

        Text copied from the prompts earns nothing; completions of one prompt (and one solution) are a group.
        `readings` are the completions as parsed by the suite; `columns`: `completion_ids` and the data set's columns.
        """
        columns["prompts"] = prompts
        if readings is None:
            readings = list(map(as_explored, Reader().read(completions, {**columns, "log_metric": log_metric})))
        return self.scores(Batch(completions, readings, columns, log_metric))

    @abstractmethod
    def scores(self, batch: Batch) -> list[float | None]:
        """The B values of a batch of B completions."""


@dataclass(eq=False)
class LengthExploration(Exploration):
    r"""Rewards the length of reasoning; logs `exploration/effective_length`.

    With `|o|` the effective length of a completion (`trl_rlsp.text.effective_length`):

    - `form="bounded"`: `|o| / (|o| + C)`, in [0, 1);
    - `form="paper"`: `-C / |o|`, with `|o|` at least 1, in [-C, 0) (RLSP, 2502.06773, section 2.2). It is unbounded: a
      long wrong completion can outrank a short correct one;
    - `form="relative"`: the fraction of the other completions of the group with a smaller `|o|`, equal ones counting
      half, in [0, 1]; 0 if `|o|` is 0 or in a group of one. It never saturates: use it with `gate="adaptive"`.

    Args:
        C: length at which half of the bounded bonus is earned, in words (about tokens); 1000 in the paper.
        guarded: count only novel reasoning before a final answer. `False` counts `completion_ids`, like the paper, or
            words if these are not given.
        ngram: repeated n-grams of this many words do not count.

    Example:
        >>> reward = LengthExploration(C=6)
        >>> reward(completions=["3 times 4 is 12 . \\boxed{12}", "\\boxed{12}"])
        [0.5, 0.0]
    """

    form: LengthForm = "bounded"
    _: KW_ONLY
    C: float = 1000.0
    guarded: bool = True
    ngram: int = 6

    __name__ = "length_exploration"
    measures_length = True

    def __post_init__(self) -> None:
        if self.form not in get_args(LengthForm):
            raise ConfigError(f"form must be 'bounded', 'paper' or 'relative', got {self.form!r}")
        check_half(self.C, "C", "words")
        if self.ngram < 2:
            raise ConfigError(f"ngram must be at least 2, got {self.ngram!r}; use guarded=False to count repetition")
        self.bounded = self.form != "paper"

    def scores(self, batch: Batch) -> list[float | None]:
        """B finite floats."""
        if self.guarded:
            lengths = [effective_length(reading, prompt=prompt, ngram=self.ngram) for reading, prompt in batch.rows]
        else:
            lengths = self._written(batch.completions, batch.columns)
        batch.log("exploration/effective_length", lengths)
        if self.form == "relative":
            return list(map(_rank, lengths, batch.members(lengths)))
        return list(map(self.value, lengths))

    def value(self, length: int) -> float:
        """The reward for one effective length, in the forms that do not depend on the group."""
        return -self.C / max(length, 1) if self.form == "paper" else length / (length + self.C)

    def _written(self, completions: Sequence[Any], columns: Mapping[str, Any]) -> list[int]:
        """Lengths of whole completions: in tokens with `guarded=False`, else in words."""
        ids = None if self.guarded else columns.get("completion_ids")
        return list(map(len, ids if ids is not None else map(words, map(completion_text, completions))))

    def costs(self, completions: Sequence[Any], **columns: Any) -> list[float]:
        """B values `L = |all| / (|all| + C)`, in [0, 1), with `|all|` the length of the whole completion.

        >>> LengthExploration(C=6).costs(["12 , 12 , 12 , 12"])  # 7 words
        [0.5384615384615384]
        """
        return [length / (length + self.C) for length in self._written(completions, columns)]


def _rank(own: int, group: list[int]) -> float:
    """Fraction of the group's other lengths that are smaller than the completion's own, equal ones counting half."""
    smaller, equal = sum(other < own for other in group), group.count(own) - 1
    return (smaller + equal / 2) / (len(group) - 1) if own and len(group) > 1 else 0.0


@dataclass(eq=False, kw_only=True)
class CalculationExploration(Exploration):
    r"""Rewards `n` distinct correct calculations with `n / (n + K)`, in [0, 1); logs `exploration/calculations`.

    A calculation counts once, before a final answer, if it is correct and starts from the problem's numbers or earlier
    results (`trl_rlsp.text.calculations`). Words earn nothing, so this is for arithmetic. Known exploit: true but
    pointless calculations with the problem's numbers.

    Example:
        >>> reward = CalculationExploration(K=2)
        >>> texts = ["6 + 3 = 9 | 9 * 2 = 18 \\boxed{18}", "6 + 3 = 9 | 9 * 2 = 17 \\boxed{17}"]
        >>> reward(prompts=["6 3 2 : 18"] * 2, completions=texts)
        [0.5, 0.3333333333333333]
    """

    K: float = 8.0

    __name__ = "calculation_exploration"

    def __post_init__(self) -> None:
        check_half(self.K)

    def scores(self, batch: Batch) -> list[float | None]:
        """B floats in [0, 1)."""
        steps = [calculations(visible(r.exploration), given=prompt) if r.finished else () for r, prompt in batch.rows]
        counts = list(map(len, steps))
        batch.log("exploration/calculations", counts)
        return [count / (count + self.K) for count in counts]


@dataclass(eq=False)
class BehaviourExploration(Exploration):
    r"""Rewards distinct search behaviors, each with diminishing returns and a cap; logs `exploration/<kind>`.

    With `n_k` the occurrences of behavior `k` that count (`trl_rlsp.behaviours.credited`), at most `cap`, the value is
    the mean over the kinds of `n_k / (n_k + half)`, in [0, 1): a second behavior is worth more than a second occurrence
    of the first. A cue inserted before real reasoning cannot be distinguished from a genuine one by its wording: give
    it a small weight, gate it on correctness, and monitor answer changes (`rlsp behaviours`).

    Args:
        kinds: the behaviors to reward, from `trl_rlsp.behaviours.KINDS`.
        cap: maximum number of rewarded occurrences per behavior.
        half: number of occurrences that earn half of a behavior's share.
        spacing: new content words required between two occurrences; for this and `ngram` see `credited`.

    Example:
        >>> reward = BehaviourExploration(["verification"], spacing=4)
        >>> reward(completions=["Let me check: 3 times 4 is 12 . \\boxed{12}", "Let me check. \\boxed{12}"])
        [0.5, 0.0]
    """

    kinds: Sequence[Kind] = ("backtracking", "verification", "alternatives")
    _: KW_ONLY
    cap: int = 4
    half: float = 1.0
    spacing: int = 8
    ngram: int = 6

    __name__ = "behaviour_exploration"

    def __post_init__(self) -> None:
        kinds = self.kinds
        if not kinds or not set(kinds) <= set(KINDS) or len(set(kinds)) < len(kinds):
            raise ConfigError(f"kinds must be one or more of {', '.join(KINDS)}, each once, got {list(kinds)!r}")
        check_half(self.half, "half", "occurrences")
        for name, least in (("cap", 1), ("spacing", 1), ("ngram", 2)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} must be at least {least}, got {getattr(self, name)!r}")

    def scores(self, batch: Batch) -> list[float | None]:
        """B floats in [0, 1)."""
        counts = [self.counts(*row) for row in batch.rows]
        for kind in self.kinds:
            batch.log(f"exploration/{kind}", [count[kind] for count in counts])
        return list(map(self.value, counts))

    def value(self, counts: Mapping[str, int]) -> float:
        """The reward for the counts of one completion."""
        capped = [min(counts[kind], self.cap) for kind in self.kinds]
        return sum(n / (n + self.half) for n in capped) / len(self.kinds)

    def counts(self, reading: Reading, prompt: str = "") -> Counter[str]:
        """Number of occurrences of each kind that count; none without a final answer."""
        text = reading.exploration if reading.finished else ""
        behaviours = credited(text, prompt=prompt, spacing=self.spacing, ngram=self.ngram)
        return Counter(behaviour.kind for behaviour in behaviours if behaviour.kind in self.kinds)
