"""Parts of one's own by name: from YAML, as functions and classes, with whatever they return."""

from __future__ import annotations

import json
import sys

import pytest
from datasets import Dataset

from trl_rlsp.cli import main
from trl_rlsp.commands import Eval
from trl_rlsp.errors import ConfigError
from trl_rlsp.evaluation import evaluate_samples
from trl_rlsp.generation import Sample
from trl_rlsp.rewards import OwnVerifier, load_object
from trl_rlsp.stages.arguments import RewardArguments
from trl_rlsp.verification import Verdict

MODULE = """
class Lines:
    def __call__(self, completions, **columns):
        return [min(text.count("\\n") / 10, 1) for text in completions]

def named(completions, answer, **columns):
    return [gold in text for text, gold in zip(completions, answer)]

def digits(completions, solution, **columns):
    return [gold.isdigit() for gold in solution]

def shout(completions, **columns):
    return [0.5] * len(completions)

def same(completions, answer, **columns):
    return [text == gold for text, gold in zip(completions, answer)]

number = 3
"""


@pytest.fixture(autouse=True)
def module(tmp_path, monkeypatch):
    (tmp_path / "own_parts.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    sys.modules.pop("own_parts", None)


def test_a_suite_from_yaml():
    fields = {"exploration": "length,own_parts.Lines,own_parts.shout", "verifier": "own_parts.same"}
    suite = RewardArguments(**fields, alpha=0.5, log_behaviours=False).build()
    assert [part.__name__ for part in suite] == ["outcome_verifier", "length_exploration", "Lines", "shout"]
    columns = {"completions": ["a", "b"], "answer": ["a", "a"], "prompts": ["p", "p"]}
    # 1 + (0 + 0 + 0.5) / 3
    assert suite(**columns) == pytest.approx([1 + 1 / 6, 1 / 6])


@pytest.mark.parametrize(
    ("values", "scores", "reasons"),
    [
        ([True, False], [1.0, 0.0], ["match", "mismatch"]),
        ([0.5, None], [0.5, None], ["mismatch", "scorer_error"]),
        ([Verdict(1.0, "match"), Verdict(0.0, "timeout")], [1.0, 0.0], ["match", "timeout"]),
    ],
)
def test_what_a_verifier_may_return(values, scores, reasons):
    logged, extra = {}, {}
    verifier = OwnVerifier(lambda completions, **columns: values)
    loggers = {"log_metric": logged.__setitem__, "log_extra": extra.__setitem__}
    assert verifier(completions=["a", "b"], **loggers) == scores
    assert [verdict.reason for verdict in verifier.verdicts(["a", "b"], solution=["1", "2"])] == reasons
    assert extra["verdict"] == reasons
    assert logged[f"verifier/{reasons[0]}"] == 0.5


def test_too_few_values():
    with pytest.raises(ConfigError, match="one value per completion, got 1 for 2"):
        OwnVerifier(lambda completions, **columns: [1.0])(completions=["a", "b"])


ROWS = [{"prompt": "p", "solution": "1", "answer": "one"}, {"prompt": "q", "solution": "2", "answer": "2"}]


def test_in_rlsp_check(tmp_path, capsys):
    """The first row's answer, `one`, is not what this verifier wants."""
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    assert main(["check", "--dataset", str(tmp_path / "rows.jsonl"), "--verifier", "own_parts.digits"]) == 1
    assert "one" in capsys.readouterr().out


def test_in_rlsp_eval():
    texts = ["one \\boxed{1}", "\\boxed{1}", "\\boxed{3}", "\\boxed{4}"]
    samples = [Sample(i // 2, text, 3, False, i % 2) for i, text in enumerate(texts)]
    settings = Eval(verifier="own_parts.named")
    with settings.scorer(None) as verifier:
        _, scored = evaluate_samples(samples, Dataset.from_list(ROWS), verifier=verifier)
    assert [sample.score for sample in scored] == [1.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize("name", ["own_parts.nothing", "no_such_module.reward", "own_parts.number", ".x"])
def test_names_that_stand_for_nothing(name):
    with pytest.raises(ConfigError, match=name.rpartition(".")[2]):
        load_object(name)
