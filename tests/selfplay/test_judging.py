"""Back to the problem, and verified again."""

from __future__ import annotations

import json

import pytest

from trl_rlsp import OutcomeVerifier
from trl_rlsp.runs import Completion, question
from trl_rlsp.selfplay import judge

SYSTEM = {"role": "system", "content": "Think."}


def user(text):
    return [{"role": "user", "content": text}]


ROWS = [
    {"prompt": [SYSTEM, *user("What is 3 + 4?")], "solution": "7"},
    {"prompt": user("What is 1 / 2?"), "solution": "0.5"},
]


@pytest.fixture(scope="module")
def verifier():
    with OutcomeVerifier(workers=1) as verifier:
        yield verifier


class TestFind:
    """Which problem a completion is of."""

    @pytest.fixture
    def found(self, verifier):
        """The problem that is found for a completion: its prompt is the data set's then."""

        def found(**fields):
            (item,) = judge([Completion("a", **fields)], ROWS, verifier)
            return next((row for row in ROWS if row["prompt"] == item.prompt), None)

        return found

    def test_by_the_prompt(self, found):
        assert found(prompt=user("What is 3 + 4?")) == ROWS[0]  # whatever the system message
        assert found(prompt=user("What is 3 + 5?")) is None

    def test_by_the_index(self, found):
        assert found(problem="1") == ROWS[1]
        assert found(problem="1", step=3) is None
        assert found(problem="2") is None
        assert found() is None

    def test_what_is_asked(self):
        assert question([SYSTEM, *user("a"), {"role": "assistant", "content": "b"}, *user("c")]) == "c"
        assert question("text") == "text"
        assert question([SYSTEM]) == "Think."


class TestJudge:
    def test_known_problems_are_verified_again(self, verifier):
        completions = [
            Completion(r"\boxed{\frac{1}{2}}", prompt=user("What is 1 / 2?"), score=0.0),
            Completion(r"\boxed{8}", prompt=user("What is 3 + 4?"), score=1.0),
        ]
        right, wrong = judge(completions, ROWS, verifier)
        assert (right.score, right.reason, right.problem) == (1.0, "match", "what is 1 / 2?")
        assert (wrong.score, wrong.reason) == (0.0, "mismatch")

    def test_others_keep_the_score_of_the_log(self, verifier):
        completions = [Completion("a", prompt=user("Who?"), score=1.0), Completion("b", problem="4")]
        first, second = judge(completions, [], verifier)
        assert (first.score, first.reason, first.columns, first.problem) == (1.0, "logged", {}, "who?")
        assert (second.score, second.problem) == (None, "problem 4")

    def test_a_generated_problem_is_judged_by_its_own_scorer(self, verifier):
        pytest.importorskip("reasoning_gym")
        from trl_rlsp import load_problems

        source = "reasoning_gym:countdown?min_numbers=2&max_numbers=2&seed=1&size=1"
        (row,) = load_problems(source, prompt_style="compact")
        numbers = json.loads(row["task"])["entry"]["metadata"]["numbers"]
        texts = [f"\\boxed{{{row['solution']}}}", f"\\boxed{{{numbers[0]}}}"]
        found = judge([Completion(text, prompt=row["prompt"]) for text in texts], [row], verifier)
        assert [item.score for item in found] == [1.0, 0.0]
        assert (
            found[0].problem
            == f"countdown: {' '.join(map(str, sorted(numbers)))} : {row['prompt'][0]['content'].split()[-1]}"
        )
