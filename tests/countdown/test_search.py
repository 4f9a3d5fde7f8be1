r"""Written-out search: every step is true, no solution is lost, and budgets are what they say."""

from __future__ import annotations

import itertools
import json
import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trl_rlsp.countdown.search import (
    Term,
    count_attempts,
    countdown_of,
    geometric_budget,
    search_demonstrations,
    steps,
    written_search,
)
from trl_rlsp.errors import ConfigError, DataError

NUMBERS = st.lists(st.integers(1, 12), min_size=2, max_size=4)
TARGETS = st.integers(1, 99)
OPERATION = re.compile(r"(\d+) ([-+*/]) (\d+) = (\d+)( \? (\d+) (yes|no))?")


def problem(numbers, target, **more):
    entry = {"metadata": {"numbers": numbers, "target": target}}
    return {"prompt": f"{numbers} : {target}", "task": json.dumps({"name": "countdown", "entry": entry}), **more}


def compute(left, op, right):
    return {"+": left + right, "-": left - right, "*": left * right, "/": left / right if right else None}[op]


def reachable(numbers, limit):
    """All values of full expressions with whole intermediate results from 0 to `limit`, by brute force."""
    if len(numbers) == 1:
        return set(numbers)
    found = set()
    for i, j in itertools.permutations(range(len(numbers)), 2):
        rest = [numbers[k] for k in range(len(numbers)) if k not in (i, j)]
        for op in "+-*/":
            value = compute(numbers[i], op, numbers[j])
            if value is not None and value == int(value) and 0 <= value <= limit:
                found |= reachable([int(value), *rest], limit)
    return found


class TestSteps:
    def test_two_numbers_by_hand(self):
        # 6 + 3 = 9, 6 - 3 = 3, 3 - 6 < 0, 6 * 3 = 18, 6 / 3 = 2, 3 / 6 is no whole number
        found = steps((Term.given(6), Term.given(3)), limit=144)
        assert [step.written for step in found] == ["6 + 3 = 9", "6 - 3 = 3", "6 * 3 = 18", "6 / 3 = 2"]

    def test_limit(self):
        found = steps((Term.given(6), Term.given(3)), limit=9)
        assert [step.written for step in found] == ["6 + 3 = 9", "6 - 3 = 3", "6 / 3 = 2"]

    def test_equal_numbers_are_tried_once(self):
        # 5 with the one 2 or with the other is the same step; so is 2 - 2 in both orders
        written = [step.written for step in steps((Term.given(5), Term.given(2), Term.given(2)), limit=144)]
        assert len(written) == len(set(written))
        assert written.count("5 + 2 = 7") == written.count("2 - 2 = 0") == 1

    def test_what_is_left(self):
        step = steps((Term.given(6), Term.given(3), Term.given(2)), limit=144)[0]
        assert (step.result.value, step.result.text) == (9, "( 6 + 3 )")
        assert step.rest == (Term.given(2),)


