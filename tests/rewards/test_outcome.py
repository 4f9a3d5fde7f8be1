"""The outcome verifier as TRL calls it: routes, logs, cache, options, processes."""

import json
import multiprocessing
import pickle
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from trl_rlsp.errors import ConfigError
from trl_rlsp.rewards import OutcomeVerifier
from trl_rlsp.text import _completion
from trl_rlsp.verification import MathRules, RunResult, Verdict

DATA = Path(__file__).parents[1] / "data"
TASK = json.dumps(
    {
        "name": "countdown",
        "entry": {"question": "Make 63.", "answer": "(8-1)*9", "metadata": {"numbers": [8, 1, 9], "target": 63}},
    }
)
TESTS = '[{"input": "", "output": "7"}]'
HANG = r"\boxed{\frac{5^{(5^{5^{5^5}}-4)}-5}{16}}"


@pytest.fixture(scope="module")
def verifier():
    with OutcomeVerifier() as verifier:
        yield verifier


def messages(text):
    return [{"role": "assistant", "content": text}]


def test_scores(verifier):
    completions = [r"\boxed{7}", r"\boxed{8}", "no idea", r"\boxed{x+x}", r"\boxed{7}"]
    assert verifier(completions=completions, solution=["7", "7", "7", "2x", None]) == [1.0, 0.0, 0.0, 1.0, None]


def test_the_name_is_fixed():
    assert OutcomeVerifier(workers=1).__name__ == "outcome_verifier"


@pytest.mark.parametrize(
    "case", json.loads((DATA / "verifier_formats.json").read_text()), ids=lambda case: case["name"]
)
def test_shapes_of_completions(verifier, case):
    assert verifier(completions=case["completions"], solution=[case["gold"]]) == [case["expected"]]


def test_each_row_goes_where_its_columns_say():
    pytest.importorskip("reasoning_gym")
    seen = []

    def run_programs(rows):
        seen.extend(rows)
        return [Verdict(0.5, "mismatch") for _ in rows]

    with OutcomeVerifier(custom={"code": run_programs}) as verifier:
        scores = verifier(
            prompts=[[{"role": "system", "content": "s"}, {"role": "user", "content": "u"}], "p", "p", "p"],
            completions=["print(1)", r"\boxed{(8-1)*9}", r"\boxed{8-1+9}", messages(r"\boxed{7}")],
            tests=[[{"input": "", "output": "1"}], None, None, None],
            task=[None, TASK, TASK, None],
            solution=["7", "7", None, "7"],
        )
    assert scores == [0.5, 1.0, 0.0, 1.0]
    assert [(row.kind, row.completion, row.truth, row.prompt) for row in seen] == [
        ("code", "print(1)", [{"input": "", "output": "1"}], "u")
    ]


def test_programs_are_run(verifier):
    code = pytest.importorskip("trl_rlsp.verification.code.verifier")
    assert callable(code.verify_code)
    completions = ["```python\nprint(int(input()) + 1)\n```", "```python\nprint(1)\n```"]
    tests = [[{"input": "1\n", "output": "2\n"}]] * 2
    scores = OutcomeVerifier(code_options={"allow_unsandboxed": True})(completions=completions, tests=tests)
    assert scores == [1.0, 0.0]


def test_a_completion_of_any_kind_is_read_once(verifier, monkeypatch):
    pytest.importorskip("reasoning_gym")
    completions = [r"so \boxed{7}", r"so \boxed{(8-1)*9}", "```python\nprint(7)\n```"]
    columns = {"solution": ["7", None, None], "task": [None, TASK, None], "tests": [None, None, TESTS]}
    split, seen = _completion._parts, []
    monkeypatch.setattr(_completion, "_parts", lambda value: (seen.append(value), split(value))[1])
    verifier.cache.clear()
    assert verifier(completions=completions, **columns) == [1.0, 1.0, 1.0]
    assert sorted(value for value in seen if value in completions) == sorted(completions)


