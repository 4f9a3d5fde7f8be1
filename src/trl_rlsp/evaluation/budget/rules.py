"""When repeated sampling of one problem has seen enough agreement to stop.

A rule is asked after each sample and knows nothing of texts: answers are keys that are equal where the answers are,
`None` where a sample has no answer and so no vote.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import comb
from typing import Protocol

from trl_rlsp.errors import ConfigError


class Rule(Protocol):
    """Whether the samples drawn so far are enough."""

    @property
    def name(self) -> str:
        """How tables call it."""

    def enough(self, answers: Sequence[Hashable | None], n: int) -> bool:
        """Whether to stop.

        Args:
            answers: keys of the samples drawn so far.
            n: samples that may be drawn in all.
        """


@dataclass(frozen=True)
class Unbeatable:
    """Stop when the leading answer has more votes than any other can still reach: the vote is that of all n samples.

    Example:
        >>> Unbeatable().enough(["7", "7", "9", "7"], n=5), Unbeatable().enough(["7", "7", "9"], n=4)
        (True, False)
    """

    name: str = "unbeatable"

    def enough(self, answers: Sequence[Hashable | None], n: int) -> bool:
        """Whether the lead is greater than the number of samples to come."""
        first, second = top_two(answers)
        return first - second > n - len(answers)


@dataclass(frozen=True)
class AdaptiveConsistency:
    """Stop when the leading answer is the likelier of the two leading ones with a given probability.

    The Beta rule of Adaptive-Consistency (2305.11860, section 3.2): see `lead_probability`. The vote may differ from
    that of all n samples.

    Args:
        confidence: the probability, above 0.5 and below 1; 0.95 in the paper.

    Raises:
        ConfigError: a confidence out of its range.

    Example:
        >>> AdaptiveConsistency().enough(["7"] * 3, n=40), AdaptiveConsistency().enough(["7"] * 4, n=40)
        (False, True)
    """

    confidence: float = 0.95

    def __post_init__(self) -> None:
        if not 0.5 < self.confidence < 1:
            raise ConfigError(f"confidence is above 0.5 and below 1, got {self.confidence!r}")

    @property
    def name(self) -> str:
        """How tables call it."""
        return f"adaptive consistency, {self.confidence:g}"

    def enough(self, answers: Sequence[Hashable | None], n: int) -> bool:
        """Whether the probability of the lead exceeds the confidence; never for no votes at all."""
        return lead_probability(*top_two(answers)) > self.confidence


@dataclass(frozen=True)
class LastAgree:
    """Stop when `k` of the last `window` samples give the same answer; `k` = `window` is a run of equal answers.

    A run of `window` is the rule of early-stopping self-consistency (2401.10480, section 2), asked after each sample
    instead of once a window. The vote may differ from that of all n samples.

    Args:
        k: samples that agree.
        window: last samples looked at.

    Raises:
        ConfigError: not 2 <= k <= window.

    Example:
        >>> LastAgree(3, 4).enough(["9", "7", "7", None, "7"], n=40)
        True
    """

    k: int = 4
    window: int = 4

    def __post_init__(self) -> None:
        if not 2 <= self.k <= self.window:
            raise ConfigError(f"2 <= k <= window must hold, got k={self.k} and window={self.window}")

    @property
    def name(self) -> str:
        """How tables call it."""
        return f"{self.k} of the last {self.window} agree"

    def enough(self, answers: Sequence[Hashable | None], n: int) -> bool:
        """Whether enough of the last samples agree."""
        return top_two(answers[-self.window :])[0] >= self.k


def top_two(answers: Sequence[Hashable | None]) -> tuple[int, int]:
    """Votes of the leading answer and of the next one; 0 where there is none."""
    counts = sorted(Counter(answer for answer in answers if answer is not None).values(), reverse=True)
    first, second = [*counts, 0, 0][:2]
    return first, second


def lead_probability(first: int, second: int) -> float:
    """Probability that the answer with `first` votes is likelier than that with `second`, all others left aside.

    With a uniform prior the share of the first among both is Beta(first + 1, second + 1); its mass above 1/2 is
    sum_{j <= first} C(first + second + 1, j) / 2^(first + second + 1) (2305.11860, section 3.2), in whole numbers.

    Args:
        first: votes of the leading answer.
        second: votes of the next one.

    Returns:
        A probability; 0.5 for equal votes.

    Example:
        >>> lead_probability(1, 0), lead_probability(3, 0), lead_probability(2, 2)
        (0.75, 0.9375, 0.5)
    """
    total = first + second + 1
    return sum(comb(total, j) for j in range(first + 1)) / 2**total
