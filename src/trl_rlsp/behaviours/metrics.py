"""Behaviours logged while a model trains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trl_rlsp.behaviours.counting import count_behaviours
from trl_rlsp.behaviours.kinds import KINDS
from trl_rlsp.text.completion import completion_text
from trl_rlsp.text.effective_length import words


class BehaviourMetrics:
    """Logs each behaviour per 1,000 tokens of the batch as `behaviour/<kind>`; picklable, without state.

    Example:
        >>> log = {}
        >>> BehaviourMetrics()(["Let me check: 3 * 4 = 12."], log_metric=log.__setitem__)
        >>> log["behaviour/verification"]
        100.0
    """

    __name__ = "behaviour_metrics"

    def __call__(
        self,
        completions: Sequence[Any],
        log_metric: Any = None,
        completion_ids: Sequence[Sequence[int]] | None = None,
        **kwargs: Any,
    ) -> None:
        """Log the rates of a batch.

        Args:
            completions: B completions, strings or message lists.
            log_metric: TRL's logger of scalars; nothing is done without one.
            completion_ids: B lists of token ids; without them lengths are words.
        """
        if log_metric is None or not completions:
            return
        texts = [completion_text(completion) for completion in completions]
        totals: dict[str, int] = dict.fromkeys(KINDS, 0)
        for text in texts:
            for kind, count in count_behaviours(text).items():
                totals[kind] += count
        tokens = sum(map(len, completion_ids)) if completion_ids is not None else sum(len(words(t)) for t in texts)
        for kind, total in totals.items():
            log_metric(f"behaviour/{kind}", 1000 * total / tokens if tokens else 0.0)
