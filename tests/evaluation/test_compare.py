"""Paired differences by hand, and what cannot be compared."""

from __future__ import annotations

from dataclasses import replace

import pytest

from trl_rlsp.errors import DataError, SourceError
from trl_rlsp.evaluation._compare import compare, compare_folders
from trl_rlsp.evaluation._metrics import ScoredSample, summarize
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
        assert list(found)[:3] == ["pass@1", "pass@2", "maj@2"]
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
