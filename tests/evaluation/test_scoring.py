"""Figures of a model on a data set, by hand and with a real tiny model."""

from __future__ import annotations

import json

import pytest
from datasets import Dataset

from trl_rlsp import OutcomeVerifier
from trl_rlsp.errors import DataError
from trl_rlsp.evaluation import (
    ScoredSample,
    evaluate,
    evaluate_samples,
    load_evaluation,
    save_evaluation,
    score_samples,
    summarize,
)
from trl_rlsp.generation import Sample, Sampling, load_model
from trl_rlsp.rewards import Reader
from trl_rlsp.verification import Verdict

PROBLEMS = Dataset.from_dict(
    {
        "prompt": [[{"role": "user", "content": f"{n} + 1 ?"}] for n in (1, 2, 3)],
        "solution": ["2", "3", None],
    }
)


def scored(problem, score, tokens=10, finished=True, **more):
    return ScoredSample(problem, "text", tokens, finished, score, "match", **more)


@pytest.fixture(scope="module")
def verifier():
    with OutcomeVerifier(workers=1) as running:
        yield running


@pytest.fixture(scope="module")
def problems():
    from trl_rlsp import load_problems

    pytest.importorskip("reasoning_gym")
    return load_problems("reasoning_gym:countdown?min_numbers=3&max_numbers=3&size=5", prompt_style="compact")


class TestScoreSamples:
    def test_a_completion_that_never_closes_the_thinking_of_its_prompt_has_no_answer(self):
        class Tokenizer:
            chat_template = "..."

            def apply_chat_template(self, turns, **options):
                return f"<user>{turns[0]['content']}<assistant><think>\n"

        texts = ["Maybe \\boxed{2}. Let me see", "Maybe \\boxed{1}. No.</think> \\boxed{2}"]
        samples = [Sample(0, text, 9, truncated=False) for text in texts]
        for tokenizer, scores in ((None, [1.0, 1.0]), (Tokenizer(), [0.0, 1.0])):
            _, found = evaluate_samples(samples, PROBLEMS, tokenizer=tokenizer)
            assert [s.score for s in found] == scores
            assert [s.finished for s in found] == [score == 1.0 for score in scores]
            assert [s.answer for s in found] == ["2" if score else None for score in scores]
        with OutcomeVerifier(workers=1, thinking_required=False) as verifier:
            _, found = evaluate_samples(samples, PROBLEMS, tokenizer=Tokenizer(), verifier=verifier)
        assert [s.score for s in found] == [1.0, 1.0]

    def test_programs_and_tasks_are_finished_and_vote(self, verifier):
        rows = Dataset.from_dict({"prompt": [[{"role": "user", "content": "?"}]], "tests": ['["assert f() == 1"]']})
        texts = ["```python\ndef f(): return 1\n```", "```python\ndef f(): return 1", r"\boxed{1}"]
        found = score_samples([Sample(0, text, 9, truncated=False) for text in texts], rows, verifier)
        assert [s.finished for s in found] == [True, False, False]
        assert [s.answer for s in found] == ["def f(): return 1", None, None]

    def test_by_hand(self, verifier):
        samples = [
            Sample(0, "1 + 1 = 2 ? 2 yes \\boxed{2}", 9, truncated=False),
            Sample(0, "\\boxed{5}", 3, truncated=False),
            Sample(1, "I do not know", 5, truncated=False),
            Sample(1, "\\boxed{3} and so", 12, truncated=True),
            Sample(2, "\\boxed{4}", 3, truncated=False),
        ]
        found = score_samples(samples, PROBLEMS, verifier)
        assert [(s.problem, s.score, s.reason) for s in found] == [
            (0, 1.0, "match"),
            (0, 0.0, "mismatch"),
            (1, 0.0, "no_answer"),
            (1, 1.0, "match"),  # a truncated completion counts as it stands
            (2, None, "gold_unparseable"),
        ]
        # one answer, and not cut off
        assert [s.finished for s in found] == [True, True, False, False, True]
        # parsed as the verifier compared them; the last row has no gold answer
        assert [(s.compared_gold, s.compared_answer) for s in found[:2]] == [("2", "2"), ("2", "5")]
        assert found[4].compared_gold is None
        assert [s.task_metrics for s in found] == [{}] * 5  # a search that is no countdown row's means nothing
        assert [(s.text, s.tokens) for s in found] == [(s.text, s.tokens) for s in samples]

    def test_a_program_is_an_answer(self):
        class Passes:
            reader = Reader()

            def verdicts(self, completions, **columns):
                return [Verdict(1.0, "match") for _ in completions]

        tests = '[{"input": "", "output": "7"}]'
        problems = Dataset.from_dict({"prompt": ["Print 7."], "solution": [""], "tests": [tests]})
        texts = ["Easy:\n```python\nprint(7)\n```", "No idea."]
        samples = [Sample(0, text, 9, False, number) for number, text in enumerate(texts)]
        assert [s.finished for s in score_samples(samples, problems, Passes())] == [True, False]


