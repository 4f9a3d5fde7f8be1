"""Accuracy for tokens, by hand."""

from __future__ import annotations

import pytest

from trl_rlsp.errors import DataError
from trl_rlsp.evaluation import ScoredSample, efficiency_curve, equal_budget, plot_efficiency


def scored(problem, score, answer, tokens):
    return ScoredSample(problem, "text", tokens, True, score, "match", answer=answer)


BASE = [
    *(scored(0, 1.0, "a", 10), scored(0, 1.0, "a", 20), scored(0, 0.0, "b", 30)),
    *(scored(1, 0.0, "c", 40), scored(1, 0.0, None, 40), scored(1, 1.0, "d", 40)),
]
SEARCH = [scored(p, s, "a", tokens) for p, s, tokens in ((0, 1.0, 50), (0, 1.0, 70), (1, 1.0, 60), (1, 0.0, 60))]


class TestCurve:
    def test_by_hand(self):
        points = efficiency_curve(BASE)
        # tokens of one completion: (20 + 40) / 2 = 30
        assert [(p.k, p.tokens.mean, p.left_out) for p in points] == [(1, 30.0, 0), (2, 60.0, 0), (3, 90.0, 0)]
        # problem 0: 2/3; aa 1, ab 1/2 twice: 2/3; aab 1. problem 1: 1/3; c- 0, cd 1/2, -d 1: 1/2; a tie 1/2
        assert [p.accuracy.mean for p in points] == pytest.approx([0.5, (2 / 3 + 1 / 2) / 2, 0.75])

    def test_a_problem_that_is_not_scorable_is_left_out(self):
        (point,) = efficiency_curve([scored(0, 1.0, "a", 10), scored(1, None, "a", 30)])
        assert (point.accuracy.mean, point.left_out, point.tokens.mean) == (1.0, 1, 20.0)

    @pytest.mark.parametrize("samples", [[], BASE[:5]])
    def test_not_equally_many(self, samples):
        with pytest.raises(DataError, match="every problem needs the same number of samples, got "):
            efficiency_curve(samples)


def test_equal_budget():
    base, search = efficiency_curve(BASE), efficiency_curve(SEARCH)
    # the search costs 60 and 120 tokens, which pay for 2 and all 3 of the base's completions of 30
    assert [equal_budget(vote, base).k for vote in search] == [2, 3]
    # 30 tokens pay for no search, 60 and 90 for one
    found = [equal_budget(vote, search) for vote in base]
    assert [vote and vote.k for vote in found] == [None, 1, 1]


def test_plot(tmp_path):
    pytest.importorskip("matplotlib")
    from matplotlib.image import imread

    plot_efficiency({"base": efficiency_curve(BASE), "one": efficiency_curve(SEARCH)[:1]}, tmp_path / "plot.png")
    image = imread(tmp_path / "plot.png")
    assert image.shape[:2] == (435, 750)
    assert len({tuple(pixel) for row in image[::8] for pixel in row[::8]}) > 10  # lines, bands and axes
