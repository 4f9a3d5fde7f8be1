"""Gold answers handed to the verifier as if a model had given them."""

from __future__ import annotations

import io
import json

import pytest
from datasets import Dataset

from trl_rlsp.evaluation._dataset import check_dataset, gold_completion, odd_answers, print_report
from trl_rlsp.problems import load_problems
from trl_rlsp.rewards import OutcomeVerifier, Reader
from trl_rlsp.text import Terminal
from trl_rlsp.verification import Verdict


class BoxVerifier:
    """Says `match` exactly when a completion boxes the row's solution, and that of `wrong` wherever it is."""

    compares_answers, reader = False, Reader()

    def __init__(self, wrong: tuple[str, ...] = ()):
        self.wrong = wrong

    def verdicts(self, completions, **columns):
        return [self._one(completion, gold) for completion, gold in zip(completions, columns["solution"], strict=True)]

    def _one(self, text, gold):
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


def check(rows, verifier):
    return check_dataset(Dataset.from_list(rows), verifier)


class TestCheckDataset:
    def test_all_verify(self):
        report = check([row(str(n)) for n in range(300)], BoxVerifier())  # more than one batch
        assert (report.verified, report.total, report.ok) == (300, 300, True)

    def test_failures_name_row_and_reason(self):
        report = check([row("1"), row("x" * 200)], BoxVerifier(wrong=("x" * 200,)))
        assert (report.failures, report.ok) == ({1: "mismatch"}, False)

    def test_rows_without_an_answer_are_counted_and_alone_prove_nothing(self):
        report = check([row("", tests="[]")], BoxVerifier())
        assert (report.unanswered, report.total, report.ok) == ([0], 1, False)

    def test_not_scorable_is_a_failure(self):
        class Unsure(BoxVerifier):
            def verdicts(self, completions, **columns):
                return [Verdict(None, "gold_unparseable") for _ in completions]

        assert check([row("1")], Unsure()).failures == {0: "gold_unparseable"}


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
        problems = load_problems(path)
        report = check_dataset(problems, verifier)
        print_report(report, problems, str(path), Terminal(file=printed, width=200), **arguments)
        return report.ok, printed.getvalue()

    def test_ok(self, tmp_path):
        status, text = self.run(tmp_path, [{"problem": "p", "answer": "1"}], BoxVerifier())
        assert status
        assert "ok: 1 of 1 answers verify in " in text

    def test_failures_are_printed(self, tmp_path):
        rows = [{"problem": f"p [{n}]" + " long" * 20, "answer": f"[/a]{n}"} for n in range(4)]
        status, text = self.run(tmp_path, rows, BoxVerifier(wrong=("[/a]1", "[/a]2", "[/a]3")), show=2)
        assert not status
        assert "[/a]1" in text
        assert "p [2]" + " long" * 14 + "…" in text  # 5 + 14 * 5 + 1 characters; 80 at most
        assert "p [3]" not in text
        assert "by reason: mismatch 3 (1 more not shown)" in text
        assert "not ok: 1 of 4 answers verify" in text

    def test_odd_answers_are_printed(self, tmp_path):
        rows = [{"problem": f"p{n}", "answer": n} for n in range(20)] + [{"problem": "q", "answer": "1 or 2"}]
        status, text = self.run(tmp_path, rows, BoxVerifier())
        assert status
        assert "1 or 2: not a number, unlike the other answers" in text

    def test_unanswered_rows_are_printed(self, tmp_path):
        rows = [{"problem": "p", "answer": "", "tests": ["assert f(1) == 2"]}]
        status, text = self.run(tmp_path, rows, BoxVerifier())
        assert not status
        assert "1 of 1 rows have no answer to check" in text


class TestWithTheRealVerifier:
    def test_a_reference_program_may_come_in_a_fence(self, verifier):
        program = "def double(x):\n    return 2 * x\n"
        tests = json.dumps(["assert double(4) == 8"])
        rows = [row(program, tests=tests), row(f"Doubling:\n```python\n{program}```", tests=tests)]
        assert check(rows, verifier).verified == 2

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
        report = check([row(gold) for gold in golds], verifier)
        assert report.failures == {}

    def test_generated_problems(self, verifier):
        pytest.importorskip("reasoning_gym")
        report = check_dataset(load_problems("reasoning_gym:countdown?min_numbers=3&max_numbers=3&size=3"), verifier)
        assert (report.verified, report.failures) == (3, {})
