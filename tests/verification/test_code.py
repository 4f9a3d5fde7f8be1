"""Verdicts on programs, with real processes."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable

import pytest
from sandbox_programs import (
    CASES,
    HOSTILE,
    SUM_PROGRAM,
    SUM_TESTS,
    completion,
    row_tests,
)

from trl_rlsp.errors import ConfigError, WorkerError
from trl_rlsp.verification import Limits, RunResult, Verdict, available_backend, verify_code

needs_sandbox = pytest.mark.skipif(available_backend() is None, reason="no sandbox on this machine")


@needs_sandbox
def test_every_case_of_the_corpus_has_the_expected_verdict() -> None:
    cases = CASES["cases"]
    verdicts = verify_code([(completion(case["code"]), row_tests(case["kind"])) for case in cases])
    wrong = [
        (case["name"], verdict)
        for case, verdict in zip(cases, verdicts, strict=True)
        if verdict.score != case["expected"]
    ]
    assert wrong == []


@needs_sandbox
def test_hostile_programs_score_nothing_and_harm_no_other() -> None:
    # The right program stands between the hostile ones and must be right each time.
    right = (completion(SUM_PROGRAM), SUM_TESTS)
    items = [item for program in HOSTILE.values() for item in ((completion(program), SUM_TESTS), right)]
    verdicts = verify_code(items, time_limit=1.0, all_or_nothing=True)
    assert dict(zip(HOSTILE, [verdict.score for verdict in verdicts[::2]], strict=True)) == dict.fromkeys(HOSTILE, 0.0)
    assert verdicts[1::2] == [Verdict(1.0, "match")] * len(HOSTILE)


@needs_sandbox
def test_share_of_tests_is_the_score() -> None:
    always_3 = completion("print(3)")  # right on the first of three tests
    assert verify_code([(always_3, SUM_TESTS)]) == [Verdict(1 / 3, "mismatch")]
    assert verify_code([(always_3, SUM_TESTS)], all_or_nothing=True) == [Verdict(0.0, "mismatch")]


@needs_sandbox
@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("while True: pass", "timeout"),
        ("import os; os.abort()", "worker_crash"),
        ("raise ValueError", "mismatch"),
        ("x = bytearray(200 << 20); print(3)", "mismatch"),
    ],
)
def test_reasons(program: str, reason: str) -> None:
    verdict = verify_code([(completion(program), SUM_TESTS[:1])], time_limit=0.5, memory_mb=100)
    assert verdict == [Verdict(0.0, reason)]  # type: ignore[arg-type]


@needs_sandbox
def test_tests_shown_in_the_prompt_do_not_count() -> None:
    # The first test is the example of the statement, so "always 3" passes none of the two that count.
    prompt = "Add two numbers.\nExample input:\n1 2\nExample output:\n3\n"
    program = completion("print(3)")
    assert verify_code([(program, SUM_TESTS)], prompts=[prompt]) == [Verdict(0.0, "mismatch")]
    assert verify_code([(program, SUM_TESTS[:1])], prompts=[prompt]) == [Verdict(1.0, "match")]  # but there is no other


@needs_sandbox
def test_a_function_is_called_whatever_it_prints_and_whatever_else_runs() -> None:
    program = "import sys\nprint('noise')\ndef add_up(nums):\n    print(7)\n    return sum(nums)\n"
    program += "if __name__ == '__main__':\n    sys.exit(1)\n"
    assert verify_code([(completion(program), row_tests("function"))]) == [Verdict(1.0, "match")]


@needs_sandbox
@pytest.mark.parametrize(
    ("body", "output", "right"),
    [
        ("(1, [2])", [1, [2]], True),
        ("{1: 'a'}", {"1": "a"}, True),
        ("0.1 + 0.2", 0.3, True),
        ("1e-9", 0.0, False),
        ("True", 1, True),
        ("'6'", 6, False),
        ("[6]", 6, False),
        ("None", None, True),
        ("{3, 1, 2}", [1, 2, 3], False),
        ("float('nan')", 1.0, False),
        ("10 ** 400", 1.0, False),
        ("iter([1])", [1], False),
        ("[[]] * 10 ** 6", [], False),
        ("(lambda f: f(f))(lambda f: [f])", [], False),
    ],
)
def test_returned_values_are_compared_as_json(body: str, output: object, right: bool) -> None:
    tests = [{"function": "f", "arguments": [], "output": output}]
    verdict = verify_code([(completion(f"def f():\n    return {body}"), tests)])
    assert verdict[0].score == float(right)


@needs_sandbox
def test_methods_that_lie_are_not_asked() -> None:
    program = """
