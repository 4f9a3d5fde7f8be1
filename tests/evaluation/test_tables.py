"""The before/after table and the report."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from trl_rlsp.evaluation import Estimate, Evaluation, ScoredSample, save_evaluation
from trl_rlsp.evaluation._tables import (
    evaluation_table,
    example,
    exploration_columns,
    fenced,
    first_samples,
    markdown_table,
    note,
    training_curve,
    write_report,
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


@pytest.fixture
def folders(tmp_path):
    def save(name, figures, samples):
        save_evaluation(figures, samples, tmp_path / name, {})
        return tmp_path / name

    return {
        "SFT": save("one", BEFORE, [sample(0, 0.0), sample(1, None), sample(2, 0.0, "so far", "mismatch")]),
        "RLSP": save("two", AFTER, [sample(0, 0.0), sample(1, 1.0), sample(2, 1.0, "got ``` it")]),
    }


def history(tmp_path, entries):
    path = tmp_path / "trainer_state.json"
    path.write_text(json.dumps({"log_history": entries}))
    return path


def logged(step, **more):
    return {"step": step, "completions/mean_length": 10.0 * step, "completions/clipped_ratio": 0.125, **more}


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


class TestExample:
    def test_the_first_problem_that_only_the_last_model_solves(self, folders):
        assert example(folders).split("\n") == [
            "## Problem 2, answered by each model",
            "",
            "**SFT** (mismatch, 7 tokens)",
            "",
            "```text",
            "so far",
            "```",
            "",
            "**RLSP** (match, 7 tokens)",
            "",
            "````text",  # the completion's own fence cannot close this one
            "got ``` it",
            "````",
            "",
        ]

    def test_none(self, folders):
        assert example({"RLSP": folders["RLSP"], "SFT": folders["SFT"]}) == ""

    def test_long_completions_are_cut(self, folders):
        lines = example(folders, limit=4).split("\n")
        assert [lines[5], lines[11]] == ["so f ...", "got  ..."]

    def test_the_first_sample_of_each_problem(self, tmp_path):
        save_evaluation(BEFORE, [sample(0, 0.0, "first"), sample(0, 1.0, "second")], tmp_path, {})
        assert first_samples(tmp_path)[0]["text"] == "first"


@pytest.mark.parametrize(
    ("text", "fence"), [("plain", "```"), ("a ``` b", "````"), ("```` and ```", "`````"), ("``", "```")]
)
def test_fenced(text, fence):
    assert fenced(text) == [f"{fence}text", text, fence]


class TestTrainingCurve:
    def test_by_hand(self, tmp_path):
        entries = [
            logged(1, **{"rewards/outcome_verifier/mean": 0.1234, "rewards/length_exploration/mean": 0.05}),
            {"step": 2, "eval_loss": 0.3},  # not a log of training
            logged(3, **{"rewards/outcome_verifier/mean": None}),  # nothing was scorable
        ]
        assert training_curve(history(tmp_path, entries)).split("\n")[2:] == [
            "| step | accuracy | exploration | tokens | cut off |",
            "|---:|---:|---:|---:|---:|",
            "| 1 | 0.123 | 0.05 | 10 | 0.125 |",
            "| 3 |  |  | 30 | 0.125 |",
            "",
        ]

    @pytest.mark.parametrize(
        ("rewards", "columns"),
        [
            (["outcome_verifier", "judge_exploration"], {"exploration": "rewards/judge_exploration/mean"}),
            (["outcome_verifier"], {}),
            (
                ["outcome_verifier", "calculation_exploration", "length_exploration"],
                {"calculation": "rewards/calculation_exploration/mean", "length": "rewards/length_exploration/mean"},
            ),
            (["outcome_verifier", "my_bonus"], {"my_bonus": "rewards/my_bonus/mean"}),
        ],
    )
    def test_whatever_explores_is_shown(self, rewards, columns):
        assert exploration_columns([{f"rewards/{name}/mean": 0.5 for name in rewards}]) == columns

    def test_nothing_logged(self, tmp_path):
        assert training_curve(history(tmp_path, [{"step": 1, "loss": 0.1}])) == ""

    @pytest.mark.parametrize("steps", [1, 20, 21, 39, 40, 41, 100, 1000])
    def test_at_most_about_forty_rows_with_the_first_and_the_last(self, tmp_path, steps):
        table = training_curve(history(tmp_path, [logged(step) for step in range(1, steps + 1)]))
        shown = [int(line.split("|")[1]) for line in table.splitlines()[4:]]
        assert shown == sorted(set(shown))
        assert (shown[0], shown[-1]) == (1, steps)
        assert min(steps, 20) <= len(shown) <= 41


def test_write_report(tmp_path, folders):
    path = write_report(tmp_path, "quickstart", folders, history(tmp_path, [logged(1)]))
    text = path.read_text(encoding="utf-8")
    assert path == tmp_path / "report.md"
    assert text.startswith(f"# quickstart\n\n{MARKDOWN}")
    assert text.index("## Problem 2") < text.index("## RL, as trained")
