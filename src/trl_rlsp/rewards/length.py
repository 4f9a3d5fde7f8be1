"""Exploration rewards: scores of the process, independent of whether the answer is right.

Every class here is a reward function for `trl.GRPOTrainer` in its own right; `RLSPRewards` scales and gates them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, get_args

from trl_rlsp.errors import ConfigError
from trl_rlsp.rewards.groups import Member, gather_members, group_keys
from trl_rlsp.rewards.readings import readings_of
from trl_rlsp.text import Reading, completion_text, effective_length, words

LengthForm = Literal["bounded", "paper", "relative"]


class LengthExploration:
    r"""Pays for the length of reasoning.

    With `|o|` the effective length of a completion (see `trl_rlsp.text.effective_length`):

    - `form="bounded"`: `|o| / (|o| + C)`, in [0, 1). With alpha > 0.5 a correct completion always outranks a
      wrong one.
    - `form="paper"`: `-C / |o|`, with `|o|` at least 1, in [-C, 0) (RLSP, 2502.06773, section 2.2). It is
      unbounded below: a long wrong completion can outrank a short correct one.
    - `form="relative"`: the share of the other completions of the group whose `|o|` is smaller, equal ones counting
      half, in [0, 1]; 0 where `|o|` is 0 and in a group of one. It has no scale to choose and does not flatten: what
      one more step of reasoning earns is the same at any length. Because it never saturates, use it only with
      `gate="adaptive"`. Groups split over ranks are compared whole.

    The first two have the same shape for long completions: `|o| / (|o| + C) = 1 - C / (|o| + C)`.

    Args:
        form: which of the three.
        C: length at which half of the bounded bonus is earned, in words (about tokens). The paper's is 1000.
            With `form="relative"` it is of use to `costs` alone.
        guarded: count only novel reasoning before a final answer. `False` counts `completion_ids` as the
            paper does, or words where these are not given.
        ngram: repeated n-grams of this many words do not count.

    Raises:
        ConfigError: an unknown form, C not positive and finite, or ngram below 2.

    Example:
        >>> reward = LengthExploration(C=6)
        >>> reward(completions=["3 times 4 is 12 . \\boxed{12}", "\\boxed{12}"])
        [0.5, 0.0]
    """

    __name__ = "length_exploration"
    measures_length = takes_readings = True
    can_fail = False

    def __init__(
        self, form: LengthForm = "bounded", *, C: float = 1000.0, guarded: bool = True, ngram: int = 6
    ) -> None:
        if form not in get_args(LengthForm):
            raise ConfigError(f"form is 'bounded', 'paper' or 'relative', got {form!r}")
        if not (math.isfinite(C) and C > 0):
            raise ConfigError(f"C is a number of words, positive and finite, got {C!r}")
        if ngram < 2:
            raise ConfigError(f"ngram is at least 2, got {ngram!r}; use guarded=False to count repetition")
        self.form, self.C, self.guarded, self.ngram = form, float(C), guarded, ngram

    @property
    def bounded(self) -> bool:
        """Whether the values lie in [0, 1]."""
        return self.form != "paper"

    def __repr__(self) -> str:
        return f"LengthExploration({self.form!r}, C={self.C:g}, guarded={self.guarded}, ngram={self.ngram})"

    def __call__(
        self,
        prompts: Sequence[Any] | None = None,
        completions: Sequence[Any] = (),
        completion_ids: Sequence[Sequence[int]] | None = None,
        log_metric: Any = None,
        readings: Sequence[Reading] | None = None,
        **kwargs: Any,
    ) -> list[float]:
        """Score a batch; with `form="relative"` collective where ranks share the batch.

        Args:
            prompts: B prompts; text copied from them does not count. Completions of one prompt (and one solution) are
                a group.
            completions: B completions, strings or message lists.
            completion_ids: B lists of token ids, only used with `guarded=False`.
            log_metric: TRL's logger of scalars, if any; receives `exploration/effective_length`.
            readings: the completions as the suite has read them.

        Returns:
            B finite floats.

        Raises:
            ConfigError: `form="relative"` without prompts.
        """
        if self.guarded:
            readings = readings_of(readings, completions, prompts=prompts, log_metric=log_metric, **kwargs)
            given = prompts if prompts is not None else [None] * len(completions)
            lengths = [
                effective_length(reading, prompt=prompt, ngram=self.ngram)
                for reading, prompt in zip(readings, given, strict=True)
            ]
        else:
            lengths = self._written(completions, completion_ids)
        if log_metric is not None and lengths:
            log_metric("exploration/effective_length", sum(lengths) / len(lengths))
        if self.form == "relative":
            members = gather_members(group_keys(prompts, kwargs), lengths)
            return [relative_rank(member) for member in members]
        return [self.value(length) for length in lengths]

    def _written(self, completions: Sequence[Any], completion_ids: Sequence[Sequence[int]] | None) -> list[int]:
        """Lengths of everything: in tokens with `guarded=False`, else in words."""
        if not self.guarded and completion_ids is not None:
            return [len(ids) for ids in completion_ids]
        return [len(words(completion_text(completion))) for completion in completions]

    def costs(
        self, completions: Sequence[Any], *, completion_ids: Sequence[Sequence[int]] | None = None, **kwargs: Any
    ) -> list[float]:
        """The B values `L = |all| / (|all| + C)`, in [0, 1), of everything that was written.

        Repetition, text after the answer and whole completions without an answer count here: what effort ignores is
        no place to hide from the cost. With `guarded=False` it is the bounded reward.

        Example:
            >>> LengthExploration(C=6).costs(["12 , 12 , 12 , 12"])  # 7 words
            [0.5384615384615384]
        """
        return [length / (length + self.C) for length in self._written(completions, completion_ids)]

    def value(self, length: int) -> float:
        """The reward of one effective length, in the forms that do not look at the group."""
        if self.form == "bounded":
            return length / (length + self.C)
        return -self.C / max(length, 1)


def relative_rank(member: Member[int]) -> float:
    """Share of a group's other lengths that are smaller than the completion's own, equal ones counting half, in [0, 1].

    Example:
        >>> from trl_rlsp.rewards.groups import Member
        >>> [relative_rank(Member([0, 20, 20, 50, 0], place)) for place in range(5)]
        [0.0, 0.625, 0.625, 1.0, 0.0]
    """
    own, group = member.values[member.position], member.values
    if own == 0 or len(group) == 1:
        return 0.0
    smaller, equal = sum(other < own for other in group), group.count(own) - 1
    return (smaller + equal / 2) / (len(group) - 1)