class Six(int):
    def __eq__(self, other): return True
    def __repr__(self): return "7"
    __str__ = __repr__
class Items(list):
    def __iter__(self): return iter([7])
def f(): return Items([Six(6)])
"""
    for output, right in (([6], 1.0), ([7], 0.0)):
        tests = [{"function": "f", "arguments": [], "output": output}]
        assert verify_code([(completion(program), tests)])[0].score == right


@needs_sandbox
def test_arguments_keep_their_python_types_and_may_be_keywords() -> None:
    program = "def f(pair, table=None):\n    return [type(pair).__name__, (table or {}).get(1)]"
    tests = ["assert f((1, 2), {1: 5}) == ['tuple', 5]", "assert f(pair=[1]) == ['list', None]"]
    assert verify_code([(completion(program), tests)]) == [Verdict(1.0, "match")]


@needs_sandbox
def test_method_of_a_solution_class() -> None:
    program = "class Solution:\n    def twice(self, x):\n        return 2 * x"
    tests = json.dumps({"fn_name": "twice", "inputs": [[2], [3]], "outputs": [[4], [6]]})
    assert verify_code([(completion(program), tests)]) == [Verdict(1.0, "match")]


HALF = {
    "tolerance": "assert abs(half(1) - 0.5) < 1e-6",
    "isclose": "assert math.isclose(half(3), 1.5)",
    "reduced": "assert sorted([half(3), half(1)])[0] == 0.5",
    "nested": "assert half(half(4)) == 1",
    "loop": "import random\nfor _ in range(50):\n    x = random.randint(2, 9)\n    assert half(2 * x) == x",
    "check": "def check(candidate):\n    for x in range(3):\n        assert candidate(2 * x) == x\ncheck(half)",
    "truth": "assert half(1) and not half(0)",
    "several": "for x in range(9):\n    assert half(x) + half(x) == x",
}


@needs_sandbox
@pytest.mark.parametrize("name", HALF)
def test_statements_hold_as_they_are_written(name: str) -> None:
    right, wrong = "def half(x):\n    return x / 2", "def half(x):\n    return x // 2 + 1"
    items = [(completion(program), HALF[name]) for program in (right, wrong)]
    assert verify_code(items) == [Verdict(1.0, "match"), Verdict(0.0, "mismatch")]


_LIAR = """
class Liar(float):
    def _true(self, *others): return True
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __bool__ = __contains__ = _true
    def __abs__(self): return 0.0
    __sub__ = __rsub__ = __add__ = __radd__ = __mul__ = __abs__
    def __float__(self): return 0.5
    def __hash__(self): return 0
"""
_FRAME = """
import os, sys
def half(x):
    frame = sys._getframe(1)
    while "frame_fd" not in frame.f_locals: frame = frame.f_back
    start = "\\n" + frame.f_locals["marker"]
    os.write(frame.f_locals["frame_fd"], (start + '%s\\n').encode())
    os._exit(0)
