from __future__ import annotations

import json

import pytest

from equations.domain import Equation, demonstrations, difficulty, equation_of, load, written_search
from trl_rlsp.countdown import count_attempts

SOURCE = "reasoning_gym:simple_equations?min_terms=2&max_terms=2&min_value=1&max_value=9&seed=1&size=200"


def row(equation):
    return {"task": json.dumps({"name": "simple_equations", "entry": {"metadata": {"equation": equation}}})}


class TestProblem:
    def test_by_hand(self):
        # 4 * 3 + 2 = 14: 1 and 2 are tried before
        assert equation_of(row("4*x + 2 = 14")) == Equation(4, 2, 14)
        assert difficulty(row("4*x + 2 = 14")) == 3

    @pytest.mark.parametrize("other", ["4*x - 2 = 10", "x + 9 = 28", "36*x = 72", "9 - 2*x = 1", "20*x + 9 = 209"])
    def test_other_forms_and_numbers_beyond_the_vocabulary(self, other):
        assert equation_of(row(other)) is None

    def test_generated(self, tokenizer):
        rows = load(SOURCE, unique=True)
        assert len(rows) > 20
        assert len({equation_of(row) for row in rows}) == len(rows)
        assert [str(int(difficulty(row))) for row in rows] == rows["solution"][:]
        ids = [tokenizer(row["prompt"][0]["content"])["input_ids"] for row in rows]
        assert all(tokenizer.unk_token_id not in line for line in ids)

    def test_excluded_whatever_the_unknown_is_called(self):
        rows = load(SOURCE, unique=True)
        factor, summand, result = equation_of(rows[3])
        kept = load(SOURCE, unique=True, exclude=[row(f"{factor}*q + {summand} = {result}")])
        assert [r["prompt"] for r in kept] == [r["prompt"] for i, r in enumerate(rows) if i != 3]


class TestSearch:
    def test_gives_up(self):
        assert written_search(Equation(4, 2, 14), budget=1) == ("4 * 1 = 4 | 4 + 2 = 6 ? 14 no", "1", False)

    def test_attempts_are_counted_as_for_countdown(self):
        reasoning, answer, solved = written_search(Equation(4, 2, 14), budget=9)
        assert (count_attempts(reasoning), answer, solved) == (3, "3", True)


def test_demonstrations_are_judged_as_they_say(judged):
    """The task's own scorer agrees with `yes` and `no`."""
    rows = load(SOURCE, unique=True).select(range(10))
    found = demonstrations(rows, seed=0, per_problem=3, mean_attempts=4, longest=9)
    assert len(found) == 30
    scores = judged(found, rows)
    assert scores == [float(row["reasoning"].endswith("yes")) for row in found]
    assert 0 < sum(scores) < 30
