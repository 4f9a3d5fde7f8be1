"""Points of a curve, through the engine that evaluates everything else too."""

from __future__ import annotations

import json

import pytest
from datasets import Dataset

from trl_rlsp import OutcomeVerifier
from trl_rlsp.evaluation import Difference, Estimate
from trl_rlsp.evaluation.budget import Bench, RuleResult, ThinkingBudget, markdown, plot_curves
from trl_rlsp.generation import Sampling, TransformersEngine

BOX = "\\boxed{"
PROBLEMS = Dataset.from_dict({"prompt": ["1", "60", "90"], "solution": ["140", "140", "140"]})


@pytest.fixture(scope="module")
def verifier():
    with OutcomeVerifier(workers=1) as running:
        yield running


@pytest.fixture(scope="module")
def counter(markov):
    """Counts up and answers at 100: right, 140, only if it comes to 100 by itself; a forced answer says 3."""
    chain = {str(i): {str(i + 1): 1.0} for i in range(4, 100)}
    chain |= {"1": {"4": 1.0}, "100": {"|": 1.0}, "|": {"2": 1.0}, "2": {BOX: 1.0}}
    # the box is opened after 2 alone; its own answer is 140
    return markov(chain | {BOX: {"140": 1.0}, "140": {"}": 1.0}})


@pytest.fixture
def measured(counter, verifier, tmp_path):
    """`measured((at_least, at_most), ..., ())`: the points at these budgets, `()` for none."""

    def run(*sizes):
        model, tokenizer = counter
        tokenizer.padding_side = "left"
        sampling = Sampling(temperature=0, max_new_tokens=200)
        bench = Bench("M", TransformersEngine(model, tokenizer), PROBLEMS, sampling, verifier, tmp_path)
        budgets = [ThinkingBudget(*size, continuation="|", answer_tokens=3) for size in sizes]
        return list(bench.points(budgets))

    return run


class TestMeasure:
    def test_by_hand(self, measured):
        curve = measured((0, 20), (0, 100), (20, 20), ())
        # every box holds 140; reasoning: 99, 42 and 12 tokens, then the box, 140, } and the end token. A forced box
        # has 3 tokens after it: 20 and 1 and 3; the third is made to go on, and reaches 20 after its box is cut
        assert [point.metrics.tokens.mean for point in curve] == [
            pytest.approx((24 + 24 + 16) / 3),
            pytest.approx((103 + 46 + 16) / 3),
            24.0,
            pytest.approx((103 + 46 + 16) / 3),
        ]
        assert [point.forced for point in curve] == [pytest.approx(2 / 3), 0.0, 1.0, 0.0]
        assert [point.metrics.pass_at_1.mean for point in curve] == [1.0] * 4
        lines = markdown({"M": curve}, {}, 0).splitlines()
        assert [line for line in lines if line.startswith("- ")] == [
            "- M, at most: from 20 to 100 tokens +0.0 [+0.0, +0.0] points."
        ]
        labels = [line.split(" | ")[1] for line in lines if line.startswith("| M")]
        assert labels == ["at most 20", "at most 100", "forced 20", "no budget"] == [point.label for point in curve]


class TestWriting:
    RESULT = RuleResult(
        accuracy=Difference(Estimate(0.5, 0.4, 0.6), Estimate(0.5, 0.4, 0.6), Estimate(0.0, 0.0, 0.0), 3, 0),
        tokens=Difference(
            Estimate(100.0, 90.0, 110.0), Estimate(75.0, 70.0, 80.0), Estimate(-25.0, -30.0, -20.0), 3, 0
        ),
        samples=Estimate(3.0, 2.5, 3.5),
        saved=0.25,
        stopped=0.5,
    )

    def test_votes(self, measured):
        text = markdown({"M": measured(())}, {"M": {"unbeatable": self.RESULT}}, 16)
        assert text.splitlines()[-2:] == [
            "| M | all samples | 50.0 % [40.0, 60.0] |  |  | 100.0 [90.0, 110.0] |  |",
            "| M | unbeatable | 50.0 % [40.0, 60.0] | +0.0 [+0.0, +0.0] | 3.0 [2.5, 3.5] | 75.0 [70.0, 80.0] | 25 % |",
        ]
        assert "Votes of up to 16 samples per problem:" in text

    def test_figure(self, measured, tmp_path):
        pytest.importorskip("matplotlib")
        curve = measured((0, 5), (0, 50), ())
        plot_curves({"M": curve}, tmp_path / "curve.png")
        assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
        text = markdown({"M": curve}, {"M": {}}, 0)
        assert "3 problems x 1 completions a point" in text
        assert "- M, at most: from 5 to 50 tokens +0.0 [+0.0, +0.0] points." in text
        assert "Votes" not in text
        assert json.dumps(text)