"""
CHEATS = {
    "a number that lies": _LIAR + "def half(x): return Liar(7)",
    "an object that lies": _LIAR.replace("(float)", "") + "def half(x): return Liar()",
    "a list that lies": "class L(list):\n    def __iter__(self): return iter([1])\n    __len__ = lambda s: 1\n"
    "def half(x): return L()",
    "patched builtins": "import builtins, math, random\nbuiltins.abs = builtins.sorted = lambda *a: 0\n"
    "math.isclose = lambda *a: True\nrandom.randint = lambda *a: 0\ndef half(x): return 7.25",
    "the judge's frame": _FRAME % '{"passed": true}',
    "a list of nothing": _FRAME % "[]",
    "a number in the place of a list": _FRAME % "5",
    "no data": _FRAME % '[{"set":[[1]]}]',
    "no data either": _FRAME % '[{"what":[],"else":[]}]',
    "an exception of the judge": "def half(x): raise NameError",
    "no exception": _FRAME % '[{"raise":["SystemExit"]}]',
    "an assertion": "def half(x): assert False",
    "leaving": "import os\ndef half(x): os._exit(0)",
    "leaving at the start": "import sys\nsys.exit(0)",
    "nothing to call": "print('ok')",
    "nan": "def half(x): return float('nan')",
    "another answer each time": "import os\ndef half(x): return int.from_bytes(os.urandom(4), 'big')",
    "nested without end": _FRAME % ("[" * 960 + "]" * 960),
    "endless": "import itertools\ndef half(x): return itertools.count()",
}


@needs_sandbox
@pytest.mark.parametrize("name", CHEATS)
def test_no_program_passes_statements_without_the_answer(name: str) -> None:
    items = [(completion(CHEATS[name]), test) for test in HALF.values()]
    found = {key: verdict.score for key, verdict in zip(HALF, verify_code(items, time_limit=2.0), strict=True)}
    assert found == dict.fromkeys(HALF, 0.0)


@needs_sandbox
def test_an_equal_value_of_another_type_is_what_python_says() -> None:
    program = "def f(x):\n    return [1, 2]"
    tests = [
        "assert f(0) == [1, 2]",
        "assert f(0) == (1, 2)",
        "assert f(0)",
        "assert f(0) == [1.0, True + 1]",
        "assert f(0) is True",
    ]
    items = [(completion(program), [test]) for test in tests]
    assert [verdict.score for verdict in verify_code(items)] == [1.0, 0.0, 1.0, 1.0, 0.0]


@needs_sandbox
def test_truth_of_any_value() -> None:
    items = []
    for value in (
        "1",
        "'x'",
        "[0]",
        "(0,)",
        "{0}",
        "{0: 0}",
        "iter(())",
        "1j",
        "0",
        "''",
        "[]",
        "()",
        "set()",
        "{}",
        "0j",
        "None",
    ):
        items += [(completion(f"def f():\n    return {value}"), [test]) for test in ("assert f()", "assert not f()")]
    assert [verdict.score for verdict in verify_code(items)] == [1.0, 0.0] * 8 + [0.0, 1.0] * 8


@needs_sandbox
def test_what_cannot_be_called_or_judged_has_no_score() -> None:
    check = "def check(candidate):\n    assert candidate(1) == 2\n"
    lines = [check, "import no_such_module\nfor i in range(2):\n    assert f(i) == i", "assert f(lambda x: x) == 1"]
    items = [(completion("def f(x):\n    return x"), tests) for tests in lines]
    assert verify_code(items) == [Verdict(None, "gold_unparseable")] * 3
    assert verify_code([(completion("def f(x):\n    return 2"), check)], prompts=["def f(x):"]) == [
        Verdict(1.0, "match")
    ]


@needs_sandbox
def test_a_class_solution_finds_what_leetcode_imports() -> None:
    program = "class Solution:\n    def f(self, xs: List[int]) -> int:\n        q = deque(xs)\n"
    program += "        return pow(q.popleft(), 2, 5) + gcd(4, 6) + Counter(xs)[4] + len(list(accumulate(xs)))"
    tests = "def check(candidate):\n    assert candidate(xs = [4]) == 5\n\ncheck(Solution().f)"  # 16 % 5 + 2 + 1 + 1
    assert verify_code([(completion(program), tests)]) == [Verdict(1.0, "match")]
    # Benchmarks of plain functions put no imports before them.
    plain = completion("def f(xs: List[int]):\n    return 1")
    assert verify_code([(plain, "assert f([4]) == 1")]) == [Verdict(0.0, "mismatch")]


@needs_sandbox
@pytest.mark.parametrize(("frame", "score"), [("[6]", 1.0), ("[7]", 0.0), ("6", 0.0), ("[6,6]", 0.0), ('{"6":6}', 0.0)])
def test_a_frame_written_by_the_program_is_worth_what_it_says(frame: str, score: float) -> None:
    # It can find the marker in the harness's frame, but knows no expected value, and never loses the verdict.
    tests = [{"function": "f", "arguments": [], "output": 6}]
    program = _FRAME.replace("half(x)", "f()") % frame
    assert verify_code([(completion(program), tests)])[0].score == score


@needs_sandbox
def test_no_program_no_tests() -> None:
    assert (
        verify_code([(None, SUM_TESTS), ("no code", SUM_TESTS), ("<think>```python\nprint(3)\n```", SUM_TESTS)])
        == [Verdict(0.0, "no_answer")] * 3
    )
    unusable: list[list[object]] = [[], [{"input": "1"}], ["assert f(x) == 1"]]
    items = [(completion(SUM_PROGRAM), tests) for tests in unusable]
    assert verify_code(items) == [Verdict(None, "gold_unparseable")] * 3


@needs_sandbox
def test_equal_programs_run_once_and_each_gets_the_verdict() -> None:
    runs = []

    def sandbox(program: str, stdin: str, limits: Limits) -> RunResult:
        runs.append(stdin)
        return RunResult("finished", b"3\n")

    item = (completion("print(3)"), SUM_TESTS)
    assert verify_code([item] * 4, sandbox=sandbox) == [Verdict(1 / 3, "mismatch")] * 4
    assert sorted(runs) == sorted(test["input"] for test in SUM_TESTS)


def test_a_sandbox_that_fails_gives_no_score_and_the_others_theirs(caplog: pytest.LogCaptureFixture) -> None:
    def broken(program: str, stdin: str, limits: Limits) -> RunResult:
        if "fails" in program:
            raise WorkerError("the helper process cannot be started")
        return RunResult("finished", b"3")

    items = [(completion("print(3) # fails"), SUM_TESTS[:1]), (completion("print(3)"), SUM_TESTS[:1])]
    assert verify_code(items, sandbox=broken) == [Verdict(None, "scorer_error"), Verdict(1.0, "match")]
    assert "1 of 2 programs have no score" in caplog.text


def test_a_sandbox_that_fails_once_is_asked_again() -> None:
    # Another program may have used up what it needed, such as the user's processes.
    asked = []

    def flaky(program: str, stdin: str, limits: Limits) -> RunResult:
        asked.append(stdin)
        if len(asked) == 1:
            raise WorkerError("the helper process cannot be started")
        return RunResult("finished", b"3")

    assert verify_code([(completion("print(3)"), SUM_TESTS[:1])], sandbox=flaky) == [Verdict(1.0, "match")]


def test_programs_run_where_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    items = [(completion(f"print(3) # {i}"), SUM_TESTS[:1]) for i in range(3)]
    verdicts = verify_code(items, sandbox=lambda *_: RunResult("finished", b"3"), workers=4)
    assert verdicts == [Verdict(1.0, "match")] * 3


def test_the_end_of_thinking_is_a_setting() -> None:
    items = [
        ("```python\nprint(0)\n```\n<end>\n```python\nprint(3)\n```", SUM_TESTS[:1]),
        (completion("pass"), SUM_TESTS),
    ]
    verdicts = verify_code(
        items, sandbox=lambda *_: RunResult("finished", b"3"), end_of_thinking="<end>", thinking_required=True
    )
    assert verdicts == [Verdict(1.0, "match"), Verdict(0.0, "no_answer")]


def test_a_remote_sandbox_gets_program_input_and_limits_but_no_expected_output() -> None:
    seen: list[tuple[str, str, Limits]] = []

    def remote(program: str, stdin: str, limits: Limits) -> RunResult:
        seen.append((program, stdin, limits))
        return RunResult("finished", b"secret-output\n")

    tests = [{"input": "in", "output": "secret-output"}]
    assert verify_code([(completion("pass"), tests)], sandbox=remote, time_limit=2.5, memory_mb=64)[0].score == 1.0
    program, stdin, limits = seen[0]
    assert (program, stdin, limits.seconds, limits.memory_mb) == ("pass\n", "in", 2.5, 64)


@needs_sandbox
def test_from_another_thread() -> None:
    found: list[Verdict] = []
    thread = threading.Thread(target=lambda: found.extend(verify_code([(completion(SUM_PROGRAM), SUM_TESTS)])))
    thread.start()
    thread.join()
    assert found == [Verdict(1.0, "match")]
    # The fork servers that thread started still serve after it has ended.
    assert verify_code([(completion(SUM_PROGRAM), SUM_TESTS)]) == [Verdict(1.0, "match")]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: verify_code([], prompts=["a"]), "one prompt per item"),
        (lambda: verify_code([], time_limit=0), "time_limit must be more than 0"),
        (lambda: verify_code([], batch_seconds=0), "batch_seconds must be more than 0"),
        (lambda: verify_code([], memory_mb=0), "memory_mb must be more than 0, got 0"),
        (lambda: verify_code([], workers=0), "workers must be more than 0, got 0"),
    ],
)
def test_bad_arguments(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        call()


def test_nothing_to_do() -> None:
    assert verify_code([]) == []
