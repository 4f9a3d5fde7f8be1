"""pass@k, Cover@tau and the newly solved problems on the page."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree

import pytest

from trl_rlsp.evaluation import svg
from trl_rlsp.report import build, render, write
from trl_rlsp.report._curves import solved
from trl_rlsp.runs import Completion, Evaluated


def evaluated(name, counts, n=4, problems_hash="h"):
    """Of the n completions of problem p, `counts[p]` are right; `None` if no completion is scorable."""
    scores = [(p, None if right is None else float(i < right)) for p, right in enumerate(counts) for i in range(n)]
    return Evaluated(name, {}, {}, [Completion("x", str(p), score=s, tokens=1) for p, s in scores], problems_hash)


@pytest.fixture
def run(make_run):
    # pass@k at k = 1, 2, 4: 1/4, 1/2, 1 for the start and 1/2 throughout for RL
    return make_run(evaluations=[evaluated("start", [1] * 4), evaluated("RLSP", [4, 4, 0, 0])])


class TestCharts:
    def test_by_hand(self, run):
        (passes, covers), (pair,) = solved([run])
        assert [(line.name, line.x, line.y) for line in passes.lines] == [
            ("start", [1, 2, 4], [0.25, 0.5, 1.0]),
            ("RLSP", [1, 2, 4], [0.5, 0.5, 0.5]),
        ]
        assert [(line.x, line.y) for line in covers.lines] == [
            ([0.25, 0.5, 0.8, 1.0], [1.0, 0.0, 0.0, 0.0]),
            ([0.25, 0.5, 0.8, 1.0], [0.5, 0.5, 0.5, 0.5]),
        ]
        assert all(
            low <= y <= high for line in passes.lines for y, low, high in zip(line.y, line.low, line.high, strict=True)
        )
        assert passes.marks == [4]
        assert "RLSP is ahead at k = 1 and start at k = 4" in passes.note
        # the start solves each; RL loses two of them
        assert (pair.newly_solved.problems, pair.lost.problems, pair.lost.solved) == (0, 2, 2)

    def test_each_set_of_problems_has_its_own(self, make_run):
        first = make_run("a", evaluations=[evaluated("start", [1]), evaluated("other", [1], problems_hash="o")])
        second = make_run("b", evaluations=[evaluated("start", [2]), evaluated("RLSP", [3])])
        charts, pairs = solved([first, second])
        assert [chart.key for chart in charts] == ["pass_at_k", "cover_at_tau", "pass_at_k_2", "cover_at_tau_2"]
        assert [line.name for line in charts[0].lines] == ["a: start", "b: start", "b: RLSP"]
        assert [(pair.first, pair.second) for pair in pairs] == [("b: start", "b: RLSP")]  # not between runs

    def test_one_completion_each_has_no_curve(self, make_run):
        run = make_run(evaluations=[evaluated("start", [0], n=1), evaluated("RLSP", [1], n=1)])
        assert solved([run]) == ([], [])

    def test_nothing_is_scorable(self, make_run):
        run = make_run(evaluations=[evaluated("start", [None]), evaluated("RLSP", [1])])
        (passes, _), (pair,) = solved([run])
        assert passes.lines[0].y == [None] * 3
        assert (pair.curve, pair.newly_solved.known) == ({}, 0)
        render(build([run]))


class TestPage:
    def test_table_and_numbers(self, run, tmp_path):
        write([run], tmp_path, plots=False)
        page, figures = ((tmp_path / name).read_text() for name in ("index.html", "report.json"))
        assert "lost: start where RLSP has 0 of 4" in page
        (pair,) = json.loads(figures)["compared"]
        assert (pair["crossing"]["k"], pair["lost"]["solved"]) == (4, 2)
        assert pair["curve"]["4"]["difference"]["mean"] == -0.5

    def test_bands_and_crossing_are_drawn(self, run):
        pytest.importorskip("matplotlib")
        drawn = svg(solved([run])[0][0])
        root = ElementTree.fromstring(drawn)
        texts = ["".join(text.itertext()) for text in root.iter("{http://www.w3.org/2000/svg}text")]
        assert "×" in texts
        assert 'fill="var(--c1)" fill-opacity="0.15"' in drawn