class TestSummarize:
    def test_by_hand(self):
        samples = [
            scored(0, 1.0, tokens=10, task_metrics={"search_steps": 1}),
            scored(0, 0.0, tokens=20, task_metrics={"search_steps": 3}),
            scored(1, 1.0, tokens=30, finished=False, task_metrics={"search_steps": 5}),
            scored(1, None, tokens=40, task_metrics={"search_steps": 7}),
            scored(2, None, tokens=50),
        ]
        figures = summarize(samples)
        # problem 0: 1 / 2; problem 1: 1 / 1, its other sample is not scorable; problem 2 is left out: (.5 + 1) / 2
        assert figures.pass_at_1.mean == 0.75
        # problems 15, 35, 50: mean 33.33
        assert figures.tokens.mean == pytest.approx(100 / 3)
        # problems 1, 1/2, 1
        assert figures.finished.mean == pytest.approx(2.5 / 3)
        # problems 2 and 6; problem 2 is of another task
        assert figures.task_metrics["search_steps"].mean == 4.0
        assert (figures.problems, figures.samples, figures.not_scorable) == (3, 2, 2)

    def test_the_interval_is_over_problems_not_samples(self):
        few = summarize([scored(p, float(p % 2)) for p in range(10)]).pass_at_1
        copied = summarize([scored(p, float(p % 2)) for p in range(10) for _ in range(50)]).pass_at_1
        assert few == copied

    def test_nothing_scorable(self):
        with pytest.raises(DataError, match="no completion is scorable: check the gold answers with `rlsp check`"):
            summarize([scored(0, None)])


class TestEvaluate:
    def test_a_real_model(self, model_folder, problems):
        model, tokenizer = load_model(str(model_folder), dtype="float32")
        done = []
        sampling = Sampling(n=2, temperature=1.0, max_new_tokens=8, batch_size=4)
        figures, samples = evaluate(model, tokenizer, problems, sampling, on_batch=done.append)
        assert [s.problem for s in samples] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
        assert (figures.problems, figures.samples, figures.not_scorable) == (5, 2, 0)
        assert figures.pass_at_1.mean == 0.0  # random weights
        assert figures.tokens.mean == sum(s.tokens for s in samples) / 10
        assert done == [4, 8, 10]
        assert list(figures.task_metrics) == ["search_steps"]  # of countdown rows

    def test_no_problems(self, model_folder):
        model, tokenizer = load_model(str(model_folder))
        with pytest.raises(DataError, match="no problems to evaluate on"):
            evaluate(model, tokenizer, Dataset.from_dict({"prompt": []}), Sampling())


class TestFiles:
    SAMPLES = [scored(0, 1.0), scored(1, None), ScoredSample(2, "três\n\u2028 ✓", 3, False, 0.0, "no_answer")]

    def test_round_trip(self, tmp_path):
        figures = summarize(self.SAMPLES)
        save_evaluation(figures, self.SAMPLES, tmp_path / "new", {"temperature": 0.7})
        assert load_evaluation(tmp_path / "new") == figures
        assert json.loads((tmp_path / "new" / "metrics.json").read_text())["settings"] == {"temperature": 0.7}
        lines = (tmp_path / "new" / "samples.jsonl").read_text(encoding="utf-8").rstrip("\n").split("\n")
        assert [ScoredSample(**json.loads(line)) for line in lines] == self.SAMPLES

    @pytest.mark.parametrize("content", [None, "", "{", "[]", "{}", '{"settings": {}, "other": 1}'])
    def test_incomplete(self, tmp_path, content):
        if content is not None:
            (tmp_path / "metrics.json").write_text(content)
        with pytest.raises(DataError, match="holds no complete evaluation: run `rlsp eval` again"):
            load_evaluation(tmp_path)
