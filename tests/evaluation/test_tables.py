"""The before/after table and the report."""

from __future__ import annotations

import io
from dataclasses import replace

from rich.console import Console

from trl_rlsp.evaluation import Estimate, Evaluation, ScoredSample, save_evaluation
from trl_rlsp.evaluation._shown import (
    evaluation_table,
    first_samples,
    markdown_table,
    note,
)

BEFORE = Evaluation(
    pass_at_1=Estimate(0.15, 0.124, 0.178),
    tokens=Estimate(45.04, 44.0, 46.26),
    finished=Estimate(1.0, 1.0, 1.0),
    problems=800,
    samples=1,
    not_scorable=0,
    task_metrics={"search_steps": Estimate(2.5, 2.25, 2.75)},
)
AFTER = Evaluation(
    pass_at_1=Estimate(0.305, 0.27, 0.34),
    tokens=Estimate(75.0, 73.0, 77.0),
    finished=Estimate(0.9875, 0.98, 0.995),
    problems=800,
    samples=1,
    not_scorable=3,
    task_metrics={"search_steps": Estimate(6.0, 5.5, 6.5)},
)
MARKDOWN = """\
| model | accuracy (pass@1) | completion tokens | search steps | finished |
|---|---:|---:|---:|---:|
| SFT | 15.0 % [12.4, 17.8] | 45.0 [44.0, 46.3] | 2.5 [2.2, 2.8] | 100.0 % [100.0, 100.0] |
| RLSP | 30.5 % [27.0, 34.0] | 75.0 [73.0, 77.0] | 6.0 [5.5, 6.5] | 98.8 % [98.0, 99.5] |

800 problems x 1 completions; 95 % bootstrap intervals over problems; 3 completions not scorable.
"""


def sample(problem, score, text="text", reason="match"):
    return ScoredSample(problem, text, 7, True, score, reason)


class TestTable:
    def test_markdown(self):
        assert markdown_table({"SFT": BEFORE, "RLSP": AFTER}) == MARKDOWN

    def test_no_column_that_means_nothing_for_the_task(self):
        plain = replace(BEFORE, task_metrics={})
        assert "search" not in markdown_table({"SFT": plain})
        rows = markdown_table({"SFT": plain, "RLSP": AFTER}).splitlines()
        assert [row.split(" | ")[3] for row in (rows[0], rows[2], rows[3])] == ["search steps", "", "6.0 [5.5, 6.5]"]

    def test_note_without_anything_left_out(self):
        assert note({"SFT": BEFORE}) == "800 problems x 1 completions; 95 % bootstrap intervals over problems"

    def test_terminal_shows_the_same_cells(self):
        output = io.StringIO()
        Console(file=output, width=200).print(evaluation_table({"SFT": BEFORE, "RLSP": AFTER}))
        for line in MARKDOWN.splitlines()[2:4]:
            for cell in line.strip("| ").split(" | "):
                assert cell in output.getvalue()


def test_the_first_sample_of_each_problem(tmp_path):
    save_evaluation(BEFORE, [sample(0, 0.0, "first"), sample(0, 1.0, "second")], tmp_path, {})
    assert first_samples(tmp_path)[0]["text"] == "first"
