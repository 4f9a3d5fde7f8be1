"""Early stopping against plain maj@n on the same samples."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trl_rlsp.errors import ConfigError, DataError
from trl_rlsp.evaluation.budget import (
    AdaptiveConsistency,
    LastAgree,
    Unbeatable,
    draw_until_agreement,
    replayed,
    try_rule,
)
from trl_rlsp.evaluation.metrics import ScoredSample, group_majority

SCORES = {"a": 1.0, "b": 0.0, "c": 0.5, "d": None, None: 0.0}


def samples(answers, tokens=10):
    return [ScoredSample(0, "text", tokens, True, SCORES[a], "match", i, answer=a) for i, a in enumerate(answers)]


def vote_score(group):
    return group_majority(group, len(group))


def problems_of(letters):
    return st.integers(1, 9).flatmap(
        lambda n: st.lists(st.lists(st.sampled_from(letters), min_size=n, max_size=n), min_size=1, max_size=5)
    )


class TestDrawing:
    def test_only_open_problems_are_drawn(self):
        asked = []
        recorded = [samples("aaaaa"), samples("ababb"), samples([None] * 5)]
        draw = replayed(recorded)

        def listening(problems):
            asked.append(list(problems))
            return draw(problems)

        drawn = draw_until_agreement(listening, 3, 5, Unbeatable())
        # the first has 3 votes to 0 with 2 to come; the others stay open
        assert asked == [[0, 1, 2]] * 3 + [[1, 2]] * 2
        assert [len(d) for d in drawn] == [3, 5, 5]
        assert drawn[1] == recorded[1]

    def test_nothing_is_asked_for_when_all_have_stopped(self):
        drawn = draw_until_agreement(replayed([samples("aa")]), 1, 40, LastAgree(2, 2))
        assert [s.answer for s in drawn[0]] == ["a", "a"]

    def test_bad_n(self):
        with pytest.raises(ConfigError, match="n, the samples that may be drawn of a problem, is at least 1, got 0"):
            draw_until_agreement(replayed([]), 0, 0, Unbeatable())


class TestUnbeatableIsPlainVoting:
    @given(problems_of(["a", "b", "c", None]))
    def test_same_vote(self, problems):
        recorded = [samples(answers) for answers in problems]
        drawn = draw_until_agreement(replayed(recorded), len(recorded), len(problems[0]), Unbeatable())
        assert [vote_score(few) for few in drawn] == [vote_score(all_n) for all_n in recorded]

    @settings(max_examples=12)
    @given(problems_of(["a", "b", "d"]))
    def test_a_missing_score_is_no_zero(self, problems):
        recorded = [samples(answers) for answers in problems]
        votes = [vote_score(all_n) for all_n in recorded]
        if all(vote is None for vote in votes):
            with pytest.raises(DataError, match="no vote has a score"):
                try_rule(recorded, Unbeatable())
        else:
            found = try_rule(recorded, Unbeatable())
            assert found.not_scorable >= votes.count(None)
            assert found.difference.mean == 0.0


class TestTryRule:
    RECORDED = [samples("aaaaaa", tokens=10), samples("bbaaaa", tokens=20)]

    def test_unbeatable_by_hand(self):
        found = try_rule(self.RECORDED, Unbeatable())
        # first: 4 of 6 samples; second: 2 to 4 after 6, 2 to 3 after 5 with one to come, so all 6
        assert found.samples.mean == 5.0
        assert (found.tokens.mean, found.plain_tokens.mean) == (80.0, 90.0)  # (40 + 120) / 2, (60 + 120) / 2
        assert found.saved == pytest.approx(1 / 9)
        assert (found.accuracy.mean, found.plain_accuracy.mean, found.difference.mean) == (1.0, 1.0, 0.0)
        assert (found.stopped, found.not_scorable, found.rule) == (0.5, 0, "unbeatable")

    def test_a_rule_that_stops_too_early_by_hand(self):
        found = try_rule(self.RECORDED, LastAgree(2, 2))
        assert found.samples.mean == 2.0
        assert (found.accuracy.mean, found.plain_accuracy.mean, found.difference.mean) == (0.5, 1.0, -0.5)
        assert found.saved == pytest.approx(2 / 3)  # 20 + 40 of 60 + 120 tokens

    def test_adaptive_consistency_by_hand(self):
        # .96875 after 4 equal ones; the second never is sure
        assert try_rule(self.RECORDED, AdaptiveConsistency()).samples.mean == 5.0

    @pytest.mark.parametrize(
        ("recorded", "got"), [([], "none"), ([samples("a"), samples("ab")], r"\[1, 2\]"), ([[]], r"\[0\]")]
    )
    def test_bad_records(self, recorded, got):
        with pytest.raises(DataError, match=f"every problem has the same number of samples, at least one, got {got}"):
            try_rule(recorded, Unbeatable())