def test_limits_and_reading_hold_for_programs():
    seen = []

    def sandbox(program, stdin, limits):
        seen.append((program, limits.seconds))
        time.sleep(0.2)
        return RunResult("finished", b"1")

    with OutcomeVerifier(
        workers=1, time_limit=0.25, batch_seconds=0.3, end_of_thinking="<end>", code_options={"sandbox": sandbox}
    ) as verifier:
        completions = [f"```python\nno\n```<end>\n```python\n{i}\n```" for i in range(5)]
        verdicts = verifier.verdicts(completions, tests=[[{"input": "", "output": "1"}]] * 5)
    # Each run takes 0.2 of the batch's 0.3 seconds: two at most, the others are not reached.
    assert {program for program, _ in seen} <= {f"{i}\n" for i in range(5)}
    assert max(seconds for _, seconds in seen) <= 0.25
    assert [v.score for v in verdicts].count(None) >= 3
    assert {v.reason for v in verdicts if v.score is None} == {"scorer_error"}


def test_logs(verifier):
    metrics, extra = {}, {}
    verifier(
        completions=[r"\boxed{7}", r"\boxed{8}", "none", r"\boxed{7}"],
        solution=["7", "7", "7", None],
        log_metric=metrics.__setitem__,
        log_extra=extra.__setitem__,
        trainer_state=None,
        completion_ids=[[1]] * 4,
    )
    assert metrics == {
        "verifier/match": 0.25,
        "verifier/mismatch": 0.25,
        "verifier/no_answer": 0.25,
        "verifier/several_answers": 0.0,
        "verifier/timeout": 0.0,
        "verifier/worker_crash": 0.0,
        "verifier/gold_unparseable": 0.25,
        "verifier/scorer_error": 0.0,
    }
    assert extra == {
        "verdict": ["match", "mismatch", "no_answer", "gold_unparseable"],
        "parsed_gold": ["7", "7", "7", None],
        "parsed_answer": ["7", "8", None, None],
    }


def test_a_prompt_copied_is_not_an_answer(verifier):
    prompt = [{"role": "system", "content": "Box it."}, {"role": "user", "content": "Compute $99^2+99+1$."}]
    copied = [messages(r"\boxed{99^2+99+1}")]
    assert verifier(prompts=[prompt], completions=copied, solution=["9901"]) == [0.0]
    assert verifier(completions=copied, solution=["9901"]) == [1.0]


def test_missing_columns_are_named(verifier):
    with pytest.raises(ConfigError, match=r"solution, task, tests.*answer, completion_ids.*rename_column"):
        verifier(prompts=["p"], completions=["c"], answer=["7"], completion_ids=[[1]])
    with pytest.raises(ConfigError, match="solution, task, tests"):
        verifier.verdicts(["c"])


def test_a_column_task_that_is_a_label_of_the_users_own(verifier):
    """Beside a solution it silently made every row unscorable."""
    completions, labels = [r"\boxed{7}", r"\boxed{8}"], ["algebra", "geometry"]
    assert verifier(completions=completions, solution=["7", "7"], task=labels) == [1.0, 0.0]
    with pytest.raises(ConfigError, match="task holds generated tasks as JSON, got 'algebra' and no other column"):
        verifier(completions=completions, task=labels)


def test_columns_of_another_length(verifier):
    with pytest.raises(ConfigError, match="2 completions need 2 solution, got 1"):
        verifier(completions=["a", "b"], solution=["7"])


def test_an_empty_batch(verifier):
    assert verifier(completions=[], solution=[], log_metric={}.__setitem__) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": 0}, "workers must be between 1 and 256"),
        ({"time_limit": 0}, "0 < time_limit <= batch_seconds"),
        ({"time_limit": 5, "batch_seconds": 1}, "0 < time_limit <= batch_seconds"),
        ({"cache_size": 0}, "cache_size must be at least 1"),
        ({"custom": {"chess": len}}, "registered for code, gym, math; got chess"),
        ({"memory_mb": 1}, "memory_mb >= 64"),
    ],
)
def test_arguments_that_cannot_work(options, message):
    with pytest.raises(ConfigError, match=message):
        OutcomeVerifier(**options)


