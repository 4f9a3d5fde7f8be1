"""Repeated sampling that stops by agreement, and what that saves against plain maj@n on the same samples."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from trl_rlsp.errors import ConfigError, DataError
from trl_rlsp.evaluation.bootstrap import Estimate, bootstrap_mean
from trl_rlsp.evaluation.budget.rules import Rule
from trl_rlsp.evaluation.metrics import ScoredSample
from trl_rlsp.evaluation.pass_at_k import maj_at_k


@dataclass(frozen=True)
class Ballot:
    """One sample of a problem.

    Attributes:
        answer: a key, equal where the answers are; `None` for no answer.
        tokens: length of the completion in tokens.
        score: its verdict; `None` if not known.
    """

    answer: Hashable | None
    tokens: int
    score: float | None = None


Draw = Callable[[Sequence[int]], Sequence[Ballot]]
"""One new sample for each of the problems whose numbers are given."""


@dataclass(frozen=True)
class Saving:
    """A rule against plain maj@n on the same samples; every `Estimate` has a 95 % bootstrap interval over problems.

    Attributes:
        rule: its name.
        accuracy: score of the vote.
        plain_accuracy: score of the vote of all n samples, on the same problems.
        difference: accuracy minus plain accuracy, paired by problem.
        tokens: tokens drawn for a problem.
        plain_tokens: tokens of all n samples of a problem.
        samples: samples drawn for a problem.
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


def draw_until_agreement(draw: Draw, problems: int, n: int, rule: Rule) -> list[list[Ballot]]:
    """Draw samples of each problem until the rule has seen enough, or n are drawn.

    Each round asks for one sample of every problem that is still open, so that they can be decoded as one batch.

    Args:
        draw: one new sample for each of the given problems.
        problems: number of problems P.
        n: samples a problem at most.
        rule: when to stop.

    Returns:
        P lists of at most n samples, in the order drawn.

    Raises:
        ConfigError: n below 1.
    """
    if n < 1:
        raise ConfigError(f"n, the samples that may be drawn of a problem, is at least 1, got {n}")
    drawn: list[list[Ballot]] = [[] for _ in range(problems)]
    still_open = list(range(problems))
    for _ in range(n):
        for problem, ballot in zip(still_open, draw(still_open) if still_open else [], strict=True):
            drawn[problem].append(ballot)
        still_open = [p for p in still_open if not rule.enough([ballot.answer for ballot in drawn[p]], n)]
    return drawn


def replayed(recorded: Sequence[Sequence[Ballot]]) -> Draw:
    """A `Draw` that gives samples drawn earlier, each once, in their order."""
    remaining = [iter(ballots) for ballots in recorded]
    return lambda problems: [next(remaining[problem]) for problem in problems]


def vote_score(ballots: Sequence[Ballot]) -> float | None:
    """Score of the answer with the most votes; those that tie share it evenly. `None` if it is not known.

    >>> vote_score([Ballot("7", 20, 1.0), Ballot("9", 30, 0.0), Ballot("7", 25, 1.0)])
    1.0
    """
    return maj_at_k([b.answer for b in ballots], [b.score for b in ballots], len(ballots))


def saving(recorded: Sequence[Sequence[Ballot]], rule: Rule) -> Saving:
    """What stopping by a rule would have saved on samples that were all drawn.

    Args:
        recorded: for each problem its n samples, in the order drawn.
        rule: when to stop.

    Raises:
        DataError: no problems, problems with different numbers of samples, or none whose vote has a score.
    """
    sizes = {len(ballots) for ballots in recorded}
    if len(sizes) != 1 or sizes == {0}:
        raise DataError(f"every problem has the same number of samples, at least one, got {sorted(sizes) or 'none'}")
    (n,) = sizes
    drawn = draw_until_agreement(replayed(recorded), len(recorded), n, rule)
    votes = [(vote_score(few), vote_score(all_n)) for few, all_n in zip(drawn, recorded, strict=True)]
    known = [(few, all_n) for few, all_n in votes if few is not None and all_n is not None]
    if not known:
        raise DataError("no vote has a score: check the gold answers with `rlsp check`")
    tokens, plain_tokens = _tokens(drawn), _tokens(recorded)
    return Saving(
        rule=rule.name,
        accuracy=bootstrap_mean([few for few, _ in known]),
        plain_accuracy=bootstrap_mean([all_n for _, all_n in known]),
        difference=bootstrap_mean([few - all_n for few, all_n in known]),
        tokens=bootstrap_mean(tokens),
        plain_tokens=bootstrap_mean(plain_tokens),
        samples=bootstrap_mean([len(few) for few in drawn]),
        saved=1 - sum(tokens) / sum(plain_tokens),
        stopped=sum(len(few) < n for few in drawn) / len(drawn),
        not_scorable=len(votes) - len(known),
    )


def ballots_of(samples: Sequence[ScoredSample]) -> list[list[Ballot]]:
    """Scored samples as the ballots of each problem, in the order of problems and samples.

    A sample votes by its key, `ScoredSample.answer`, which is the same for answers that the verifier takes for equal.
    """
    by_problem: dict[int, list[Ballot]] = {}
    for sample in samples:
        by_problem.setdefault(sample.problem, []).append(Ballot(sample.answer, sample.tokens, sample.score))
    return [by_problem[problem] for problem in sorted(by_problem)]


def _tokens(drawn: Sequence[Sequence[Ballot]]) -> list[float]:
    return [float(sum(ballot.tokens for ballot in ballots)) for ballots in drawn]
