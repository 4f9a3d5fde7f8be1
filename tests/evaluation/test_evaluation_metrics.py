"""pass@k, majorities, levels: figures of scored samples by hand."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trl_rlsp.errors import ConfigError
from trl_rlsp.evaluation._metrics import (
    ScoredSample,
    default_ks,
    default_votes,
    group_cover,
    group_pass,
    summarize,
)
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
        curve = {1: 3 / 8, 2: pytest.approx((5 / 6 + 1 / 2) / 2), 4: 1.0}
        assert {k: e.mean for k, e in figures.pass_at.items()} == curve

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
        assert figures.left_out == {"pass@1": 1, "pass@2": 2, "maj@2": 1}
        # Cover@tau over the known samples: 2 of 2 and 0 of 1
        assert {tau: e.mean for tau, e in figures.cover_at.items()} == {0.5: 0.5, 0.8: 0.5, 1.0: 0.5}

    def test_one_sample_has_no_vote(self):
        figures = summarize([scored(0, 1.0)])
        assert ([*figures.pass_at], figures.maj_at, [*figures.cover_at]) == ([1], {}, [1.0])

    def test_default_ks_end_with_n(self):
        assert [default_ks(n) for n in (1, 2, 3, 16)] == [[1], [1, 2], [1, 2, 3], [1, 2, 4, 8, 16]]
        assert default_votes(1) == []
        assert default_votes(64) == [2, 4, 8, 16, 32, 64]
        assert default_votes(256) == [2, 4, 8, 16, 256]


class TestCover:
    def test_by_hand(self):
        # solve rates 0, 1/4, 1/2, 1
        samples = [scored(p, float(i < right)) for p, right in enumerate((0, 1, 2, 4)) for i in range(4)]
        found = {tau: estimate.mean for tau, estimate in summarize(samples).cover_at.items()}
        assert found == {0.25: 0.75, 0.5: 0.5, 0.8: 0.25, 1.0: 0.25}

    def test_a_rate_of_exactly_tau_counts(self):
        for right, n, tau in ((1, 10, 0.1), (1, 5, 0.2), (4, 5, 0.8), (24, 30, 0.8), (51, 255, 0.2), (1, 49, 1 / 49)):
            group = [scored(0, float(i < right)) for i in range(n)]
            assert group_cover(group, tau) == 1.0
            assert group_cover([*group, scored(0, 0.0)], tau) == 0.0

    def test_only_scorable_samples_count(self):
        assert group_cover([scored(0, 1.0), scored(0, None)], 1.0) == 1.0
        assert group_cover([scored(0, None)], 0.1) is None
        assert group_cover([scored(0, 0.5)], 0.1) == 0.0  # a share of the points is no pass

    @given(st.lists(st.sampled_from([0.0, 1.0, None]), min_size=1, max_size=12))
    def test_falls_with_tau_and_its_mean_is_pass_at_1(self, scores):
        group = [scored(0, score) for score in scores]
        known = len(scores) - scores.count(None)
        if known:
            covers = [group_cover(group, j / known) for j in range(1, known + 1)]
            assert covers == sorted(covers, reverse=True)
            assert sum(covers) / known == pytest.approx(group_pass(group, 1))

    @given(st.lists(st.sampled_from([0.0, 0.5, 1.0, None]), min_size=1, max_size=12))
    def test_pass_at_k_grows_with_k(self, scores):
        group = [scored(0, score) for score in scores]
        curve = [group_pass(group, k) for k in range(1, len(scores) - scores.count(None) + 1)]
        assert curve == sorted(curve)


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

    def test_of_a_version_without_cover(self, tmp_path):
        save_evaluation(summarize(SAMPLES), SAMPLES, tmp_path, {})
        written = json.loads((tmp_path / "metrics.json").read_text())
        assert written.pop("cover_at")
        (tmp_path / "metrics.json").write_text(json.dumps(written))
        assert load_evaluation(tmp_path).cover_at == {}
