"""Effort counted in calculations that hold, for problems with numbers.

Length pays for text: an attempt with a wrong sum earns as much as one with a right sum, so that long training on it
wears out the arithmetic that the search rests on (docs/log.md). Here only calculations count that hold and that start
from the problem's numbers or from results of such (`trl_rlsp.text.calculations`); each once, however often and in
whatever notation it is written. Whether the final answer is right plays no part.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trl_rlsp.text.calculations import check_half, kept_calculations
from trl_rlsp.text.completion import parse_completion
from trl_rlsp.text.effective_length import prompt_text, visible


class CalculationExploration:
    r"""Pays `n / (n + K)` for `n` distinct calculations that hold, in [0, 1).

    Counted is the reasoning before exactly one final answer; without one, `n` is 0. In a problem without numbers any
    calculation that holds counts. Words earn nothing, so this is for arithmetic: proofs and programs are not measured.
    What can be had without exploring is true but pointless calculation from the problem's numbers on.

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
    bounded = True

    def __init__(self, *, K: float = 8.0) -> None:
        self.K = check_half(K)

    def __repr__(self) -> str:
        return f"CalculationExploration(K={self.K:g})"

    def __call__(
        self,
        prompts: Sequence[Any] | None = None,
        completions: Sequence[Any] = (),
        log_metric: Any = None,
        **kwargs: Any,
    ) -> list[float]:
        """Score a batch.

        Args:
            prompts: B prompts; without them calculations from any numbers count.
            completions: B completions, strings or message lists.
            log_metric: TRL's logger of scalars, if any; receives `exploration/calculations`, the mean of `n`.

        Returns:
            B floats in [0, 1).
        """
        asked = prompts if prompts is not None else [None] * len(completions)
        counts = [counted(completion, prompt) for completion, prompt in zip(completions, asked, strict=True)]
        if log_metric is not None and counts:
            log_metric("exploration/calculations", sum(counts) / len(counts))
        return [count / (count + self.K) for count in counts]


def counted(completion: Any, prompt: Any = None) -> int:
    """Distinct calculations of a completion that hold; 0 without exactly one final answer.

    Args:
        completion: text or message list, as TRL passes it.
        prompt: text or message list with the problem.
    """
    parsed = parse_completion(completion)
    if not parsed.finished:
        return 0
    return len(kept_calculations(visible(parsed.reasoning).strip(), prompt_text(prompt)))
