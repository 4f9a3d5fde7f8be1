"""Exploration paid by what the reasoning does: backtracking, verification, alternatives."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from trl_rlsp.behaviours.credit import credited
from trl_rlsp.behaviours.kinds import KINDS, Kind
from trl_rlsp.errors import ConfigError
from trl_rlsp.rewards.readings import readings_of
from trl_rlsp.text import Reading, prompt_text, read


class BehaviourExploration:
    r"""Pays for distinct search behaviours, each with diminishing returns and a cap.

    With `n_k` the occurrences of behaviour `k` that count (`trl_rlsp.behaviours.credit`: surrounded by new reasoning,
    before a final answer), at most `cap` of them, the value is the mean over the kinds of
    `n_k / (n_k + half)`, in [0, 1): a second behaviour is worth more than a second occurrence of the first.

    A cue in front of real reasoning cannot be told from a real one by its wording. Pay little for it, gate it on
    correctness, and watch answer changes beside it (`rlsp behaviours`).

    Args:
        kinds: the behaviours paid for, of `trl_rlsp.behaviours.KINDS`.
        cap: occurrences of one behaviour that are paid for.
        half: occurrences that earn half of a behaviour's share.
        spacing: new words of content between two occurrences that count.
        ngram: repeated n-grams of this many words are not new.

    Raises:
        ConfigError: an unknown kind or one given twice, no kind, or a number out of range.

    Example:
        >>> reward = BehaviourExploration(["verification"], spacing=4)
        >>> reward(completions=["Let me check: 3 times 4 is 12 . \\boxed{12}", "Let me check. \\boxed{12}"])
        [0.5, 0.0]
    """

    __name__ = "behaviour_exploration"
    bounded = takes_readings = True
    can_fail = False

    def __init__(
        self,
        kinds: Sequence[Kind] = ("backtracking", "verification", "alternatives"),
        *,
        cap: int = 4,
        half: float = 1.0,
        spacing: int = 8,
        ngram: int = 6,
    ) -> None:
        if not kinds or not set(kinds) <= set(KINDS) or len(set(kinds)) < len(kinds):
            raise ConfigError(f"kinds are one or more of {', '.join(KINDS)}, each once, got {list(kinds)!r}")
        if cap < 1:
            raise ConfigError(f"cap is a number of occurrences, at least 1, got {cap!r}")
        if not (math.isfinite(half) and half > 0):
            raise ConfigError(f"half is a number of occurrences, positive and finite, got {half!r}")
        if spacing < 1:
            raise ConfigError(f"spacing is a number of words of content, at least 1, got {spacing!r}")
        if ngram < 2:
            raise ConfigError(f"ngram is at least 2, got {ngram!r}")
        self.kinds, self.cap, self.half, self.spacing, self.ngram = tuple(kinds), cap, float(half), spacing, ngram

    def __repr__(self) -> str:
        return (
            f"BehaviourExploration({list(self.kinds)!r}, cap={self.cap}, half={self.half:g}, spacing={self.spacing}, "
            f"ngram={self.ngram})"
        )

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
            prompts: B prompts; text copied from them is not new.
            completions: B completions, strings or message lists.
            log_metric: TRL's logger of scalars, if any; receives `exploration/<kind>`, the mean number that counts.
            readings: the completions as the suite has read them.

        Returns:
            B floats in [0, 1).
        """
        given = prompts if prompts is not None else [None] * len(completions)
        readings = readings_of(readings, completions, prompts=prompts, log_metric=log_metric, **kwargs)
        counts = [self.counts(reading, prompt=p) for reading, p in zip(readings, given, strict=True)]
        if log_metric is not None and counts:
            for kind in self.kinds:
                log_metric(f"exploration/{kind}", sum(count[kind] for count in counts) / len(counts))
        return [self.value(count) for count in counts]

    def counts(self, completion: Any, *, prompt: Any = None) -> dict[Kind, int]:
        """Occurrences of each kind that count; none without a final answer."""
        found: dict[Kind, int] = dict.fromkeys(self.kinds, 0)
        reading = completion if isinstance(completion, Reading) else read(completion)
        if not reading.finished:
            return found
        before = prompt_text(prompt)
        for behaviour in credited(reading.exploration, prompt=before, spacing=self.spacing, ngram=self.ngram):
            if behaviour.kind in found:
                found[behaviour.kind] += 1
        return found

    def value(self, counts: Mapping[Kind, int]) -> float:
        """The reward of one completion's counts."""
        capped = [min(counts[kind], self.cap) for kind in self.kinds]
        return sum(n / (n + self.half) for n in capped) / len(self.kinds)
