"""Diversity: what a completion tries that the other completions of its group do not.

Two completions differ in approach, not in wording, so what is compared is the set of calculations each goes through
(`trl_rlsp.text.calculations`). Where a group hardly calculates, pairs of neighbouring content words are compared
instead; an embedding model can take the place of both. Why within the group: GRPO compares only within the group
(2509.02534 and 2505.09655 use semantic diversity there).

What cannot be had by faking: equations that do not hold, numbers from nowhere, repetition, text copied from the
prompt or from the group, words nobody else uses, anything after the answer or without one. What can: true but
pointless calculations with the problem's numbers, bounded by saturation, and, among words, known words rearranged.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from trl_rlsp.errors import ConfigError
from trl_rlsp.rewards.groups import Member, gather_members, group_keys
from trl_rlsp.rewards.word_pairs import UNITS_PER_STEP, Pairs, WordPairGroup, novelty, word_pairs
from trl_rlsp.text.calculations import check_half, kept_calculations
from trl_rlsp.text.completion import parse_completion
from trl_rlsp.text.effective_length import effective_length, prompt_text, visible

ENOUGH_STEPS = 2
"""Distinct calculations from which on a completion is one that calculates."""

Embed = Callable[[list[str]], Any]
"""Texts -> one vector each, as rows of an array or as lists of floats."""


class Approach(NamedTuple):
    """What is compared of one completion: its calculations, or its vector, and whether there is any reasoning."""

    steps: frozenset[str]
    vector: Any | None
    reasons: bool


class DiversityExploration:
    r"""Pays for approaches that the rest of the group does not take.

    With `S` the set of a completion's calculations and `f(s)` the share of the other completions of its group that
    also make calculation `s`, the value is `sum(1 - f(s) for s in S) / (|S| + K)`. This is the mean, over the others,
    of the share of `S` that the other one does not have, times the saturating `|S| / (|S| + K)`. It lies in [0, 1).

    A group in which fewer than half of the completions with reasoning make two calculations is compared by unordered
    pairs of neighbouring content words, with 6 K in place of K: words that neither the problem nor another member
    uses do not count, and a completion that shares less than a tenth of its pairs with the group is paid in
    proportion less. With `embed`, the first factor is the mean of `1 - cosine` over the others, clipped to [0, 1], the
    second `L / (L + 6 K)` with `L` the effective length (`trl_rlsp.text.effective_length`).

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
    bounded = True

    def __init__(self, *, K: float = 8.0, embed: Embed | None = None) -> None:
        if embed is not None and not callable(embed):
            raise ConfigError(f"embed is a callable from texts to vectors, got {embed!r}; pass a model's `encode`")
        self.K, self.embed = check_half(K), embed

    def __repr__(self) -> str:
        return f"DiversityExploration(K={self.K:g}, embed={self.embed!r})"

    def __call__(
        self,
        prompts: Sequence[Any] | None = None,
        completions: Sequence[Any] = (),
        log_metric: Any = None,
        **kwargs: Any,
    ) -> list[float | None]:
        """Score a batch; collective where ranks share the batch.

        Args:
            prompts: B prompts; completions of one prompt (and one solution) are a group.
            completions: B completions, strings or message lists.
            log_metric: TRL's logger of scalars, if any; receives `diversity/steps` (mean distinct calculations),
                `diversity/by_words` (share of completions compared by words), `diversity/failed` (share without a
                usable vector).

        Returns:
            B floats in [0, 1); `None` where `embed` gave no usable vector.

        Raises:
            ConfigError: no prompts.
        """
        keys = group_keys(prompts, kwargs)
        asked = [prompt_text(prompt) for prompt in prompts or ()]
        texts = [_Text.of(completion, prompt) for completion, prompt in zip(completions, asked, strict=True)]
        members = gather_members(keys, self._approaches(texts))
        by_words = [self.embed is None and not _calculates(member.values) for member in members]
        pairs = [text.pairs() if wordy else frozenset() for text, wordy in zip(texts, by_words, strict=True)]
        worded = gather_members(keys, pairs)
        if self.embed is not None:
            values = [self._by_meaning(text, member) for text, member in zip(texts, members, strict=True)]
        else:
            values = self._by_content(keys, texts, members, worded)
        self._log(log_metric, texts, by_words, values)
        return values

    def _by_content(
        self,
        keys: Sequence[str],
        texts: Sequence[_Text],
        members: Sequence[Member[Approach]],
        worded: Sequence[Member[Pairs]],
    ) -> list[float | None]:
        groups: dict[str, _StepGroup | WordPairGroup] = {}
        values: list[float | None] = []
        for key, text, member, words in zip(keys, texts, members, worded, strict=True):
            if key not in groups:
                steps = [approach.steps for approach in member.values]
                groups[key] = (
                    _StepGroup(steps) if _calculates(member.values) else WordPairGroup(words.values, text.prompt)
                )
            values.append(groups[key].value(member.position, self.K) if text.finished else 0.0)
        return values

    def _approaches(self, texts: Sequence[_Text]) -> list[Approach]:
        if self.embed is None:
            return [Approach(text.steps(), None, bool(text.reasoning)) for text in texts]
        distinct = sorted({text.reasoning for text in texts if text.reasoning})
        vectors = dict(zip(distinct, map(_unit_vector, self.embed(distinct) if distinct else ()), strict=True))
        return [Approach(frozenset(), vectors.get(text.reasoning), bool(text.reasoning)) for text in texts]

    def _by_meaning(self, text: _Text, member: Member[Approach]) -> float | None:
        length = effective_length(text.completion, prompt=text.prompt)
        if length == 0:
            return 0.0
        own = member.values[member.position].vector
        others = [other for place, other in enumerate(member.values) if place != member.position]
        seen = [other for other in others if other.vector is not None or not other.reasons]
        if own is None or (others and not seen):
            return None
        distances = [1.0 if other.vector is None else _distance(own, other.vector) for other in seen]
        return _mean(distances) * length / (length + UNITS_PER_STEP * self.K)

    def _log(self, log_metric: Any, texts: Sequence[_Text], by_words: Sequence[bool], values: Sequence[Any]) -> None:
        if log_metric is None or not texts:
            return
        if self.embed is not None:
            log_metric("diversity/failed", _mean([float(value is None) for value in values]))
            return
        log_metric("diversity/steps", _mean([len(text.steps()) for text in texts]))
        log_metric("diversity/by_words", _mean([float(wordy) for wordy in by_words]))


