"""Repeated sampling that stops when the votes agree, and what that saves against plain maj@n on the same samples.

A rule is asked after each sample and knows nothing of texts: answers are keys that are equal where the answers are,
`None` where a sample has no answer and so no vote.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import comb
from typing import TYPE_CHECKING, Protocol

from trl_rlsp.errors import ConfigError, DataError
from trl_rlsp.evaluation._compare import paired
from trl_rlsp.evaluation._estimators import Estimate, bootstrap_mean
from trl_rlsp.evaluation._metrics import Group, by_problem, group_majority
from trl_rlsp.evaluation._scoring import draw, score_samples
from trl_rlsp.generation import Engine, Request, Sample, Sampling

if TYPE_CHECKING:
    from datasets import Dataset

    from trl_rlsp.evaluation._store import SampleStore
    from trl_rlsp.rewards import OutcomeVerifier

Answers = Sequence[Hashable | None]


class Rule(Protocol):
    """Whether the samples drawn so far are enough; tables call it `name`."""

    @property
    def name(self) -> str: ...

    def enough(self, answers: Answers, n: int) -> bool:
        """Whether to stop after these answers of n samples that may be drawn in all."""


@dataclass(frozen=True)
class Unbeatable:
    """Stop when the leading answer has more votes than any other can still reach: the vote is that of all n samples.

    >>> Unbeatable().enough(["7", "7", "9", "7"], n=5), Unbeatable().enough(["7", "7", "9"], n=4)
    (True, False)
    """

    name: str = "unbeatable"

    def enough(self, answers: Answers, n: int) -> bool:
        """See `Rule`."""
        first, second = top_two(answers)
        return first - second > n - len(answers)


@dataclass(frozen=True)
class AdaptiveConsistency:
    """Stop when the leading answer is the likelier of the two leading ones with a probability above `confidence`.

    The Beta rule of Adaptive-Consistency (2305.11860, section 3.2), whose confidence is 0.95; it is above 0.5 and
    below 1, else there is a ConfigError. The vote may differ from that of all n samples.

    >>> AdaptiveConsistency().enough(["7"] * 3, n=40), AdaptiveConsistency().enough(["7"] * 4, n=40)
    (False, True)
    """

    confidence: float = 0.95

    def __post_init__(self) -> None:
        if not 0.5 < self.confidence < 1:
            raise ConfigError(f"confidence is above 0.5 and below 1, got {self.confidence!r}")

    @property
    def name(self) -> str:
        """See `Rule`."""
        return f"adaptive consistency, {self.confidence:g}"

    def enough(self, answers: Answers, n: int) -> bool:
        """See `Rule`; never without votes."""
        return lead_probability(*top_two(answers)) > self.confidence


@dataclass(frozen=True)
class LastAgree:
    """Stop when `k` of the last `window` samples give the same answer, 2 <= k <= window (else a ConfigError).

    With k = window it is early-stopping self-consistency (2401.10480, section 2), asked after each sample instead of
    once a window. The vote may differ from that of all n samples.

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
        """See `Rule`."""
        return f"{self.k} of the last {self.window} agree"

    def enough(self, answers: Answers, n: int) -> bool:
        """See `Rule`."""
        return top_two(answers[-self.window :])[0] >= self.k


def top_two(answers: Answers) -> tuple[int, int]:
    """Votes of the leading answer and of the next one; 0 where there is none."""
    counts = Counter(answer for answer in answers if answer is not None).most_common(2)
    first, second, *_ = [*(count for _, count in counts), 0, 0]
    return first, second


def lead_probability(first: int, second: int) -> float:
    """Probability that the answer with `first` votes is likelier than that with `second`, all others left aside.

    With a uniform prior the share of the first among both is Beta(first + 1, second + 1); its mass above 1/2 is
    sum_{j <= first} C(first + second + 1, j) / 2^(first + second + 1), in whole numbers.

    >>> lead_probability(1, 0), lead_probability(3, 0), lead_probability(2, 2)
    (0.75, 0.9375, 0.5)
    """
    total = first + second + 1
    return sum(comb(total, j) for j in range(first + 1)) / 2**total


def draw_until_agreement(
    engine: Engine,
    dataset: Dataset,
    sampling: Sampling,
    rule: Rule,
    verifier: OutcomeVerifier,
    *,
    store: SampleStore | None = None,
) -> list[Group]:
    """Draw samples of each problem until the rule has seen enough, or `sampling.n` are drawn.

    Each round asks for one sample of every problem that is still open, so that they are decoded together; a run that
    was killed goes on with its store.

    Returns:
        For each problem its scored samples, in the order drawn.
    """
    samples: list[list[Sample]] = [[] for _ in range(len(dataset))]
    drawn: dict[int, Group] = {}
    still_open = list(range(len(dataset)))
    for number in range(sampling.n):
        asked = [Request(problem, number) for problem in still_open]
        for sample in draw(engine, dataset, sampling, store=store, requests=asked):
            samples[sample.prompt_index].append(sample)
        votes = score_samples([s for problem in still_open for s in samples[problem]], dataset, verifier)
        drawn |= by_problem(votes)  # which answers are equal is known anew with each sample
        still_open = [p for p in still_open if not rule.enough([s.answer for s in drawn[p]], sampling.n)]
        if not still_open:
            break
    return [drawn[problem] for problem in range(len(dataset))]


@dataclass(frozen=True)
class RuleResult:
    """A rule against plain maj@n on the same problems: accuracy of the votes, and samples and tokens drawn a problem.

    Attributes:
        saved: share of the tokens not drawn.
        stopped: share of the problems stopped before n samples.
        not_scorable: problems left out of the accuracies because a vote has no score.
    """

    rule: str
    accuracy: Estimate
    plain_accuracy: Estimate
    difference: Estimate
    tokens: Estimate
    plain_tokens: Estimate
    samples: Estimate
    saved: float
    stopped: float
    not_scorable: int


def try_rule(recorded: Sequence[Group], rule: Rule) -> RuleResult:
    """What stopping by a rule would have saved where n scored samples of each problem were drawn, in that order.

    Raises:
        DataError: no problems, problems with different numbers of samples, or none whose vote has a score.
    """
    sizes = {len(group) for group in recorded}
    if len(sizes) != 1 or sizes == {0}:
        raise DataError(f"every problem has the same number of samples, at least one, got {sorted(sizes) or 'none'}")
    (n,) = sizes
    drawn = []
    for group in recorded:
        answers = [sample.answer for sample in group]
        drawn.append(group[: next((k for k in range(1, n) if rule.enough(answers[:k], n)), n)])
    plain, early = (dict(enumerate(group_majority(g, len(g)) for g in groups)) for groups in (recorded, drawn))
    votes = paired(plain, early)
    if votes is None:
        raise DataError("no vote has a score: check the gold answers with `rlsp check`")
    tokens, plain_tokens = ([sum(s.tokens for s in group) for group in groups] for groups in (drawn, recorded))
    return RuleResult(
        rule=rule.name,
        accuracy=votes.second,
        plain_accuracy=votes.first,
        difference=votes.difference,
        tokens=bootstrap_mean(tokens),
        plain_tokens=bootstrap_mean(plain_tokens),
        samples=bootstrap_mean([len(few) for few in drawn]),
        saved=1 - sum(tokens) / sum(plain_tokens),
        stopped=sum(len(few) < n for few in drawn) / len(drawn),
        not_scorable=votes.left_out,
    )