class TestWrittenSearch:
    def test_by_hand(self):
        # two numbers, no choice of branches: 6 + 3, 6 - 3, 6 * 3 in this order
        trace = written_search([6, 3], 18, random.Random(0))
        assert trace.reasoning == "6 + 3 = 9 ? 18 no | 6 - 3 = 3 ? 18 no | 6 * 3 = 18 ? 18 yes"
        assert (trace.answer, trace.solved, trace.attempts) == ("6 * 3", True, 3)

    def test_gives_up_at_the_budget_with_the_last_attempt(self):
        trace = written_search([6, 3], 18, random.Random(0), budget=2)
        assert trace.reasoning == "6 + 3 = 9 ? 18 no | 6 - 3 = 3 ? 18 no"
        assert (trace.answer, trace.solved, trace.attempts) == ("6 - 3", False, 2)

    def test_a_step_is_written_once_for_all_its_leaves(self):
        trace = written_search([6, 3, 2], 143, random.Random(1))
        inner = [step for step in trace.reasoning.split(" | ") if "?" not in step]
        leaves = trace.reasoning.count("?")
        assert (len(inner), leaves) == (len(steps(tuple(map(Term.given, (6, 3, 2))), 144)), trace.attempts)

    @given(NUMBERS, TARGETS, st.integers(0, 1000), st.none() | st.integers(1, 30))
    def test_every_step_is_true(self, numbers, target, seed, budget):
        trace = written_search(numbers, target, random.Random(seed), budget=budget)
        parts = trace.reasoning.split(" | ")
        matches = [OPERATION.fullmatch(part) for part in parts]
        assert all(matches)
        for match in matches:
            left, op, right, result, leaf, aim, word = match.groups()
            assert compute(int(left), op, int(right)) == int(result)
            if leaf:
                assert int(aim) == target
                assert (word == "yes") == (int(result) == target)
        assert trace.reasoning.count(" yes") == trace.solved
        assert trace.reasoning.endswith(" yes") == trace.solved
        assert trace.attempts == count_attempts(trace.reasoning)
        assert budget is None or trace.attempts <= budget
        assert (eval(trace.answer) == target) == trace.solved
        assert sorted(map(int, re.findall(r"\d+", trace.answer))) == sorted(numbers)

    @pytest.mark.parametrize("numbers", [[6, 3, 2], [12, 12, 1], [7, 5, 11], [2, 2, 2], [1, 9, 8], [4, 9, 6]])
    def test_no_solution_of_three_numbers_is_lost(self, numbers):
        for target in range(145):
            assert written_search(numbers, target, None).solved == (target in reachable(numbers, 144)), target

    @given(st.lists(st.integers(1, 12), min_size=3, max_size=3), TARGETS, st.integers(0, 1000))
    def test_without_a_budget_it_finds_what_there_is(self, numbers, target, seed):
        assert written_search(numbers, target, random.Random(seed)).solved == (target in reachable(numbers, 144))

    def test_same_seed_same_search(self):
        first, second, other = (written_search([6, 3, 2], 99, random.Random(seed)) for seed in (4, 4, 5))
        assert first == second
        assert first.reasoning != other.reasoning

    @pytest.mark.parametrize(
        ("numbers", "budget", "message"),
        [([7], None, r"two or more numbers, got \[7\]"), ([7, 2], 0, "at least 1 attempt, got 0")],
    )
    def test_refused(self, numbers, budget, message):
        with pytest.raises(ConfigError, match=message):
            written_search(numbers, 9, random.Random(0), budget=budget)

    def test_the_words_are_in_the_quickstarts_vocabulary(self, tokenizer):
        trace = written_search([12, 11, 10], 99, random.Random(0))
        assert tokenizer.unk_token_id not in tokenizer(f"{trace.reasoning} \\boxed{{ {trace.answer} }}")["input_ids"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 0),
        ("6 + 3 = 9 | 9 + 2 = 11 ? 18 no | 9 * 2 = 18 ? 18 yes", 2),
        ("6 + 3 = 9 ? 18 nothing", 0),
        ("is it so ? yes", 0),
    ],
)
def test_count_attempts(text, expected):
    assert count_attempts(text) == expected


class TestSystematicSearch:
    """In the order of the numbers as given, + before - before * before /, first numbers first."""

    def test_by_hand(self):
        trace = written_search([6, 3, 2], 18, None)
        assert trace.reasoning == "6 + 3 = 9 | 9 + 2 = 11 ? 18 no | 9 - 2 = 7 ? 18 no | 9 * 2 = 18 ? 18 yes"
        assert (trace.answer, trace.solved, trace.attempts) == ("( 6 + 3 ) * 2", True, 3)

    def test_demonstrations_differ_in_their_budgets_alone(self):
        rows = search_demonstrations([problem([6, 3, 2], 20)], per_problem=20, mean_attempts=3, order="systematic")
        longest = max((row["reasoning"] for row in rows), key=len)
        assert len({row["attempts"] for row in rows}) > 1
        assert all(longest.startswith(row["reasoning"]) for row in rows)

    def test_unknown_order(self):
        with pytest.raises(ConfigError, match="got 'sorted'"):
            search_demonstrations([problem([6, 3, 2], 20)], order="sorted")