class _Text(NamedTuple):
    """A completion as far as it is compared; unfinished reasoning is compared with, but not paid."""

    completion: Any
    prompt: str
    reasoning: str
    finished: bool

    @classmethod
    def of(cls, completion: Any, prompt: str) -> _Text:
        parsed = parse_completion(completion)
        return cls(completion, prompt, visible(parsed.reasoning).strip(), parsed.finished)

    def steps(self) -> frozenset[str]:
        return kept_calculations(self.reasoning, self.prompt)

    def pairs(self) -> Pairs:
        return word_pairs(self.reasoning) - word_pairs(self.prompt)


def _calculates(group: Sequence[Approach]) -> bool:
    """Whether at least half of the completions with reasoning make enough calculations."""
    reasoning = [len(member.steps) >= ENOUGH_STEPS for member in group if member.reasons]
    return 2 * sum(reasoning) >= len(reasoning)


class _StepGroup:
    """A group compared by calculations."""

    def __init__(self, sets: Sequence[frozenset[str]]) -> None:
        self.sets = sets
        self.counts = Counter(step for steps in sets for step in steps)

    def value(self, place: int, K: float) -> float:
        own = self.sets[place]
        return novelty(own, self.counts, len(self.sets)) / (len(own) + K)


def _unit_vector(vector: Any) -> Any | None:
    """The vector as an array of length 1, `None` if it has no finite, positive length."""
    import numpy as np

    values = np.asarray(vector, dtype=np.float32).ravel()
    length = float(np.linalg.norm(values))
    return values / length if math.isfinite(length) and length > 0 else None


def _distance(one: Any, other: Any) -> float:
    return min(1.0, max(0.0, 1.0 - float(one @ other)))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
