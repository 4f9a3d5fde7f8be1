"""Curves, effort charts, the table, and how they are drawn."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from trl_rlsp.evaluation import Chart, Estimate, Line, save_plot, svg
from trl_rlsp.report._curves import effort_charts, solve_classes, training_curves
from trl_rlsp.report._page import columns, rows
from trl_rlsp.runs import Completion, Evaluated, change, last_mean, step_metrics, values_of
from trl_rlsp.runs._behaviours import repetition


def curve(charts, key):
    return next(chart for chart in charts if chart.key == key)


class TestHistory:
    def test_only_finite_numbers(self):
        history = [{"step": 1, "a": 0.5}, {"step": 2}, {"step": 3, "a": None}, {"step": 4, "a": float("nan")}]
        assert values_of(history, "a") == ([1], [0.5])

    def test_windows(self):
        # 16 values: quarters of 4; means 1.5 and 13.5
        found = change(list(range(16)))
        assert found.after - found.before == 12.0
        # variance of 0 1 2 3 is 5/3, of its mean 5/12; twice that, squared root
        assert change(list(range(16))).error == pytest.approx((5 / 6) ** 0.5)
        assert change([1.0] * 5) is None
        assert last_mean([0, 0, 0, 3]) == 1.0
        assert last_mean([1, 1]) is None

    def test_rises_needs_both(self):
        grown = change([0.0, 0.0, 0.0, 0.5, 0.5, 0.5])
        assert grown.rises(0.4)
        assert not grown.rises(0.5)
        assert not grown.falls(0.0)
        assert not change([0.0, 1.0, 0.0, 0.0, 1.0, 1.0]).rises(0.1)  # 1/3, with an error of 0.47


class TestCurves:
    def test_one_run(self, make_run):
        vllm = {"sampling/importance_sampling_ratio/mean": [1.0, 0.98]}
        run = make_run(reward=[0.1, 0.2], accuracy=[0.3, 0.4], held_out=[0.5], entropy=[1.0, 0.9], **vllm)
        charts = training_curves([run], [[]])
        assert [chart.key for chart in charts] == ["accuracy", "reward", "reward_parts", "entropy", "importance"]
        accuracy = curve(charts, "accuracy")
        assert [(line.name, line.x, line.y) for line in accuracy.lines] == [
            ("training problems", [1, 2], [0.3, 0.4]),
            ("held-out problems", [1], [0.5]),
        ]

    def test_several_runs_are_named(self, make_run):
        runs = [make_run("a", reward=[0.1]), make_run("b", reward=[0.2])]
        assert [line.name for line in curve(training_curves(runs, [[], []]), "reward").lines] == ["a", "b"]

    def test_from_texts(self, make_run, logged):
        # 5 units of text, one alternative: 200 per 1,000
        run = make_run(completions=[logged(1, "Alternatively, factor it."), logged(2, "Factor it.")])
        charts = training_curves([run], [step_metrics(run.completions)])
        (line,) = curve(charts, "behaviours").lines
        assert (line.name, line.x, line.y) == ("alternatives", [1, 2], [200.0, 0.0])
        assert curve(charts, "finished").lines[0].y == [1.0, 1.0]

    def test_repetition(self):
        # 4 units, the second half said before
        assert repetition("a b. a b.") == 0.5
        assert repetition("") is None


def answers(name, rows):
    """rows: (problem, tokens, score)."""
    return Evaluated(name, {}, {}, [Completion("x", str(p), score=s, tokens=t) for p, t, s in rows])


class TestEffort:
    def test_length_by_verdict(self, make_run):
        found = answers("RLSP", [(i, 10, 1.0) for i in range(5)] + [(i, 30, 0.0) for i in range(5, 10)])
        chart = curve(effort_charts([make_run(evaluations=[found])]), "length_verdict")
        assert (chart.categories, chart.lines[0].y) == (("wrong", "right"), [30.0, 10.0])
        assert chart.title == "Length by verdict, tokens"

    def test_accuracy_by_length(self, make_run):
        # 12 of 10 tokens, 12 of 20: the cuts at sixths are 10 10 20 20 20, the first of which cuts nothing off
        found = answers("RLSP", [(i, 10, 1.0) for i in range(12)] + [(i, 20, i % 2) for i in range(12)])
        chart = curve(effort_charts([make_run(evaluations=[found])]), "length_correctness")
        assert chart.categories == ("10–19", "20")
        assert chart.lines[0].y == [1.0, 0.5]

    def test_few_are_left_out(self, make_run):
        found = answers("RLSP", [(i, 10, 1.0) for i in range(4)])
        assert effort_charts([make_run(evaluations=[found])]) == []

    def test_difficulty_by_solve_rate(self, make_run):
        # 5 problems solved by both, 5 by RLSP alone: 2 of 2 and 1 of 2
        before = answers("SFT", [(i, 10, 1.0) for i in range(5)] + [(i, 20, 0.0) for i in range(5, 10)])
        after = answers("RLSP", [(i, 10, 1.0) for i in range(5)] + [(i, 40, 1.0) for i in range(5, 10)])
        chart = curve(effort_charts([make_run(evaluations=[before, after])]), "effort_difficulty")
        assert chart.categories == ("half or more", "always")
        assert [line.y for line in chart.lines] == [[20.0, 10.0], [40.0, 10.0]]

    def test_difficulty_by_level(self, make_run):
        rows = [Completion("x", str(i), score=1.0, tokens=10 * (1 + i % 2), level=str(i % 2)) for i in range(10)]
        chart = curve(effort_charts([make_run(evaluations=[Evaluated("e", {}, {}, rows)])]), "effort_difficulty")
        assert (chart.categories, chart.lines[0].y) == (("0", "1"), [10.0, 20.0])

    def test_a_plain_run_is_split_in_halves(self, make_run, logged):
        completions = [logged(step, "a b c", problem=f"{i}") for step in (1, 2) for i in range(5)]
        chart = curve(effort_charts([make_run(completions=completions)]), "length_verdict")
        assert [line.name for line in chart.lines] == ["first half", "second half"]
        assert chart.title.endswith("words")

    def test_classes(self):
        scores = {"a": [0, 0], "b": [0, 0, 1], "c": [0, 1], "d": [1], "e": [None]}
        completions = [Completion("", name, score=s) for name, row in scores.items() for s in row]
        expected = {"a": "never", "b": "under half", "c": "half or more", "d": "always"}
        assert solve_classes(completions) == expected


class TestTable:
    def test_rows(self, make_run):
        figures = {"pass_at_1": Estimate(0.5, 0.25, 0.75), "maj@4": Estimate(1.0, 1.0, 1.0)}
        before = Evaluated("SFT", figures, {}, [Completion("", "0", score=0.0), Completion("", "1")], "h")
        after = Evaluated("RLSP", figures, {}, [Completion("", "0", score=1.0), Completion("", "1", score=1.0)], "h")
        run = make_run(evaluations=[before, after])
        assert columns([run]) == ["pass_at_1", "maj@4"]
        first, _, difference = rows([run])
        assert (first.name, first.note) == ("SFT", "2 problems, 2 completions, 1 not scorable")
        assert first.cells == ["50.0 % [25.0, 75.0]", "100.0 % [100.0, 100.0]"]
        # only problem 0 has a score on both sides: +100
        assert difference.name == "RLSP − SFT"
        assert (difference.cells, difference.note) == (["+100.0 points [+100.0, +100.0]", ""], "the same 1 problems")

    def test_last_against_first_and_before(self, make_run):
        run = make_run(
            evaluations=[
                Evaluated(n, {"pass_at_1": Estimate(0, 0, 0)}, {}, [Completion("", "0", score=0.0)], "h") for n in "abc"
            ]
        )
        assert [row.name for row in rows([run])] == ["a", "b", "c", "c − a", "c − b"]

    def test_other_problems_have_no_difference(self, make_run):
        figures, rows_ = {"pass_at_1": Estimate(0, 0, 0)}, [Completion("", "0", score=0.0)]
        found = [Evaluated(name, figures, {}, rows_, name) for name in "ab"]
        assert [row.name for row in rows([make_run(evaluations=found)])] == ["a", "b"]


CHART = Chart("k", "Title <b>", "step & more", [Line("a", [0, 10], [1.0, 3.0]), Line("b", [0, 10], [None, 2.0])])


class TestDrawing:
    def test_svg_has_no_styles_and_takes_the_colors_of_the_page(self):
        drawn = svg(CHART)
        root = ElementTree.fromstring(drawn)
        assert "style" not in drawn
        assert 'stroke="var(--c0)"' in drawn
        assert 'stroke="var(--c1)"' in drawn
        assert "#" not in drawn.replace('href="#', "").replace("url(#", "")  # no color of its own
        texts = ["".join(text.itertext()) for text in root.iter("{http://www.w3.org/2000/svg}text")]
        assert "step & more" in texts

    def test_intervals_and_categories(self):
        line = Line("a", [0, 1], [0.5, None], [0.4, None], [0.6, None])
        root = ElementTree.fromstring(svg(Chart("k", "t", "x", [line], percent=True, categories=("u", "v"))))
        texts = ["".join(text.itertext()) for text in root.iter("{http://www.w3.org/2000/svg}text")]
        assert {"u", "v"} <= set(texts)
        assert any(text.endswith("%") for text in texts)

    @pytest.mark.parametrize("values", [[0.0, 0.0], [5.0], [-1.0, -1.0], [1e-9, 2e-9], [1e9, -1e9]])
    def test_any_extent(self, values):
        ElementTree.fromstring(svg(Chart("k", "t", "x", [Line("a", list(range(len(values))), values)])))

    def test_png(self, tmp_path):
        line = Line("a $b$ <c>", [0, 1], [0.5, None], [0.4, None], [0.6, None])
        many = Line("m", list(range(60)), [float(i) for i in range(60)])
        charts = [
            CHART,
            Chart("c", "t", "x", [line], percent=True, categories=("u", "v")),
            Chart("m", "t", "x", [many]),
        ]
        files = [tmp_path / "plots" / f"{chart.key}.png" for chart in charts]
        for chart, file in zip(charts, files, strict=True):
            save_plot(chart, file)
        assert all(file.read_bytes().startswith(b"\x89PNG") for file in files)
