from __future__ import annotations

import json
import random

import pytest

from path_star.domain import arms, compact, demonstrations, difficulty, load, written_search
from trl_rlsp.rewards.outcome import OutcomeVerifier
from trl_rlsp.search import count_attempts

SOURCE = "reasoning_gym:path_star?degree={degree}&min_path_length=2&max_path_length=3&node_range=60&seed=1&size=6"


@pytest.fixture
def row():
    """Two arms from 5: to 9 by 7, to 4 by 2; the goal is 9."""
    entry = {"question": "Example:\n|1 2|1 3/1 5 = 1\n\n|7 9|5 2|5 7|2 4/5 9 = \n"}
    return {"task": json.dumps({"name": "path_star", "entry": entry})}


class TestProblem:
    def test_compact(self, row):
        assert compact(row) == "7 9 | 5 2 | 5 7 | 2 4 : 5 9"

    def test_difficulty(self, row):
        assert difficulty(row) == 1.5  # the first of two arms, or the second

    @pytest.mark.parametrize("degree", [3, 8])
    def test_generated(self, tokenizer, degree):
        rows = load(SOURCE.format(degree=degree))
        assert [difficulty(row) for row in rows] == [(degree + 1) / 2] * 6
        prompt = rows[0]["prompt"][0]["content"]
        assert tokenizer.unk_token_id not in tokenizer(prompt)["input_ids"]

    def test_excluded_whatever_the_order_of_edges(self, row):
        rows = load(SOURCE.format(degree=3))
        task = json.loads(rows[2]["task"])
        *head, last = task["entry"]["question"].rstrip().splitlines()
        edges, ends = last.split("/")
        turned = "|" + "|".join(reversed(edges.strip("|").split("|")))
        task["entry"]["question"] = "\n".join([*head, f"{turned}/{ends}"])
        kept = load(SOURCE.format(degree=3), exclude=[{"task": json.dumps(task)}])
        assert [r["solution"] for r in kept] == [r["solution"] for i, r in enumerate(rows) if i != 2]


class TestSearch:
    def test_walks_until_the_goal(self, row):
        found = {written_search(row, random.Random(seed), budget=2) for seed in range(20)}
        hit = "5 7 9 = 9 ? 9 yes"
        assert found == {(hit, "5 7 9", True), (f"5 2 4 = 4 ? 9 no | {hit}", "5 7 9", True)}

    def test_gives_up(self, row):
        found = {written_search(row, random.Random(seed), budget=1) for seed in range(20)}
        assert ("5 2 4 = 4 ? 9 no", "5 2 4", False) in found

    def test_steps_are_counted_as_for_countdown(self, row):
        reasoning = max(written_search(row, random.Random(seed), 2)[0] for seed in range(20))
        assert count_attempts(reasoning) == reasoning.count("?")

    def test_arms_end(self, row):
        assert arms([("1", "2"), ("1", "3"), ("1", "4")], "1") == [["1", "2"], ["1", "3"], ["1", "4"]]


def test_demonstrations_are_judged_as_they_say():
    """The task's own scorer agrees with `yes` and `no`."""
    rows = load(SOURCE.format(degree=4))
    tasks = {row["prompt"][0]["content"]: row["task"] for row in rows}
    found = demonstrations(rows, seed=0, per_problem=3, mean_attempts=2, longest=4, hit_share=0.3)
    assert len(found) == 18
    with OutcomeVerifier(workers=1) as verifier:
        scores = verifier(
            completions=[f"{row['reasoning']} \\boxed{{ {row['answer']} }}" for row in found],
            prompts=[row["problem"] for row in found],
            task=[tasks[row["problem"]] for row in found],
        )
    assert scores == [float(row["reasoning"].endswith("yes")) for row in found]
    assert 0 < sum(scores) < 18
