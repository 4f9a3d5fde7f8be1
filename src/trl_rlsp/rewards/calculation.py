"""Effort counted in calculations that hold, for problems with numbers.

Length pays for text: an attempt with a wrong sum earns as much as one with a right sum, so that long training on it
wears out the arithmetic that the search rests on (docs/log.md). Here only calculations count that hold and that start
from the problem's numbers or from results of such (`trl_rlsp.text.calculations`); each once, however often and in
whatever notation it is written. Whether the final answer is right plays no part.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trl_rlsp.rewards.readings import readings_of
from trl_rlsp.text import Reading, calculations, check_half, prompt_text, read, visible


class CalculationExploration:
    r"""Pays `n / (n + K)` for `n` distinct calculations that hold, in [0, 1).

    Counted is the reasoning before a final answer; without one, `n` is 0. In a problem without numbers any calculation
    that holds counts. Words earn nothing, so this is for arithmetic: of a proof or a program only the sums in the
    reasoning are measured. Known exploit: true but pointless calculations from the problem's numbers on.

    Args:
        K: calculations at which half of the bonus is earned.

    Raises:
        ConfigError: K not positive and finite.

    Example:
        >>> reward = CalculationExploration(K=2)
        >>> texts = ["6 + 3 = 9 | 9 * 2 = 18 \\boxed{18}", "6 + 3 = 9 | 9 * 2 = 17 \\boxed{17}"]
        >>> reward(prompts=["6 3 2 : 18"] * 2, completions=texts)
        [0.5, 0.3333333333333333]
    """

    __name__ = "calculation_exploration"
    bounded = takes_readings = True
    can_fail = False

    def __init__(self, *, K: float = 8.0) -> None:
        self.K = check_half(K)

    def __repr__(self) -> str:
        return f"CalculationExploration(K={self.K:g})"

    def __call__(
        self,
        prompts: Sequence[Any] | None = None,
        completions: Sequence[Any] = (),
        log_metric: Any = None,
        readings: Sequence[Reading] | None = None,
        **kwargs: Any,
    ) -> list[float]:
        """Score a batch.

        Args:
            prompts: B prompts; without them calculations from any numbers count.
            completions: B completions, strings or message lists.
            log_metric: TRL's logger of scalars, if any; receives `exploration/calculations`, the mean of `n`.
            readings: the completions as the suite has read them.

        Returns:
            B floats in [0, 1).
        """
        asked = prompts if prompts is not None else [None] * len(completions)
        readings = readings_of(readings, completions, prompts=prompts, log_metric=log_metric, **kwargs)
        counts = [counted(reading, prompt) for reading, prompt in zip(readings, asked, strict=True)]
        if log_metric is not None and counts:
            log_metric("exploration/calculations", sum(counts) / len(counts))
        return [count / (count + self.K) for count in counts]


def counted(completion: Any, prompt: Any = None) -> int:
    """Distinct calculations of a completion that hold; 0 without a final answer.

    Args:
        completion: a `Reading`, or the text or message list of a completion to a mathematical problem.
        prompt: text or message list with the problem.
    """
    reading = completion if isinstance(completion, Reading) else read(completion)
    return len(calculations(visible(reading.exploration), given=prompt_text(prompt))) if reading.finished else 0
