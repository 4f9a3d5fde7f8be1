"""A group that is split over two ranks starts from one prefix on both."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


@pytest.fixture
def ranks(launch, tmp_path, taught_folder):
    """What each rank wrote, and the prompts of its half of each group."""

    def ranks(*arguments):
        script = Path(__file__).with_name("frontier_ranks.py")
        process = launch(script, tmp_path, taught_folder, *arguments, cwd=tmp_path)
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output[-3000:]
        both = [json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1)]
        scored = [[call for call in rank["calls"] if len(call) == 4] for rank in both]
        assert len(scored[0]) == len(scored[1]) == 6
        for halves in zip(*scored, strict=True):
            assert len({prompt for half in halves for prompt in half}) == 1
        return both, scored

    return ranks


@pytest.mark.parametrize("variant", ["", "one_engine"])
def test_both_halves_of_a_group_are_shown_the_same(ranks, variant):
    """Also if the second rank, which has no draft to make, must ask a shared engine as often as the first."""
    (zero, one), scored = ranks(variant)
    assert any("|" in call[0] for call in scored[0])
    assert all(len(call) == 4 for call in one["calls"])  # the group's first row, and so its draft, is on rank 0
    assert zero["groups"] == [float("|" in call[0]) for call in scored[0]]


def test_both_ranks_remember_the_same_shares(ranks):
    """All groups fail: each that could be shown a part moves its problem's share up by a quarter, to at most 1."""
    (zero, one), scored = ranks("solved")
    assert zero["memory"] == one["memory"]
    assert set(zero["memory"]["problems"].values()) <= {0.75, 1.0}
    assert any("|" in call[0] for call in scored[0])
    assert zero["groups"] == [float("|" in call[0]) for call in scored[0]]
