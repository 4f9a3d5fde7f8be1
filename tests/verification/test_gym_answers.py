"""Which text may reach the scorer of a generated task."""

import json

import pytest

from trl_rlsp.verification.gym.verifier import EVALUATING_TASKS, non_finite, plain_answer, spellings

FOUR = {"answer": "6*4*1*1", "metadata": {"numbers": [6, 4, 1, 1], "target": 24}}
PAYLOAD = "exec(bytes.fromhex('00'))"
WIDE = (
    "".join(chr(ord(char) + 0xFEE0) for char in "exec") + "(" + "".join(chr(ord(c) + 0xFEE0) for c in "bytes") + "())"
)
CODE = [
    "exit()",
    "__import__('os')._exit(0)",
    "().__class__.__base__.__subclasses__()",
    "[setattr(x, 'y', 1) for x in (1,)]",
    "sympify('8*9')",
    "S('ex'+'it()')",
    "(exit)(0)",
    "[exit][0](0)",
    "{1: exit}[1](0)",
    "'%s'.format(8)",
    "8 .real",
    "(lambda: 63)()",
    "(x := 63)",
    "9**9**9**9",
    "9^(99999)",
    "9**99999",
    "eval(input())",
    PAYLOAD,
    WIDE,
    WIDE + " #·",
    "(exec#·\n(b''))",
    "exec #\n('1')",
    " exec('1')",
    "\texec('1')",
    "exec\\\n('1')",
    "1 if exec('1') else 2",
    "f'{exec(1)}'",
    "sin(exec('1'))",
    "sin(x=1)",
    "sin(*x)",
    "(" * 900 + "1" + ")" * 900,
    "1\x00",
]


@pytest.mark.parametrize("task", sorted(EVALUATING_TASKS))
def test_code_passes_to_no_scorer_that_would_run_it(task):
    assert [answer for answer in CODE if spellings(task, FOUR, answer)] == []
    assert spellings("letter_counting", FOUR, PAYLOAD) == [PAYLOAD]


def test_endless_nesting_is_refused_in_bounded_time():
    assert spellings("countdown", FOUR, "-" * 1990 + "1") == []
    assert spellings("simple_integration", FOUR, "-" * 1990 + "1") == []


@pytest.mark.parametrize(
    ("task", "answer", "sent"),
    [
        ("puzzle24", "6*4*1*1", ["6*4*1*1"]),
        ("puzzle24", r"6 \times 4 \times 1 \times 1", ["6 * 4 * 1 * 1"]),
        ("puzzle24", "(6*4)/(1*1)", ["(6*4)/(1*1)"]),
        ("puzzle24", "6*4*1", []),
        ("puzzle24", "4*6*2*1", []),
        ("puzzle24", "6 + 4 + 1 + 1", []),
        ("puzzle24", "6*4*1/(1 - 1)", []),
        ("puzzle24", "6*4*1**1", []),
        ("countdown", "6*4/1 - 1", []),
        ("polynomial_multiplication", "16*x**2 - 8*x*(y + 1) + z**3 + z**4", None),
        ("simple_integration", "-3*sin(x)/5 + log(x) + C", None),
        ("intermediate_integration", "2*(2 - 8*X)**(3/2)/3 + C", None),
        ("string_insertion", "['A', 'B', 'DBEA']", None),
        ("spiral_matrix", "1 2 3 6 9 8 7 4 5", None),
        ("binary_matrix", "[[0, 1], [-1, 0]]", None),
        ("n_queens", "_ Q _ _\n_ _ _ Q", None),
    ],
)
def test_plain_answers(task, answer, sent):
    assert spellings(task, FOUR, answer) == ([answer] if sent is None else sent)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [("nan", True), ("[NaN, NaN]", True), ("ｎａｎ", True), ("-Infinity", True), ("1e999", True), ("2 + infj", True),
     ("sNaN123", True), ("1_0e9_99", True), (".5e400", True), ("１e999", True),
     ("banana", False), ("information", False), ("1e300", False), ("finance", False)],
)  # fmt: skip
def test_nan_and_infinity_reach_no_scorer(answer, expected):
    assert non_finite(answer) is expected
    assert spellings("letter_counting", FOUR, answer) == ([] if expected else [answer])
    assert spellings("base_conversion", {"answer": "inf", "metadata": {}}, answer) == [answer]  # 24171 in base 36


@pytest.mark.parametrize(
    ("answer", "passes"),
    [("0.00009765625", True), ("0.0000976", True), ("1/10240", True), ("9.77e-5", True),
     ("0", False), ("0.0001", False)],
)  # fmt: skip
def test_a_small_probability_is_not_nothing(answer, passes):
    entry = {"answer": "0.00009765625", "metadata": {}}
    assert spellings("coin_flip", entry, answer) == ([answer] if passes else [])


def test_plain_spelling():
    assert plain_answer(r"\text{yes}") == "yes"
    assert plain_answer(r"$\frac{1}{2}$") == "(1)/(2)"
    assert plain_answer("3 × 4") == "3 * 4"
    assert json.dumps(spellings("chain_sum", FOUR, "3 × 4")) == json.dumps(["3 × 4", "3 * 4"])


@pytest.mark.parametrize(
    ("answer", "passes"), [("['-87.0', '-48.0']", True), ("[-87, -48.00]", True), ("[-87, -48.5]", False)]
)
def test_sorted_numbers_pass_as_those_of_the_row(answer, passes):
    entry = {"answer": "['-87.0', '-48.0']", "metadata": {}}
    assert spellings("number_sorting", entry, answer) == ([answer] if passes else [])
