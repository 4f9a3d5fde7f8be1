"""Answers that take all the time they get: right answers of the same batch keep their score."""

import random

import pytest

from trl_rlsp.rewards import OutcomeVerifier

pytestmark = [pytest.mark.red_team, pytest.mark.slow]
NESTED = r"\boxed{" + r"\sqrt{1+" * 35 + "x" + "}" * 35 + "+%d}"


def batch(slow, seed):
    """Rows in random order: completions, golds, and which of them are right."""
    rows = [(NESTED % i, r"\sqrt{2}", False) for i in range(slow)]
    rows += [(rf"\boxed{{\frac{{{i}}}{{\sqrt2}}}}", rf"\frac{{{i}\sqrt2}}{{2}}", True) for i in range(3, 9)]
    random.Random(seed).shuffle(rows)
    return zip(*rows, strict=True)


@pytest.mark.parametrize("slow", [4, 12, 40])
def test_right_answers_beside_slow_ones(slow):
    with OutcomeVerifier(workers=2, batch_seconds=8) as verifier:
        verifier.verdicts([r"\boxed{\frac{1}{\sqrt2}}"], solution=[r"\frac{\sqrt2}{2}"])
        completions, golds, right = batch(slow, seed=slow)
        found = verifier.verdicts(completions, solution=golds)
    assert [verdict.score for verdict, good in zip(found, right, strict=True) if good] == [1.0] * 6
    assert 1.0 not in [verdict.score for verdict, good in zip(found, right, strict=True) if not good]
    if slow <= 12:  # none of them escapes its zero because the batch's time is up
        assert None not in [verdict.score for verdict in found]


def test_two_hundred_batches_mixed_at_random():
    # The cache is emptied, so that every batch is checked anew; each has one slow row among the right ones.
    with OutcomeVerifier(workers=2, time_limit=0.4, batch_seconds=8) as verifier:
        verifier.verdicts([r"\boxed{\frac{1}{\sqrt2}}"], solution=[r"\frac{\sqrt2}{2}"])
        for seed in range(200):
            verifier.cache.clear()
            completions, golds, right = batch(1, seed)
            found = verifier.verdicts(completions, solution=golds)
            assert [verdict.score for verdict in found] == [1.0 if good else 0.0 for good in right]
