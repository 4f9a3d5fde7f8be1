"""Points of a curve, through the engine that evaluates everything else too."""

from __future__ import annotations

import json

import pytest
from datasets import Dataset

from trl_rlsp import OutcomeVerifier
from trl_rlsp.errors import ConfigError, DataError, SourceError
from trl_rlsp.evaluation.bootstrap import Estimate
from trl_rlsp.evaluation.budget.agreement import Saving
from trl_rlsp.evaluation.budget.budgeted import BudgetedModel, end_tokens
from trl_rlsp.evaluation.budget.curve import Curve, Wording, limits, measure
from trl_rlsp.evaluation.budget.plot import plot_curves
from trl_rlsp.evaluation.budget.processor import ThinkingBudget, Usage
from trl_rlsp.evaluation.budget.tables import BEGIN, END, curve_rows, markdown, vote_rows, write_into
from trl_rlsp.generation import Sampling, TransformersEngine, all_requests

BOX = "\\boxed{"
PROBLEMS = Dataset.from_dict({"prompt": ["1", "60", "90"], "solution": ["140", "140", "140"]})
WORDING = Wording(continuation="|", answer_tokens=3)


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


class TestSegments:
    def test_rows_that_finish_leave_the_batch_and_the_others_keep_their_count(self, counter):
        model, tokenizer = counter
        budget = ThinkingBudget(tokenizer, at_most=50, answer_tokens=3)
        engine = TransformersEngine(BudgetedModel(model, budget), tokenizer)
        sampling = Sampling(temperature=0, max_new_tokens=budget.longest)
        batches = engine.sample(["1", "60", "90"], all_requests(3, 1), sampling)
        found = {s.prompt_index: s for batch in batches for s in batch}
        # 90 -> 91 ... 100 | 2: 12 tokens and 4 more; 60 -> 42 and 4; 1 is stopped after 50, 4 ... 53
        assert [found[i].tokens for i in range(3)] == [54, 46, 16]
        assert found[0].text == " ".join(map(str, range(4, 54))) + f" {BOX} 140 }}"
        assert found[2].text == " ".join(map(str, range(91, 101))) + f" | 2 {BOX} 140 }}"
        assert budget.usage() == Usage(rows=3, extended=0, extensions=0, cut=1)

    def test_the_next_batch_begins_anew(self, counter):
        model, tokenizer = counter
        budget = ThinkingBudget(tokenizer, at_most=40, answer_tokens=3)
        engine = TransformersEngine(BudgetedModel(model, budget), tokenizer)
        sampling = Sampling(temperature=0, max_new_tokens=budget.longest, batch_size=1)
        found = [s for batch in engine.sample(["10", "1", "20"], all_requests(3, 1), sampling) for s in batch]
        assert [s.tokens for s in found] == [44] * 3
        assert budget.usage() == Usage(rows=3, cut=3)

    def test_everything_else_is_the_models(self, counter):
        model, tokenizer = counter
        budgeted = BudgetedModel(model, ThinkingBudget(tokenizer))
        assert budgeted.config is model.config
        assert end_tokens(budgeted) == [2]


class TestMeasure:
    def test_by_hand(self, counter, verifier):
        model, tokenizer = counter
        sampling = Sampling(temperature=0, max_new_tokens=200)
        curve = Curve()
        for mode, budget in (("at most", 20), ("at most", 100), ("forced", 20), ("free", None)):
            curve.add(*measure("M", model, tokenizer, PROBLEMS, sampling, WORDING, mode, budget, verifier))
        # every box holds 140; reasoning: 99, 42 and 12 tokens, and 4 of the answer
        assert [point.figures.tokens.mean for point in curve.points] == [
            pytest.approx((24 + 24 + 16) / 3),
            pytest.approx((103 + 46 + 16) / 3),
            24.0,
            pytest.approx((103 + 46 + 16) / 3),
        ]
        assert [point.cut for point in curve.points] == [pytest.approx(2 / 3), 0.0, 1.0, 0.0]
        assert [point.figures.pass_at_1.mean for point in curve.points] == [1.0] * 4
        assert curve.gain("at most") == Estimate(0.0, 0.0, 0.0)
        assert curve.gain("forced") is None
        assert [row[1] for row in curve_rows({"M": curve})] == ["at most 20", "at most 100", "forced 20", "none"]

    @pytest.mark.parametrize(("mode", "budget"), [("free", 3), ("at most", None), ("never", 3)])
    def test_bad_mode(self, counter, mode, budget):
        with pytest.raises(ConfigError, match="mode is 'at most' or 'forced' with a budget, or 'free' without, got"):
            limits(counter[1], counter[0], WORDING, mode, budget)


class TestWriting:
    SAVING = Saving(
        "unbeatable",
        accuracy=Estimate(0.5, 0.4, 0.6),
        plain_accuracy=Estimate(0.5, 0.4, 0.6),
        difference=Estimate(0.0, 0.0, 0.0),
        tokens=Estimate(75.0, 70.0, 80.0),
        plain_tokens=Estimate(100.0, 90.0, 110.0),
        samples=Estimate(3.0, 2.5, 3.5),
        saved=0.25,
        stopped=0.5,
        not_scorable=0,
    )

    def test_votes(self):
        assert vote_rows({"M": [self.SAVING]}) == [
            ("M", "all samples", "50.0 % [40.0, 60.0]", "", "", "100.0 [90.0, 110.0]", ""),
            (
                "M",
                "unbeatable",
                "50.0 % [40.0, 60.0]",
                "+0.0 [+0.0, +0.0]",
                "3.0 [2.5, 3.5]",
                "75.0 [70.0, 80.0]",
                "25 %",
            ),
        ]

    def test_into_a_document_twice(self, tmp_path):
        document = tmp_path / "doc.md"
        document.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
        for numbers in ("first\n", "second\n"):
            write_into(document, numbers)
        assert document.read_text() == f"before\n{BEGIN}\n\nsecond\n\n{END}\nafter\n"

    def test_no_place_in_the_document(self, tmp_path):
        document = tmp_path / "doc.md"
        with pytest.raises(SourceError, match="there is no document"):
            write_into(document, "numbers")
        document.write_text(f"{END}\n{BEGIN}\n")
        with pytest.raises(DataError, match="must have a line '<!-- numbers: begin -->' and after it"):
            write_into(document, "numbers")

    def test_figure(self, counter, verifier, tmp_path):
        pytest.importorskip("matplotlib")
        model, tokenizer = counter
        curve = Curve()
        for mode, budget in (("at most", 5), ("at most", 50), ("free", None)):
            sampling = Sampling(temperature=0, max_new_tokens=200)
            curve.add(*measure("M", model, tokenizer, PROBLEMS, sampling, WORDING, mode, budget, verifier))
        plot_curves({"M": curve}, tmp_path / "curve.png")
        assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
        text = markdown({"M": curve}, {"M": []}, 0)
        assert "3 problems x 1 completions a point" in text
        assert "- M, at most: from 5 to 50 tokens +0.0 [+0.0, +0.0] points." in text
        assert "Votes" not in text
        assert json.dumps(text)
