"""Which answers vote together."""

from __future__ import annotations

import json

import pytest

from trl_rlsp import OutcomeVerifier
from trl_rlsp.evaluation import ScoredSample
from trl_rlsp.evaluation._scoring import MAX_DISTINCT, final_answer, voting_keys


@pytest.fixture(scope="module")
def verifier():
    with OutcomeVerifier(workers=1) as running:
        yield running


def boxed(*answers):
    return [f"\\boxed{{{answer}}}" for answer in answers]


def keys(verifier, row, texts, scores=None):
    answers = [final_answer(row, reading) for reading in read_all(verifier, row, texts)]
    return voted([row], [0] * len(texts), answers, scores or [0.0] * len(texts), verifier)


def voted(rows, problems, answers, scores, verifier):
    samples = [ScoredSample(p, "", 1, True, s, "", answer=a) for p, a, s in zip(problems, answers, scores, strict=True)]
    return voting_keys(rows, samples, verifier)


def read_all(verifier, row, texts):
    return verifier.reader.read(texts, {name: [value] * len(texts) for name, value in row.items()})


class TestFinalAnswer:
    PROGRAM = "```python\nprint(1)  \n\n```"

    @pytest.mark.parametrize(
        ("row", "text", "answer"),
        [
            ({"solution": "2"}, "so \\boxed{ 1{,}000 }", "1000"),
            ({"solution": "2"}, "no idea", None),
            ({"solution": "2"}, "\\boxed{1} \\boxed{2}", None),
            ({"solution": "1, 2"}, "\\boxed{1} \\boxed{2}", "1,2"),  # a list may be given in several boxes
            ({"solution": None}, "\\boxed{1}", "1"),
            ({"task": "{}", "solution": ""}, "\\boxed{ 8  * 9 }", "8 * 9"),
            ({"tests": "[]", "solution": ""}, PROGRAM, "print(1)"),
            ({"tests": "[]", "solution": ""}, "\\boxed{1}", None),
        ],
    )
    def test_by_hand(self, verifier, row, text, answer):
        assert final_answer(row, read_all(verifier, row, [text])[0]) == answer


class TestVotingKeys:
    def test_equal_answers_have_one_key(self, verifier):
        found = keys(verifier, {"solution": "7"}, boxed("\\frac{1}{2}", "0.5", "1/2", "3", "\\frac{2}{4}", "0.5"))
        # 1/2 and \frac{1}{2} are one text already, as frequent as 0.5 and before it; all four forms are equal
        assert found[0] == found[1] == found[2] == found[4] == found[5] != found[3]
        assert found[3] == "3"

    def test_symbolic_equality(self, verifier):
        found = keys(verifier, {"solution": "7"}, boxed("x^2-1", "(x-1)(x+1)", "x^2+1"))
        assert found[0] == found[1] != found[2]

    def test_no_answer_no_vote(self, verifier):
        assert keys(verifier, {"solution": "7"}, ["no idea", *boxed("1")]) == [None, "1"]

    def test_right_answers_are_one_without_being_compared(self, verifier, monkeypatch):
        asked = []
        monkeypatch.setattr(verifier, "verdicts", lambda texts, **columns: asked.extend(texts) or [])
        found = keys(verifier, {"solution": "0.5"}, boxed("\\frac12", "0.5", "3"), [1.0, 1.0, 0.0])
        assert found[0] == found[1] != found[2]
        assert asked == []  # a single wrong answer has nothing to be compared with

    def test_each_pair_once_and_not_across_problems(self, verifier, monkeypatch):
        asked = []
        real = verifier.verdicts

        def count(texts, solution):
            asked.extend(zip(solution, texts, strict=True))
            return real(texts, solution=solution)

        monkeypatch.setattr(verifier, "verdicts", count)
        rows = [{"solution": "7"}, {"solution": "8"}]
        voted(rows, [0, 0, 0, 0, 1, 1], ["1", "2", "3", "2", "1", "2"], [0.0] * 6, verifier)
        # most frequent first: problem 0 has 2, 1, 3 and so three pairs, problem 1 one
        assert asked == [("2", "\\boxed{1}"), ("2", "\\boxed{3}"), ("1", "\\boxed{3}"), ("1", "\\boxed{2}")]

    def test_the_number_of_pairs_is_limited(self, verifier, monkeypatch):
        asked = []
        monkeypatch.setattr(verifier, "verdicts", lambda texts, solution: asked.extend(texts) or [])
        with pytest.raises(ValueError, match="zip"):  # the stand-in gives no verdicts
            keys(verifier, {"solution": "7"}, boxed(*range(100, 150)))
        assert len(asked) == MAX_DISTINCT * (MAX_DISTINCT - 1) // 2

    def test_tasks_and_programs_are_compared_as_text(self, verifier):
        task = json.dumps({"name": "countdown", "entry": {}})
        texts = boxed("8 * 9", "8  * 9", "9 * 8")
        assert keys(verifier, {"task": task, "solution": "x"}, texts, [1.0] * 3) == ["8 * 9", "8 * 9", "9 * 8"]
