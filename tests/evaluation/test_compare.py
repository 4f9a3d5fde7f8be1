"""Paired differences by hand, and what cannot be compared."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trl_rlsp.errors import DataError, SourceError
from trl_rlsp.evaluation._compare import (
    Crossing,
    Difference,
    compare,
    compare_folders,
    compare_models,
    find_crossing,
    unsolved,
)
from trl_rlsp.evaluation._metrics import Estimate, ScoredSample, by_problem, summarize
from trl_rlsp.evaluation._store import save_evaluation


def scored(problem, score, tokens=10, sample=0, answer="a"):
    return ScoredSample(problem, "text", tokens, True, score, "match", sample, answer=answer)


def run(scores, tokens=10):
    return [scored(p, s, tokens, i) for p, row in enumerate(scores) for i, s in enumerate(row)]


@pytest.fixture
def save(tmp_path):
    def write(name, samples, problems_hash="same"):
        figures = replace(summarize(samples), problems_hash=problems_hash)
        save_evaluation(figures, samples, tmp_path / name, {})
        return tmp_path / name

    return write


class TestCompare:
    def test_by_hand(self):
        found = compare(run([[0.0], [1.0], [0.0], [1.0]]), run([[1.0], [1.0], [1.0], [0.0]], tokens=15))
        accuracy = found["pass@1"]
        # 1, 0, 1, -1: mean 1/4
        assert (accuracy.first.mean, accuracy.second.mean, accuracy.difference.mean) == (0.5, 0.75, 0.25)
        assert (accuracy.problems, accuracy.left_out, accuracy.clear) == (4, 0, False)
        assert found["tokens"].difference.mean == 5
        assert list(found) == ["pass@1", "tokens", "finished"]

    def test_pairing_narrows_the_interval(self):
        """Half of the problems are hopeless for both, and the second model solves one more in ten."""
        first = [[float(p % 2)] for p in range(100)]
        second = [[1.0] if p % 10 == 0 else row for p, row in enumerate(first)]
        accuracy = compare(run(first), run(second))["pass@1"]
        # ten differences of 1 in a hundred: standard error sqrt(.1 * .9 / 100) = 0.03; unpaired it would be 0.07
        assert accuracy.difference.mean == pytest.approx(0.1)
        assert accuracy.difference.high - accuracy.difference.low == pytest.approx(4 * 0.03, abs=0.02)
        assert accuracy.clear

    def test_several_samples(self):
        found = compare(run([[1.0, 0.0, 0.0], [1.0, 1.0, 1.0]]), run([[1.0, 1.0], [1.0, 1.0]]))
        assert list(found)[:6] == ["pass@1", "pass@2", "maj@2", "cover@0.5", "cover@0.8", "cover@1"]
        # pass@2 of the first: 1 - C(2,2)/C(3,2) = 2/3 and 1, of the second 1 and 1
        assert found["pass@2"].difference.mean == pytest.approx((1 / 3 + 0) / 2)

    def test_what_one_of_them_does_not_know_is_left_out(self):
        found = compare(run([[None], [1.0]]), run([[1.0], [0.0]]))["pass@1"]
        assert (found.difference.mean, found.problems, found.left_out) == (-1.0, 1, 1)

    def test_nothing_in_common(self):
        with pytest.raises(DataError, match="no problem is scorable in both"):
            compare(run([[None], [1.0]]), run([[1.0], [None]]))

    def test_other_problems(self):
        with pytest.raises(DataError, match="got 0 only in the first and 1 only in the second"):
            compare(run([[1.0]]), run([[1.0], [1.0]]))


def with_right(counts, n, unknown=()):
    """Samples of which `counts[p]` of n are right for problem p; the last one is not scorable for those `unknown`."""
    rows = [[float(i < right) for i in range(n)] for right in counts]
    return run([[*row[:-1], None] if p in unknown else row for p, row in enumerate(rows)])


class TestThree:
    def test_each_against_the_first_and_the_last_against_the_one_before(self):
        models = {name: run([[score]]) for name, score in zip("abcd", (0.0, 0.25, 0.5, 1.0), strict=True)}
        found = {(pair.first, pair.second): pair.metrics["pass@1"].difference.mean for pair in compare_models(models)}
        assert found == {("a", "b"): 0.25, ("a", "c"): 0.5, ("a", "d"): 1.0, ("c", "d"): 0.5}

    def test_only_problems_known_in_all(self):
        models = {"a": run([[0.0], [1.0], [0.0]]), "b": run([[1.0], [None], [0.0]]), "c": run([[1.0], [1.0], [1.0]])}
        for pair in compare_models(models):
            assert (pair.metrics["pass@1"].problems, pair.metrics["pass@1"].left_out) == (2, 1)


def curve_of(differences):
    """k = 1, 2, 4, ... -> a difference with this mean and an interval of +-0.1."""
    nothing = Estimate(0, 0, 0)
    ends = [Difference(nothing, nothing, Estimate(mean, mean - 0.1, mean + 0.1), 1, 0) for mean in differences]
    return {2**i: difference for i, difference in enumerate(ends)}


class TestCrossing:
    @pytest.mark.parametrize(
        ("differences", "expected"),
        [
            ([0.2, 0.1, -0.05, -0.3], Crossing(4, 2, False)),
            ([-0.2, 0.1], Crossing(2, 1, True)),
            ([0.2, 0.0, -0.1], Crossing(4, 1, False)),  # equal in between
            ([0.0, 0.2, -0.1, 0.1], Crossing(4, 2, False)),  # equal at first; only the first crossing
            ([0.2, 1e-17, -1e-17, 0.0], None),  # equal but for rounding
            ([0.2, 0.1, 0.0], None),  # they meet
            ([0.0], None),
            ([], None),
        ],
    )
    def test_by_hand(self, differences, expected):
        assert find_crossing(curve_of(differences)) == expected

    @given(st.lists(st.integers(-2, 2), max_size=8))
    def test_its_mirror(self, differences):
        found = find_crossing(curve_of(differences))
        mirrored = find_crossing(curve_of([-mean for mean in differences]))
        assert mirrored == (found and replace(found, rises=not found.rises))

    def test_of_two_models(self):
        # of 4 problems: 1 of 4 right for all, against 4 of 4 right for two: 1/4 and 1/2 at k = 1, equal at 2, 1 at 4
        (pair,) = compare_models({"wide": with_right([1] * 4, 4), "narrow": with_right([4, 4, 0, 0], 4)})
        assert [pair.curve[k].difference.mean for k in (1, 2, 4)] == [0.25, 0.0, -0.5]
        assert pair.crossing == Crossing(4, 1, False)


class TestUnsolved:
    def test_by_hand(self):
        first = by_problem(with_right([0, 0, 0, 1, 2, 0], 4, unknown=[5]))
        second = by_problem(with_right([0, 1, 4, 0, 0, 4], 4, unknown=[0]))
        found = unsolved(first, second)
        # problem 5 has 3 scorable samples of 4; 0 of 4 for problems 0, 1 and 2
        assert (found.problems, found.known, found.samples, found.solved) == (3, 5, 4, 2)
        assert found.upper_bound == pytest.approx(0.5271, abs=1e-4)  # 0.4729^4 = 0.05
        # without one sample: problems 0, 1 and 2 fail 4 times each, problem 3 passes once
        assert found.expected == pytest.approx(1 / 13)
        assert found.pass_at[1].mean == pytest.approx((0 + 1 / 4 + 1) / 3)
        # problem 0 of the second has 3 scorable samples
        assert (found.pass_at[4].mean, found.left_out) == (1.0, 1)

    def test_the_largest_k_is_8(self):
        found = unsolved(by_problem(with_right([0, 3], 4)), by_problem(with_right([2, 0], 16)))
        # 1 - C(14,8)/C(16,8) = 1 - 3003/12870
        assert {k: e.mean for k, e in found.pass_at.items()} == {1: 1 / 8, 8: pytest.approx(1 - 3003 / 12870)}

    def test_none(self):
        found = unsolved(by_problem(run([[1.0]])), by_problem(run([[0.0]])))
        assert (found.problems, found.solved, found.pass_at, found.expected) == (0, 0, {}, 1.0)

    def test_nothing_is_known(self):
        found = unsolved(by_problem(run([[None]])), by_problem(run([[1.0]])))
        assert (found.problems, found.known, found.expected) == (0, 0, None)

    @pytest.mark.parametrize(("n", "bound"), [(1, 0.95), (8, 0.3123), (256, 0.01163)])
    def test_upper_bound(self, n, bound):
        """A problem with this solve rate has 0 of n with probability 5 %."""
        found = unsolved(by_problem(with_right([0], n)), by_problem(with_right([0], n)))
        assert found.upper_bound == pytest.approx(bound, rel=1e-3)
        assert (1 - found.upper_bound) ** n == pytest.approx(0.05)

    def test_lost_is_the_same_from_the_other_side(self):
        models = {"a": with_right([0, 1, 2], 2), "b": with_right([2, 0, 1], 2)}
        (pair,), (mirrored,) = compare_models(models), compare_models(dict(reversed(models.items())))
        assert (pair.newly_solved, pair.lost) == (mirrored.lost, mirrored.newly_solved)
        assert (pair.lost.problems, pair.lost.solved) == (1, 1)

    def test_expected_of_a_model_that_is_only_unlucky(self):
        """A model of rate 0.3 on each problem: those with 0 of 4 are expected to be solved in 30 %, not in 0 %."""
        draw = random.Random(0)
        rows = [[float(draw.random() < 0.3) for _ in range(4)] for _ in range(4000)]
        found = unsolved(by_problem(run(rows)), by_problem(run(rows)))
        assert found.expected == pytest.approx(0.3, abs=0.03)


class TestFolders:
    def test_the_same_problems(self, save):
        found = compare_folders(save("a", run([[1.0]])), save("b", run([[0.0]])))
        assert found["pass@1"].difference.mean == -1.0

    def test_different_problems(self, save):
        with pytest.raises(DataError, match=r"different ones \(.*a: same, .*b: other\): evaluate all models"):
            compare_folders(save("a", run([[1.0]])), save("b", run([[0.0]]), "other"))

    def test_of_the_first_version(self, save):
        with pytest.raises(DataError, match=r"does not name its problems: `rlsp eval --rescore .*b` adds"):
            compare_folders(save("a", run([[1.0]])), save("b", run([[0.0]]), ""))

    def test_no_evaluation(self, save, tmp_path):
        with pytest.raises(DataError, match="holds no complete evaluation"):
            compare_folders(save("a", run([[1.0]])), tmp_path / "none")

    def test_no_samples(self, save):
        folder = save("a", run([[1.0]]))
        (folder / "samples.jsonl").unlink()
        with pytest.raises(SourceError, match=r"holds no samples.jsonl"):
            compare_folders(folder, folder)
