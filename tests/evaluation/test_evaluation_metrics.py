"""pass@k, majorities, levels: figures of scored samples by hand."""

from __future__ import annotations

import pytest

from trl_rlsp.errors import ConfigError
from trl_rlsp.evaluation._metrics import ScoredSample, default_ks, summarize
from trl_rlsp.evaluation._store import load_evaluation, save_evaluation


def scored(problem, score, answer="a", tokens=10, **more):
    return ScoredSample(problem, "text", tokens, True, score, "match", answer=answer, **more)


SAMPLES = [
    *(scored(0, 1.0, "a", level="2", subject="x"), scored(0, 1.0, "a", level="2", subject="x")),
    *(scored(0, 0.0, "b", level="2", subject="x"), scored(0, 0.0, None, level="2", subject="x")),
    *(scored(1, 0.0, "c", 30, level="10"), scored(1, 0.0, "c", 30, level="10")),
    *(scored(1, 0.0, "c", 30, level="10"), scored(1, 1.0, "d", 30, level="10")),
]


class TestEachK:
    def test_pass_at_k(self):
        figures = summarize(SAMPLES)
        # problem 0: 2 of 4 right, problem 1: 1 of 4. pass@2: 1 - C(2,2)/C(4,2) = 5/6 and 1 - C(3,2)/C(4,2) = 1/2
        assert {k: e.mean for k, e in figures.pass_at.items()} == {2: pytest.approx((5 / 6 + 1 / 2) / 2), 4: 1.0}

    def test_maj_at_k(self):
        figures = summarize(SAMPLES)
        # problem 0: a with 2 votes wins; problem 1: c with 3 wins
        assert figures.maj_at[4].mean == 0.5
        # pairs of problem 0: aa 1, ab a tie 4 * 1/2 -> of a,a,b,None: aa 1; ab 2 * 1/2; a- 2 * 1; b- 0: 4 of 6
        # pairs of problem 1: cc 3 * 0, cd 3 * 1/2: 1.5 of 6
        assert figures.maj_at[2].mean == pytest.approx((4 / 6 + 1.5 / 6) / 2)
        assert figures.left_out == {}

    def test_chosen_ks(self):
        figures = summarize(SAMPLES, [3, 1, 3])
        assert list(figures.pass_at) == list(figures.maj_at) == [1, 3]
        assert figures.pass_at[1] == figures.pass_at_1

    @pytest.mark.parametrize("k", [0, 5])
    def test_a_k_that_cannot_be(self, k):
        with pytest.raises(ConfigError, match=rf"ks are from 1 to the samples per problem \(4\), got {k}"):
            summarize(SAMPLES, [k])

    def test_a_share_of_the_points_is_no_pass(self):
        figures = summarize([scored(0, 0.5), scored(0, 0.5)])
        assert (figures.pass_at_1.mean, figures.pass_at[2].mean) == (0.5, 0.0)

    def test_problems_that_are_not_scorable_are_left_out_and_counted(self):
        figures = summarize([scored(0, 1.0), scored(0, 1.0), scored(1, None), scored(1, 0.0), scored(2, None, "b")])
        # problem 1 has one scorable completion of two, problem 2 none; both votes of problem 1 are for one answer
        assert figures.pass_at[2].mean == 1.0
        assert figures.maj_at[2].mean == 0.5
        assert figures.left_out == {"pass@2": 2, "maj@2": 1}

    def test_one_sample_has_no_k(self):
        assert summarize([scored(0, 1.0)]).pass_at == {}

    def test_default_ks_end_with_n(self):
        assert [default_ks(n) for n in (1, 2, 3, 16)] == [[], [2], [2, 3], [2, 4, 8, 16]]


class TestSlices:
    def test_levels_in_order_of_number(self):
        levels = summarize(SAMPLES).levels
        assert [(label, s.problems, s.pass_at_1.mean, s.tokens.mean) for label, s in levels.items()] == [
            ("2", 1, 0.5, 10.0),
            ("10", 1, 0.25, 30.0),
        ]

    def test_problems_without_a_subject_are_in_no_slice(self):
        assert list(summarize(SAMPLES).subjects) == ["x"]

    def test_a_slice_that_is_not_scorable(self):
        levels = summarize([scored(0, 1.0, level="1"), scored(1, None, level="2")]).levels
        assert levels["2"].pass_at_1 is None

    def test_on_disk(self, tmp_path):
        figures = summarize([*SAMPLES, *(scored(2, None, level="3") for _ in range(4))])
        save_evaluation(figures, SAMPLES, tmp_path, {})
        assert load_evaluation(tmp_path) == figures