def test_repeated_calls_are_free(verifier, monkeypatch):
    """Nothing is read or verified again."""
    completions = [messages(f"Reasoning {n}. " * 50 + f"\\boxed{{{n % 7}}}") for n in range(256)]
    columns = {"solution": [str(n % 5) for n in range(256)], "prompts": [messages("p")] * 256}
    first = verifier.verdicts(completions, **columns)
    monkeypatch.setattr(verifier, "_verify", lambda *_: pytest.fail("verified twice"))
    monkeypatch.setattr(verifier.reader, "read", lambda *_: pytest.fail("read twice"))
    assert verifier.verdicts(completions, **columns) == first


def test_the_cache_is_bounded_and_keeps_recent_verdicts(monkeypatch):
    verifier = OutcomeVerifier(cache_size=100)
    for n in range(1000):
        verifier.verdicts([f"\\boxed{{{n}}}"], solution=["7"])
    assert len(verifier.cache) <= 100
    monkeypatch.setattr(verifier, "_verify", lambda kind, rows: pytest.fail("checked again"))
    assert verifier.verdicts([r"\boxed{999}", r"\boxed{960}"], solution=["7"] * 2) == [Verdict(0.0, "mismatch")] * 2


def test_what_could_not_be_scored_is_tried_again():
    calls = []

    def failing(rows):
        calls.append(len(rows))
        return [Verdict(None, "scorer_error") for _ in rows]

    verifier = OutcomeVerifier(custom={"math": failing})
    for _ in range(2):
        assert verifier(completions=[r"\boxed{7}"], solution=["7"]) == [None]
    assert calls == [1, 1]


def test_same_text_under_another_gold_is_another_verdict(verifier):
    assert verifier(completions=[r"\boxed{4}"] * 3, solution=["4", 4, "5"]) == [1.0, 1.0, 0.0]


def test_rules_are_passed_on():
    with OutcomeVerifier(rules=MathRules(float_tolerance=0.01)) as verifier:
        assert verifier(completions=[r"\boxed{3.14}"], solution=["3.1416"]) == [1.0]


def test_threads(verifier):
    results = []

    def check(n):
        results.append(verifier(completions=[f"\\boxed{{x+{n}}}"] * 3, solution=[f"{n}+x", "x", f"{n + 1}+x"]))

    threads = [threading.Thread(target=check, args=(n,)) for n in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert results == [[1.0, 0.0, 0.0]] * 8


def test_a_hanging_answer_costs_itself_only(verifier):
    verifier(completions=[r"\boxed{x+x}"], solution=["2x"])
    scores = verifier(completions=[HANG, r"\boxed{y+y}", r"\boxed{y}"], solution=["x", "2y", "2y"])
    assert scores == [0.0, 1.0, 0.0]


def _in_child(verifier, connection):
    verifier(completions=[r"\boxed{x+x}"], solution=["2x"])
    found = verifier.verdicts([HANG, r"\boxed{z+z}"], solution=["x", "2z"])
    connection.send([verdict.reason for verdict in found])
    verifier.close()


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_in_a_child_process(verifier, method):
    verifier(completions=[r"\boxed{x+x}"], solution=["2x"])
    context = multiprocessing.get_context(method)
    here, there = context.Pipe()
    child = context.Process(target=_in_child, args=(OutcomeVerifier() if method == "spawn" else verifier, there))
    child.start()
    assert here.poll(90)
    reasons = here.recv()
    child.join(10)
    assert reasons == ["timeout", "match"]
    assert verifier(completions=[r"\boxed{w+w}"], solution=["2w"]) == [1.0]


def test_pickles_without_processes_and_verdicts(verifier):
    verifier(completions=[r"\boxed{7}"], solution=["7"])
    copy = pickle.loads(pickle.dumps(verifier))
    assert len(copy.cache) == 0
    assert copy(completions=[r"\boxed{7}"], solution=["7"]) == [1.0]
    copy.close()


def test_start_returns_at_once_and_close_may_be_called_twice():
    verifier = OutcomeVerifier()
    started = time.monotonic()
    verifier.start(("math", "gym"))
    assert time.monotonic() - started < 15
    verifier.close()
    verifier.close()


def test_nothing_heavy_is_imported_here():
    script = (
        "import sys, trl_rlsp.rewards.outcome, trl_rlsp.text._completion, trl_rlsp.verification.gym.verifier\n"
        "print([m for m in ('torch', 'sympy', 'math_verify', 'reasoning_gym', 'numpy', 'trl') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout == "[]\n"