class TestGeometricBudget:
    def test_mean_and_range(self):
        rng = random.Random(0)
        drawn = [geometric_budget(rng, 5, 10_000) for _ in range(20_000)]
        # standard error sqrt(5 * 4 / 20000) = 0.032
        assert sum(drawn) / len(drawn) == pytest.approx(5, abs=0.15)
        assert min(drawn) == 1
        # P(1) = 1 / 5, standard error 0.003
        assert drawn.count(1) / len(drawn) == pytest.approx(0.2, abs=0.015)

    @given(st.integers(0, 100), st.floats(1, 50), st.integers(1, 20))
    def test_never_over_the_longest(self, seed, mean, longest):
        assert 1 <= geometric_budget(random.Random(seed), mean, longest) <= longest


class TestSearchDemonstrations:
    PROBLEMS = [problem([6, 3, 2], 20), problem([9, 8, 1], 72), problem([1, 1, 1], 99)]

    def test_rows(self):
        rows = search_demonstrations(self.PROBLEMS, per_problem=4)
        assert len(rows) == 12
        assert [row["prompt"] for row in rows] == [p["prompt"] for p in self.PROBLEMS for _ in range(4)]
        assert set(rows[0]) == {"prompt", "reasoning", "answer", "solved", "attempts"}

    def test_same_seed_same_rows(self):
        assert search_demonstrations(self.PROBLEMS, seed=3) == search_demonstrations(self.PROBLEMS, seed=3)
        assert search_demonstrations(self.PROBLEMS, seed=3) != search_demonstrations(self.PROBLEMS, seed=4)

    def test_hit_share(self):
        """With a budget of one attempt almost nothing hits, unless it is redrawn until it does."""
        problems = [problem([6, 3, 2], 20)]
        options = {"per_problem": 200, "mean_attempts": 1.0, "longest": 1}
        never = sum(row["solved"] for row in search_demonstrations(problems, hit_share=0.0, **options))
        always = sum(row["solved"] for row in search_demonstrations(problems, hit_share=1.0, **options))
        # 6 * 3 is one of 11 first steps, and `+ 2` comes first after it: 200 / 11 = 18 hits, standard deviation 4;
        # in 21 draws 1 - (10 / 11)^21 = 0.865: 173 hits, standard deviation 5
        assert 2 <= never <= 38
        assert always >= 148

    def test_what_cannot_be_solved_gives_up(self):
        rows = search_demonstrations([problem([1, 1, 1], 99)], per_problem=20, hit_share=1.0, longest=5)
        assert not any(row["solved"] for row in rows)
        assert all(row["attempts"] <= 5 for row in rows)

    @pytest.mark.parametrize(
        "row",
        [
            {"prompt": "p"},
            {"prompt": "p", "task": None},
            {"prompt": "p", "task": "{"},
            {"prompt": "p", "task": json.dumps({"name": "chess", "entry": {"metadata": {}}})},
        ],
    )
    def test_other_rows_are_refused(self, row):
        with pytest.raises(DataError, match=r"need countdown rows.*load them with `reasoning_gym:countdown`"):
            countdown_of(row)

    def test_solved_rows_score_one_by_the_tasks_own_scorer(self):
        reasoning_gym = pytest.importorskip("reasoning_gym")
        scorer = reasoning_gym.create_dataset("countdown", size=1, seed=0)
        rows = [row for row in search_demonstrations(self.PROBLEMS, per_problem=10) if row["solved"]]
        entries = {p["prompt"]: json.loads(p["task"])["entry"] for p in self.PROBLEMS}
        scores = [scorer.score_answer(row["answer"], entries[row["prompt"]]) for row in rows]
        assert scores == [1.0] * len(rows)
        assert rows
