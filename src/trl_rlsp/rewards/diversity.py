"""Diversity: approaches that a completion tries, or an answer that it gives, and others for its problem do not.

Approach matters, not wording. Therefore completions are compared by their sets of calculations, or by the vectors of an
embedding model; within a group, because GRPO compares only there (2509.02534 and 2505.09655 use semantic diversity).
Known exploit: true but pointless calculations with the problem's numbers, bounded by saturation.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal, get_args

from trl_rlsp.errors import ConfigError
from trl_rlsp.rewards.batch import Batch, gather_groups, mean
from trl_rlsp.rewards.exploration import Exploration
from trl_rlsp.text import Reading, answer_key, calculations, check_half, effective_length, kinds_of, rational, visible

WORDS_PER_STEP = 6  # words that count as much as one calculation: `3 * 4 = 12 |` has six
Embed = Callable[[list[str]], Any]
"""Texts -> one vector each, as rows of an array or lists of floats."""

NoveltyForm = Literal["batch", "historical"]

_NUMBER, _COMMAND = re.compile(r"\d+(?:\.\d+)?"), re.compile(r"\\[a-zA-Z]+")

_Vector = tuple[Any, bool]  # a completion's embedding, if available, and whether there was reasoning to embed


@dataclass(eq=False, kw_only=True)
class DiversityExploration(Exploration):
    r"""Rewards approaches that the rest of the group does not take; logs `diversity/steps` or `diversity/failed`.

    With `S` the set of a completion's calculations (`trl_rlsp.text.calculations`) and `f(s)` the fraction of the other
    completions of its group that also contain calculation `s`, the value is `sum(1 - f(s) for s in S) / (|S| + K)`, in
    [0, 1); 0 in a group of one. It is for arithmetic: in a group with few calculations, nearly all values are 0.

    With `embed`, the value is the mean of `1 - cosine` over the others, clipped to [0, 1], times `L / (L + 6 K)` with
    `L` the effective length (`trl_rlsp.text.effective_length`); `None` without a usable vector.

    Args:
        K: number of calculations at which half of the possible bonus is earned.
        embed: texts -> vectors, to compare by meaning instead, such as
            `SentenceTransformer("all-MiniLM-L6-v2").encode`. Its resistance to gibberish depends on the model.

    Example:
        >>> reward = DiversityExploration(K=2)
        >>> texts = ["6 + 3 = 9 | 9 * 2 = 18 \\boxed{18}", "3 + 6 = 9 | 9 + 2 = 11 \\boxed{11}"]
        >>> reward(prompts=["6 3 2 : 18"] * 2, completions=texts)
        [0.25, 0.25]
    """

    K: float = 8.0
    embed: Embed | None = None

    __name__ = "diversity_exploration"

    def __post_init__(self) -> None:
        check_half(self.K)
        if self.embed is not None and not callable(self.embed):
            raise ConfigError(f"embed must map texts to vectors, got {self.embed!r}; pass a model's `encode`")
        self.can_fail = self.embed is not None

    def scores(self, batch: Batch) -> list[float | None]:
        """B floats in [0, 1); `None` if `embed` returned no usable vector."""
        return self._by_steps(batch) if self.embed is None else self._by_meaning(batch, self.embed)

    def _by_steps(self, batch: Batch) -> list[float | None]:
        steps = [calculations(visible(reading.exploration), given=prompt) for reading, prompt in batch.rows]
        batch.log("diversity/steps", list(map(len, steps)))
        groups = gather_groups(batch.keys, steps)
        counts = {key: Counter(chain.from_iterable(group)) for key, group in groups.items()}
        values: list[float | None] = []
        for reading, own, key in zip(batch.readings, steps, batch.keys, strict=True):
            others = len(groups[key]) - 1
            shared = sum(counts[key][step] - 1 for step in own) / max(others, 1)
            alone = others == 0 or not reading.finished
            values.append(0.0 if alone else (len(own) - shared) / (len(own) + self.K))
        return values

    def _by_meaning(self, batch: Batch, embed: Embed) -> list[float | None]:
        texts = [visible(reading.exploration).strip() for reading in batch.readings]
        distinct = sorted({text for text in texts if text})
        vector_of = dict(zip(distinct, map(_unit_vector, embed(distinct) if distinct else ()), strict=True))
        vectors = [(vector_of.get(text), bool(text)) for text in texts]
        lengths = [effective_length(reading, prompt=prompt) for reading, prompt in batch.rows]
        values: list[float | None] = []
        for length, (own, _), group in zip(lengths, vectors, batch.members(vectors), strict=True):
            distance, weight = _mean_distance(own, group), length / (length + WORDS_PER_STEP * self.K)
            values.append(None if distance is None and length else (distance or 0.0) * weight)
        batch.log("diversity/failed", [value is None for value in values])
        return values


def _unit_vector(vector: Any) -> Any | None:
    """The vector as an array, scaled to norm 1; `None` if its norm is not finite and positive."""
    import numpy as np

    values = np.asarray(vector, dtype=np.float32).ravel()
    length = float(np.linalg.norm(values))
    return values / length if 0 < length < math.inf else None


def _mean_distance(own: Any | None, group: Sequence[_Vector]) -> float | None:
    """Mean of `1 - cosine` to the others of the group that have a vector or no reasoning (distance 1)."""
    known = [vector for vector, reasons in group if vector is not None or not reasons]
    if own is None or len(known) == 1 < len(group):
        return None
    distances = (1.0 if other is None else min(1.0, max(0.0, 1.0 - float(own @ other))) for other in known)
    return mean(sorted(distances)[1:]) or 0.0  # without the first, its distance to itself


@dataclass(eq=False)
class NoveltyExploration(Exploration):
    r"""Rewards final answers, right or wrong, that are rarely given to their problem (2509.06941); logs
    `novelty/answers`, the number of different answers of a group.

    - `form="batch"`: the share of the other completions of the group that do not give the answer, in [0, 1]; 0 in a
      group of one. It is the paper's batch bonus on a scale from 0 to 1.
    - `form="historical"`: `1 / sqrt(N)`, with N the number of times that the run has given the answer to the problem,
      this batch included. The counts are kept in `trainer_state`, which checkpoints save; without one, only the batch
      counts.

    Answers are equal if their values are (`trl_rlsp.text.answer_key`) or, if they have none, the numbers in them, or
    else their letters. Nothing is paid without exactly one answer, without reasoning before it
    (`trl_rlsp.text.effective_length`), or for a program, which can be written in endless ways. Known exploit: an answer
    drawn at random; use `gate="adaptive"`, which pays only as far as the group fails.

    Example:
        >>> texts = ["Four, I think: \\boxed{4}", "Or so: \\boxed{4.0}", "Five may do: \\boxed{5}"]
        >>> NoveltyExploration()(prompts=["2 + 2?"] * 3, completions=texts)
        [0.5, 0.5, 1.0]
    """

    form: NoveltyForm = "batch"

    __name__ = "novelty_exploration"

    def __post_init__(self) -> None:
        if self.form not in get_args(NoveltyForm):
            raise ConfigError(f"form must be 'batch' or 'historical', got {self.form!r}")

    def scores(self, batch: Batch) -> list[float | None]:
        """B floats in [0, 1]."""
        kinds = kinds_of(batch.columns, len(batch.completions))
        answers = list(map(_answer, batch.readings, kinds))
        groups = gather_groups(batch.keys, answers)
        counts = {key: Counter(filter(None, group)) for key, group in groups.items()}
        batch.log("novelty/answers", [len(counts[key]) for key in batch.keys])
        if self.form == "historical":
            _remember(counts, batch.columns.get("trainer_state"))
        values: list[float | None] = []
        for (reading, prompt), key, answer in zip(batch.rows, batch.keys, answers, strict=True):
            earns = answer and effective_length(reading, prompt=prompt) > 0
            values.append(self._value(counts[key][answer], len(groups[key])) if earns else 0.0)
        return values

    def _value(self, count: int, size: int) -> float:
        """What an answer is worth that occurs `count` times, in a group of `size`."""
        if self.form == "historical":
            return 1 / math.sqrt(count)
        return (size - count) / (size - 1) if size > 1 else 0.0


def _answer(reading: Reading, kind: str) -> str:
    """A short text that is equal for equal answers; `""` for none, and for a program."""
    if reading.answer is None or kind == "code":
        return ""
    key = answer_key(visible(reading.answer))
    if isinstance(key, str):
        numbers = [number if rational(number) is None else str(rational(number)) for number in _NUMBER.findall(key)]
        key = " ".join(numbers) or "".join(filter(str.isalnum, _COMMAND.sub("", key))).casefold() or key
    return hashlib.blake2b(str(key).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _remember(counts: dict[str, Counter[str]], trainer_state: Any) -> None:
    """Add to the counts of a batch, by group and answer, those of the run so far, and keep the sums in its state."""
    if (states := getattr(trainer_state, "stateful_callbacks", None)) is None:
        return
    memory = states.setdefault(NoveltyExploration.__name__, {})
    for key, count in counts.items():
        count.update(memory.get(key, {}))
        memory[key] = dict(count)
