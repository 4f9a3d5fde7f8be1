"""Gold answers handed to the verifier as if a model had given them."""

from __future__ import annotations

import io
import json

import pytest

from trl_rlsp.evaluation import _dataset as checking
from trl_rlsp.evaluation._dataset import check_dataset, gold_completion, odd_answers, print_report
from trl_rlsp.problems import load_problems
from trl_rlsp.rewards import OutcomeVerifier
from trl_rlsp.text import Terminal
from trl_rlsp.verification import Verdict


class BoxVerifier:
    """Says `match` exactly when the last message boxes the row's solution, and notes what it was asked."""

    def __init__(self, wrong: tuple[str, ...] = ()):
        self.calls: list[dict] = []
        self.wrong = wrong

    def verdicts(self, completions, **columns):
        self.calls.append({"completions": completions, **columns})
        return [self._one(completion, gold) for completion, gold in zip(completions, columns["solution"], strict=True)]

    def _one(self, completion, gold):
        text = completion if isinstance(completion, str) else completion[-1]["content"]
        if gold in self.wrong or gold not in text:
            return Verdict(0.0, "mismatch")
        return Verdict(1.0, "match")


@pytest.fixture(scope="module")
def verifier():
    with OutcomeVerifier(workers=1, time_limit=30.0) as verifier:
        yield verifier


def row(solution: str, **more) -> dict:
    return {"prompt": [{"role": "user", "content": f"What is {solution}?"}], "solution": solution, **more}


class TestGoldCompletion:
    @pytest.mark.parametrize(
        ("given", "text"),
        [
            (row("\\frac12"), "\\boxed{\\frac12}"),
            (row("7 - 4 - 2", task="{}"), "\\boxed{7 - 4 - 2}"),
            (row("print(1)", tests="[]"), "```python\nprint(1)\n```"),
            (row("", tests="[]"), None),
            (row(" "), None),
        ],
    )
    def test_text(self, given, text):
        assert gold_completion(given) == text


class TestCheckDataset:
    def test_all_verify(self):
        report = check_dataset([row(str(n)) for n in range(5)], BoxVerifier())
        assert (report.verified, report.total, report.ok) == (5, 5, True)

    def test_failures_name_row_reason_and_problem(self):
        report = check_dataset([row("1"), row("x" * 200)], BoxVerifier(wrong=("x" * 200,)))
        (failure,) = report.failures
        assert (failure.row, failure.verdict, report.ok) == (1, Verdict(0.0, "mismatch"), False)
        assert len(failure.problem) == 80
        assert failure.problem.startswith("What is xxx")
        assert report.reasons == {"mismatch": 1}

    def test_completions_come_in_the_form_of_the_prompt(self):
        verifier = BoxVerifier()
        check_dataset([row("1"), {"prompt": "plain", "solution": "2"}], verifier)
        assert verifier.calls[0]["completions"] == [
            [{"role": "assistant", "content": "\\boxed{1}"}],
            "\\boxed{2}",
        ]

    def test_columns_are_passed_only_where_some_row_has_them(self):
        verifier = BoxVerifier()
        check_dataset([row("1"), row("2", task="{}")], verifier)
        assert verifier.calls[0]["task"] == [None, "{}"]
        assert verifier.calls[0]["tests"] is None

    def test_rows_without_an_answer_are_counted_and_alone_prove_nothing(self):
        report = check_dataset([row("", tests="[]")], BoxVerifier())
        assert (report.unanswered, report.total, report.ok) == ([0], 1, False)

    def test_batches_cover_every_row_once(self, monkeypatch):
        monkeypatch.setattr(checking, "BATCH", 3)
        verifier = BoxVerifier()
        report = check_dataset([row(str(n)) for n in range(8)], verifier)
        assert [len(call["solution"]) for call in verifier.calls] == [3, 3, 2]
        assert report.verified == 8

    def test_not_scorable_is_a_failure(self):
        class Unsure:
            def verdicts(self, completions, **columns):
                return [Verdict(None, "gold_unparseable") for _ in completions]

        assert check_dataset([row("1")], Unsure()).reasons == {"gold_unparseable": 1}


class TestOddAnswers:
    def test_the_one_that_is_no_number(self):
        rows = [row(str(n)) for n in range(20)] + [row("080 or 081 (both were accepted)"), row("-1,234.5")]
        assert odd_answers(rows) == ["080 or 081 (both were accepted)"]

    def test_nothing_where_answers_are_of_all_kinds(self):
        assert odd_answers([row("1"), row("x"), row("2")]) == []
        assert odd_answers([row("a", task="{}")]) == []


class TestPrinted:
    def run(self, tmp_path, rows, verifier, **arguments):
        path = tmp_path / "rows.jsonl"
        path.write_text("\n".join(map(json.dumps, rows)))
        printed = io.StringIO()
        report = check_dataset(load_problems(path), verifier)
        print_report(report, str(path), Terminal(file=printed, width=200), **arguments)
        return report.ok, printed.getvalue()

    def test_ok(self, tmp_path):
        status, text = self.run(tmp_path, [{"problem": "p", "answer": "1"}], BoxVerifier())
        assert status
        assert "ok: 1 of 1 answers verify in " in text

    def test_failures_are_printed(self, tmp_path):
        rows = [{"problem": f"p [{n}]", "answer": f"[/a]{n}"} for n in range(4)]
        status, text = self.run(tmp_path, rows, BoxVerifier(wrong=("[/a]1", "[/a]2", "[/a]3")), show=2)
        assert not status
        assert "[/a]1" in text
        assert "p [2]" in text
        assert "p [3]" not in text
        assert "by reason: mismatch 3 (1 more not shown)" in text
        assert "not ok: 1 of 4 answers verify" in text

    def test_odd_answers_are_printed(self, tmp_path):
        rows = [{"problem": f"p{n}", "answer": n} for n in range(20)] + [{"problem": "q", "answer": "1 or 2"}]
        status, text = self.run(tmp_path, rows, BoxVerifier())
        assert status
        assert "1 or 2: no number, unlike the other answers" in text

    def test_unanswered_rows_are_printed(self, tmp_path):
        rows = [{"problem": "p", "answer": "", "tests": ["assert f(1) == 2"]}]
        status, text = self.run(tmp_path, rows, BoxVerifier())
        assert not status
        assert "1 of 1 rows bring no answer to check" in text


class TestWithTheRealVerifier:
    def test_a_reference_program_may_come_in_a_fence(self, verifier):
        program = "def double(x):\n    return 2 * x\n"
        tests = json.dumps(["assert double(4) == 8"])
        rows = [row(program, tests=tests), row(f"Doubling:\n```python\n{program}```", tests=tests)]
        assert check_dataset(rows, verifier).verified == 2

    def test_gold_answers_of_many_shapes(self, verifier):
        golds = [
            "7",
            "-3/4",
            "\\frac43",
            "x^2 + 1",
            "(1, 2)",
            "\\{1, 2\\}",
            "5\\text{ cm}",
            "p - q",
            "12,345",
        ]
        report = check_dataset([row(gold) for gold in golds], verifier)
        assert report.failures == []

    def test_generated_problems(self, verifier):
        pytest.importorskip("reasoning_gym")
        report = check_dataset(load_problems("reasoning_gym:countdown?min_numbers=3&max_numbers=3&size=3"), verifier)
        assert (report.verified, report.failures) == (3, [])
