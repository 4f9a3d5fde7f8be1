"""Two ranks draw the same problems, count each other's verdicts, and do so after resuming."""

from __future__ import annotations

import json
from pathlib import Path


def test_ranks_agree_on_what_to_visit(launch, tmp_path, taught_folder):
    process = launch(Path(__file__).with_name("visits_ranks.py"), tmp_path, taught_folder, cwd=tmp_path)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output[-3000:]
    zero, one = (json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1))
    (whole, resumed), (whole_of_one, resumed_of_one) = zero, one
    assert whole["rates"] == whole_of_one["rates"] == resumed["rates"] == resumed_of_one["rates"]
    assert sum(whole["rates"]["tries"]) > 12  # of both ranks
    for run, run_of_one in ((whole, whole_of_one), (resumed, resumed_of_one)):
        for rows in map(list.__add__, run["seen"], run_of_one["seen"]):
            assert len(rows) == 12
            assert all(len(set(rows[start : start + 4])) == 1 for start in (0, 4, 8))
    assert len(whole["seen"]) == 6
    assert resumed["seen"] == whole["seen"][3:]
