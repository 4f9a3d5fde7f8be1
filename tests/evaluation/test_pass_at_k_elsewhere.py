"""The same samples through the estimators of lighteval and of lm-eval, where these are installed."""

from __future__ import annotations

from collections import Counter
from statistics import fmean

import numpy as np
import pytest

from trl_rlsp.evaluation._metrics import maj_at_k, pass_at_k

pytestmark = pytest.mark.slow

PROBLEMS, SAMPLES = 200, 16
GOLD = "7"


@pytest.fixture(scope="module")
def answers():
    """200 problems of different difficulty, 16 answers each; wrong ones are 0 to 6, 0 the most frequent."""
    rng = np.random.default_rng(0)
    drawn = []
    for chance in rng.beta(0.7, 0.9, PROBLEMS):
        right = rng.random(SAMPLES) < chance
        wrong = rng.choice(7, SAMPLES, p=[0.4, 0.2, 0.12, 0.1, 0.08, 0.05, 0.05])
        drawn.append([GOLD if r else str(w) for r, w in zip(right, wrong, strict=True)])
    return drawn


def scores(given):
    return [float(answer == GOLD) for answer in given]


def our_pass(answers, k):
    return fmean(pass_at_k(SAMPLES, given.count(GOLD), k) for given in answers)


def is_tie(given):
    counts = sorted(Counter(given).values(), reverse=True)
    return len(counts) > 1 and counts[0] == counts[1]


@pytest.mark.parametrize("k", [1, 2, 4, 8, 16])
def test_pass_at_k_of_lighteval(answers, k):
    samples = pytest.importorskip("lighteval.metrics.metrics_sample", reason="pip install lighteval to compare with it")
    from lighteval.models.model_output import ModelResponse
    from lighteval.tasks.requests import Doc

    metric = samples.PassAtK(k=k, n=SAMPLES)
    doc = Doc(query="", choices=[GOLD], gold_index=0)
    theirs = fmean(float(metric.compute(doc, ModelResponse(text=given))) for given in answers)
    print(f"pass@{k}: lighteval {theirs:.10f}, here {our_pass(answers, k):.10f}")
    assert our_pass(answers, k) == pytest.approx(theirs, abs=1e-12)


@pytest.mark.parametrize("k", [4, 16])
def test_maj_at_n_of_lighteval(answers, k):
    """lighteval votes over the first n samples and gives a tie to the answer that came first; here it is shared."""
    samples = pytest.importorskip("lighteval.metrics.metrics_sample", reason="pip install lighteval to compare with it")
    from lighteval.models.model_output import ModelResponse
    from lighteval.tasks.requests import Doc

    metric = samples.MajAtN(n=k)
    doc = Doc(query="", choices=[GOLD], gold_index=0)
    first = [given[:k] for given in answers]
    decided = [given for given in first if not is_tie(given)]
    theirs = [float(metric.compute(doc, ModelResponse(text=given))) for given in decided]
    ours = [maj_at_k(given, scores(given), k) for given in decided]
    print(f"maj@{k}: {len(decided)} of {PROBLEMS} without a tie: lighteval {fmean(theirs):.4f}, here {fmean(ours):.4f}")
    assert len(decided) > PROBLEMS / 2
    assert ours == theirs


def test_majority_vote_of_lm_eval(answers):
    selection = pytest.importorskip("lm_eval.filters.selection", reason="pip install lm-eval to compare with it")
    decided = [given for given in answers if not is_tie(given)]
    votes = [vote for (vote,) in selection.MajorityVoteFilter().apply(decided, [{}] * len(decided))]
    theirs = [float(vote == GOLD) for vote in votes]
    ours = [maj_at_k(given, scores(given), SAMPLES) for given in decided]
    print(f"maj@{SAMPLES}: {len(decided)} without a tie: lm-eval {fmean(theirs):.4f}, here {fmean(ours):.4f}")
    assert ours == theirs
