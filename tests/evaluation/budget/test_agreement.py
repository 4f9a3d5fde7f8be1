"""Early stopping against plain maj@n on the same samples."""

from __future__ import annotations

import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from trl_rlsp import OutcomeVerifier
from trl_rlsp.errors import DataError
from trl_rlsp.evaluation import Estimate, SampleStore
from trl_rlsp.evaluation._metrics import ScoredSample, group_majority
from trl_rlsp.evaluation.budget import (
    adaptive_consistency,
    draw_until_agreement,
    last_agree,
    try_rule,
    unbeatable,
)
from trl_rlsp.generation import Sample, Sampling

SCORES = {"a": 1.0, "b": 0.0, "c": 0.5, "d": None, None: 0.0}


@pytest.fixture(scope="module")
def verifier():
    with OutcomeVerifier(workers=1) as running:
        yield running


def samples(answers, tokens=10):
    return [ScoredSample(0, "text", tokens, True, SCORES[a], "match", i, answer=a) for i, a in enumerate(answers)]


def vote_score(group):
    return group_majority(group, len(group))


def problems_of(letters):
    return st.integers(1, 9).flatmap(
        lambda n: st.lists(st.lists(st.sampled_from(letters), min_size=n, max_size=n), min_size=1, max_size=5)
    )


class Scripted:
    """An engine whose samples of a problem give these answers in turn."""

    def __init__(self, answers):
        self.answers, self.asked = answers, []

    def sample(self, prompts, requests, sampling):
        self.asked.append([tuple(request) for request in requests])
        for problem, number in requests:
            answer = self.answers[problem][number]
            text = "no idea" if answer is None else f"\\boxed{{{answer}}}"
            yield [Sample(problem, text, 10, False, number)]


class TestDrawing:
    PROBLEMS = Dataset.from_dict({"prompt": ["a?", "b?", "c?"], "solution": ["1", "2", "3"]})
    # right and wrong answers in other words are the same votes
    ANSWERS = (["1", "1.0", "\\frac{2}{2}", "1", "1"], ["2", "5", "2", "10/2", "5"], [None] * 5)

    def drawn(self, engine, verifier, store=None):
        sampling = Sampling(n=5, temperature=1.0)
        return draw_until_agreement(engine, self.PROBLEMS, sampling, unbeatable, verifier, store=store)

    def test_only_open_problems_are_drawn(self, verifier):
        engine = Scripted(self.ANSWERS)
        drawn = self.drawn(engine, verifier)
        # the first has 3 votes to 0 with 2 to come; the others stay open
        assert engine.asked == [[(p, r) for p in (0, 1, 2)] for r in (0, 1, 2)] + [[(1, r), (2, r)] for r in (3, 4)]
        assert [len(group) for group in drawn] == [3, 5, 5]
        assert [len({s.answer for s in group}) for group in drawn] == [1, 2, 1]
        assert [s.score for s in drawn[1]] == [1.0, 0.0, 1.0, 0.0, 0.0]

    def test_goes_on_with_what_is_stored(self, verifier, tmp_path):
        with SampleStore(tmp_path, {}, self.PROBLEMS) as store:
            whole = self.drawn(Scripted(self.ANSWERS), verifier, store)
        lines = (tmp_path / "samples.jsonl").read_text().splitlines(keepends=True)
        (tmp_path / "samples.jsonl").write_text("".join(lines[:4]))
        engine = Scripted(self.ANSWERS)
        with SampleStore(tmp_path, {}, self.PROBLEMS) as store:
            assert self.drawn(engine, verifier, store) == whole
        assert engine.asked[0] == [(1, 1), (2, 1)]  # three of the first round and one of the second are there
        assert sum(map(len, engine.asked)) == 13 - 4

    def test_no_problems(self, verifier):
        with pytest.raises(DataError, match="there are no problems"):
            draw_until_agreement(Scripted([]), self.PROBLEMS.select([]), Sampling(), unbeatable, verifier)


class TestUnbeatableIsPlainVoting:
    @settings(max_examples=40)
    @given(problems_of(["a", "b", "c", None]))
    def test_same_vote(self, problems):
        recorded = [samples(answers) for answers in problems]
        found = try_rule(recorded, unbeatable)
        assert found.accuracy.difference == Estimate(0.0, 0.0, 0.0)
        votes = [vote_score(group) for group in recorded]
        assert found.accuracy.second.mean == found.accuracy.first.mean == pytest.approx(sum(votes) / len(votes))

    @settings(max_examples=12)
    @given(problems_of(["a", "b", "d"]))
    def test_a_missing_score_is_no_zero(self, problems):
        recorded = [samples(answers) for answers in problems]
        votes = [vote_score(all_n) for all_n in recorded]
        if all(vote is None for vote in votes):
            with pytest.raises(DataError, match="no vote has a score"):
                try_rule(recorded, unbeatable)
        else:
            found = try_rule(recorded, unbeatable)
            assert found.accuracy.left_out >= votes.count(None)
            assert found.accuracy.difference.mean == 0.0


class TestTryRule:
    RECORDED = [samples("aaaaaa", tokens=10), samples("bbaaaa", tokens=20)]

    def test_unbeatable_by_hand(self):
        found = try_rule(self.RECORDED, unbeatable)
        # first: 4 of 6 samples; second: 2 to 4 after 6, 2 to 3 after 5 with one to come, so all 6
        assert found.samples.mean == 5.0
        assert (found.tokens.second.mean, found.tokens.first.mean) == (80.0, 90.0)  # (40 + 120) / 2, (60 + 120) / 2
        assert found.saved == pytest.approx(1 / 9)
        accuracy = found.accuracy
        assert (accuracy.second.mean, accuracy.first.mean, accuracy.difference.mean) == (1.0, 1.0, 0.0)
        assert (found.stopped, accuracy.left_out) == (0.5, 0)

    def test_a_rule_that_stops_too_early_by_hand(self):
        found = try_rule(self.RECORDED, last_agree(2, 2))
        assert found.samples.mean == 2.0
        accuracy = found.accuracy
        assert (accuracy.second.mean, accuracy.first.mean, accuracy.difference.mean) == (0.5, 1.0, -0.5)
        assert found.saved == pytest.approx(2 / 3)  # 20 + 40 of 60 + 120 tokens

    def test_adaptive_consistency_by_hand(self):
        # .96875 after 4 equal ones; the second never is sure
        assert try_rule(self.RECORDED, adaptive_consistency()).samples.mean == 5.0

    @pytest.mark.parametrize(
        ("recorded", "got"), [([], "none"), ([samples("a"), samples("ab")], r"\[1, 2\]"), ([[]], r"\[0\]")]
    )
    def test_bad_records(self, recorded, got):
        with pytest.raises(DataError, match=f"every problem needs the same number of samples, at least 1, got {got}"):
            try_rule(recorded, unbeatable)
