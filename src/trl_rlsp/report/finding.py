"""A warning of the report, and the thresholds from which one is given."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """Something in a run that a person should look at.

    Attributes:
        kind: its short name, stable between versions.
        run: name of the run.
        what: what is seen, in one sentence.
        evidence: the numbers it rests on.
        advice: what to do.
    """

    kind: str
    run: str
    what: str
    evidence: str
    advice: str


@dataclass(frozen=True)
class Thresholds:
    """From where on something is worth a warning; `docs/report.md` says why.

    Changes over training are those of the last quarter of the logged steps against the first, and count only if they
    are also larger than two standard errors.

    Attributes:
        accuracy_fall: least fall of the accuracy, absolute.
        reward_rise: least rise of the reward, absolute.
        cut_off: least share of completions cut off at the limit, in the last quarter.
        repetition_rise: least rise of the share of repeated text, absolute.
        zero_variance: least share of groups in which all rewards are equal, in the last quarter.
        judge_prefers_wrong: least share of (right, wrong) pairs of one group in which the judge puts the wrong
            completion first; equal grades count half. A judge that does not look at correctness gives 0.5.
        judge_pairs: fewest pairs to judge the judge by.
        not_scorable: least share of completions without a verdict.
        fewest: fewest completions for a share.
    """

    accuracy_fall: float = 0.02
    reward_rise: float = 0.01
    cut_off: float = 0.10
    repetition_rise: float = 0.10
    zero_variance: float = 0.5
    judge_prefers_wrong: float = 0.6
    judge_pairs: int = 30
    not_scorable: float = 0.02
    fewest: int = 20
