"""Diversity: what a completion tries that the other completions of its group do not.

Two completions differ in approach, not in wording, so what is compared is the set of calculations each goes through
(`trl_rlsp.text.calculations`), or the vectors of an embedding model. Why within the group: GRPO compares only within
the group (2509.02534 and 2505.09655 use semantic diversity there).

What cannot be had by faking: equations that do not hold, numbers from nowhere, repetition, text copied from the
prompt or from the group, anything after the answer or without one. Known exploit: true but pointless calculations
with the problem's numbers, bounded by saturation.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

from trl_rlsp.errors import ConfigError
from trl_rlsp.rewards.groups import Member, gather_members, group_keys
from trl_rlsp.rewards.readings import readings_of
from trl_rlsp.text import Reading, calculations, check_half, effective_length, prompt_text, visible

WORDS_PER_STEP = 6
"""Words that weigh as much as one calculation: `3 * 4 = 12 |` has six."""

Embed = Callable[[list[str]], Any]
"""Texts -> one vector each, as rows of an array or as lists of floats."""


class _Vector(NamedTuple):
    """A completion's embedding, if it could be had, and whether there was any reasoning to embed."""

    values: Any | None
    reasons: bool


class DiversityExploration:
    r"""Pays for approaches that the rest of the group does not take.

    With `S` the set of a completion's calculations and `f(s)` the share of the other completions of its group that
    also make calculation `s`, the value is `sum(1 - f(s) for s in S) / (|S| + K)`. This is the mean, over the others,
    of the share of `S` that the other one does not have, times the saturating `|S| / (|S| + K)`. It lies in [0, 1).

    It is for arithmetic: in a group that hardly calculates nearly all values are 0. With `embed`, the first factor is
    the mean of `1 - cosine` over the others, clipped to [0, 1], the second `L / (L + 6 K)` with `L` the effective
    length (`trl_rlsp.text.effective_length`).

    A group of one has nothing to differ from: 0.0. Groups split over ranks are compared whole.

    Args:
        K: calculations at which half of the possible bonus is earned.
        embed: texts -> vectors, for comparing by meaning instead; any callable that can be pickled if the reward must
            be. With sentence-transformers: `embed=SentenceTransformer("all-MiniLM-L6-v2").encode`. How well it
            resists gibberish is the model's affair.

    Raises:
        ConfigError: K not positive and finite, or `embed` not callable.

    Example:
        >>> reward = DiversityExploration(K=2)
        >>> texts = ["6 + 3 = 9 | 9 * 2 = 18 \\boxed{18}", "3 + 6 = 9 | 9 + 2 = 11 \\boxed{11}"]
        >>> reward(prompts=["6 3 2 : 18"] * 2, completions=texts)
        [0.25, 0.25]
    """

    __name__ = "diversity_exploration"
    bounded = takes_readings = True

    def __init__(self, *, K: float = 8.0, embed: Embed | None = None) -> None:
        if embed is not None and not callable(embed):
            raise ConfigError(f"embed is a callable from texts to vectors, got {embed!r}; pass a model's `encode`")
        self.K, self.embed = check_half(K), embed

    @property
    def can_fail(self) -> bool:
        """Whether a value can be `None`."""
        return self.embed is not None

    def __repr__(self) -> str:
        return f"DiversityExploration(K={self.K:g}, embed={self.embed!r})"

    def __call__(
        self,
        prompts: Sequence[Any] | None = None,
        completions: Sequence[Any] = (),
        log_metric: Any = None,
        readings: Sequence[Reading] | None = None,
        **kwargs: Any,
    ) -> list[float | None]:
        """Score a batch; collective where ranks share the batch.

        Args:
            prompts: B prompts; completions of one prompt (and one solution) are a group.
            completions: B completions, strings or message lists.
            log_metric: TRL's logger of scalars, if any; receives `diversity/steps` (mean distinct calculations), or
                `diversity/failed` (share without a usable vector).
            readings: the completions as the suite has read them.

        Returns:
            B floats in [0, 1); `None` where `embed` gave no usable vector.

        Raises:
            ConfigError: no prompts.
        """
        keys = group_keys(prompts, kwargs)
        readings = readings_of(readings, completions, prompts=prompts, log_metric=log_metric, **kwargs)
        asked = [prompt_text(prompt) for prompt in prompts or ()]
        if self.embed is None:
            return self._by_steps(keys, readings, asked, log_metric)
        vectors = self._vectors(readings)
        members = gather_members(keys, vectors)
        rows = zip(readings, asked, vectors, members, strict=True)
        values = [self._by_meaning(*row) for row in rows]
        if log_metric is not None and values:
            log_metric("diversity/failed", values.count(None) / len(values))
        return values

    def _by_steps(
        self, keys: Sequence[str], readings: Sequence[Reading], asked: Sequence[str], log_metric: Any
    ) -> list[float | None]:
        steps = [
            calculations(visible(reading.exploration), given=prompt)
            for reading, prompt in zip(readings, asked, strict=True)
        ]
        if log_metric is not None and steps:
            log_metric("diversity/steps", sum(map(len, steps)) / len(steps))
        counts: dict[str, Counter[str]] = {}
        values: list[float | None] = []
        for key, reading, own, member in zip(keys, readings, steps, gather_members(keys, steps), strict=True):
            if key not in counts:
                counts[key] = Counter(step for other in member.values for step in other)
            new = novelty(own, counts[key], len(member.values))
            values.append(new / (len(own) + self.K) if reading.finished else 0.0)
        return values

    def _vectors(self, readings: Sequence[Reading]) -> list[_Vector]:
        texts = [visible(reading.exploration).strip() for reading in readings]
        distinct = sorted({text for text in texts if text})
        found = dict(zip(distinct, map(_unit_vector, self.embed(distinct) if distinct else ()), strict=True))  # type: ignore[misc]
        return [_Vector(found.get(text), bool(text)) for text in texts]

    def _by_meaning(self, reading: Reading, prompt: str, own: _Vector, member: Member[_Vector]) -> float | None:
        length = effective_length(reading, prompt=prompt)
        if length == 0:
            return 0.0
        others = [other for place, other in enumerate(member.values) if place != member.position]
        seen = [other for other in others if other.values is not None or not other.reasons]
        if own.values is None or (others and not seen):
            return None
        distances = [1.0 if other.values is None else _distance(own.values, other.values) for other in seen]
        mean = sum(distances) / len(distances) if distances else 0.0
        return mean * length / (length + WORDS_PER_STEP * self.K)


def novelty(own: Collection[str], counts: Mapping[str, int], members: int) -> float:
    """Number of elements of `own`, each weighted by the share of the other members that lack it.

    Args:
        own: the elements of one member.
        counts: for each element, how many members have it.
        members: size of the group; one alone has nothing that is new.

    Example:
        >>> novelty("ab", {"a": 3, "b": 1}, members=3)  # a is everyone's, b is nobody else's
        1.0
    """
    if members < 2:
        return 0.0
    return len(own) - sum(counts[element] - 1 for element in own) / (members - 1)


def _unit_vector(vector: Any) -> Any | None:
    """The vector as an array of length 1, `None` if it has no finite, positive length."""
    import numpy as np

    values = np.asarray(vector, dtype=np.float32).ravel()
    length = float(np.linalg.norm(values))
    return values / length if math.isfinite(length) and length > 0 else None


def _distance(one: Any, other: Any) -> float:
    return min(1.0, max(0.0, 1.0 - float(one @ other)))
