"""A group that is split over two ranks starts from one text on both."""

from __future__ import annotations

import json
from pathlib import Path


def test_both_halves_of_a_group_are_shown_the_same(launch, tmp_path, taught_folder):
    process = launch(Path(__file__).with_name("frontier_ranks.py"), tmp_path, taught_folder, cwd=tmp_path)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output[-3000:]
    zero, one = (json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1))
    scored = [[call for call in rank["calls"] if len(call) == 4] for rank in (zero, one)]
    assert len(scored[0]) == len(scored[1]) == 6
    for halves in zip(*scored, strict=True):
        assert len({prompt for half in halves for prompt in half}) == 1
    assert any("|" in call[0] for call in scored[0])
    assert all(len(call) == 4 for call in one["calls"])  # the group's first row, and so its draft, is on rank 0
    assert zero["groups"] == [float("|" in call[0]) for call in scored[0]]
