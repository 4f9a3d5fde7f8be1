"""Attacks on reasoning-gym's scorers: code in an answer, and one answer for every row."""

import json

import pytest

from trl_rlsp.rewards import OutcomeVerifier

reasoning_gym = pytest.importorskip("reasoning_gym", reason="reasoning-gym is an optional dependency")
pytestmark = pytest.mark.red_team
LITERALS = ["string_insertion", "spiral_matrix", "binary_matrix", "n_queens", "number_sorting"]
ALGEBRA = ["polynomial_multiplication", "simple_integration", "intermediate_integration"]
EVALUATING = [*LITERALS, *ALGEBRA, "countdown", "puzzle24"]
# Rewrites the scorer: were it run, this and every later answer of the worker would be right.
TAKE_OVER = (
    "import sys\nw = sys.modules['trl_rlsp.verification.gym._worker']\n"
    "w.score.__code__ = (lambda item: True).__code__\n"
    "w._full_score.__code__ = (lambda dataset, entry, answer: True).__code__"
)


def wide(text):
    """Full-width letters, which Python's parser takes for the plain ones."""
    return "".join(chr(ord(char) + 0xFEE0) for char in text)


CALLS = [
    f"exec(bytes.fromhex('{TAKE_OVER.encode().hex()}'))",
    f'{wide("exec")}({wide("bytes")}.{wide("fromhex")}("{TAKE_OVER.encode().hex()}")) #·',
    f'(exec#·\n(b"".{wide("fromhex")}("{TAKE_OVER.encode().hex()}")))',
    f'exec #\n(bytes . fromhex("{TAKE_OVER.encode().hex()}"))',
    f"[exec][0](bytes.fromhex('{TAKE_OVER.encode().hex()}'))",
    f"sin(exec(bytes.fromhex('{TAKE_OVER.encode().hex()}')))",
]


@pytest.fixture(scope="module")
def verifier():
    with OutcomeVerifier(workers=2) as running:
        yield running


def row(name, seed):
    return json.dumps({"name": name, "entry": reasoning_gym.create_dataset(name, size=1, seed=seed)[0]}, default=str)


def scores(verifier, tasks, answers):
    completions = [f"<answer>{answer}</answer>" for answer in answers]
    return [verdict.score for verdict in verifier.verdicts(completions, task=tasks)]


@pytest.mark.parametrize("name", EVALUATING)
def test_code_is_not_run_and_nothing_persists(verifier, name):
    attacked = scores(verifier, [row(name, 3)] * len(CALLS), CALLS)
    later = scores(
        verifier, [row("family_relationships", 9), row(name, 11), row("countdown", 12)], ["plainly wrong"] * 3
    )
    assert attacked == [0.0] * len(CALLS)
    assert later == [0.0] * 3


@pytest.mark.parametrize(
    ("name", "answer"),
    [("puzzle24", "6*4*1*1"), ("complex_arithmetic", "nan"), ("coin_flip", "0"), ("coin_flip", "0.0001"),
     ("number_sorting", "[NaN, NaN, NaN]"), ("complex_arithmetic", "infj"), ("fraction_simplification", "inf/inf")],
)  # fmt: skip
def test_a_constant_is_not_paid(verifier, name, answer):
    dataset = reasoning_gym.create_dataset(name, size=20, seed=123)
    entries = [dataset[i] for i in range(20)]
    tasks = [json.dumps({"name": name, "entry": entry}, default=str) for entry in entries if entry["answer"] != answer]
    assert 1.0 not in scores(verifier, tasks, [answer] * len(tasks))


@pytest.mark.parametrize(
    ("answer", "paid"),
    [("['-1.5', '2.0', '10.25']", 1.0), ("[-1.50, 2, 10.25]", 1.0), ("['-1.5', '2.0', '10.2']", 0.0),
     ("['-1.', '2.0', '10.25']", 0.0), ("['-1.5', '2.0', '1025e-2']", 0.0)],
)  # fmt: skip
def test_sorted_numbers_are_those_of_the_row(verifier, answer, paid):
    """The scorer alone lets each be off by 1."""
    entry = {"question": "Sort 2.0, 10.25, -1.5", "answer": "['-1.5', '2.0', '10.25']"}
    entry["metadata"] = {"direction": "ascending", "sorted_list": ["-1.5", "2.0", "10.25"]}
    assert scores(verifier, [json.dumps({"name": "number_sorting", "entry": entry})], [answer]) == [paid]


@pytest.mark.parametrize(("answer", "paid"), [("0.0004", 1.0), ("4e-4", 1.0), ("0", 0.0), ("0.001", 0.0)])
def test_a_small_decimal_is_not_met_by_zero(verifier, answer, paid):
    """The scorer alone lets any answer be off by 0.001."""
    entry = {"question": "0.02 * 0.02 = ?", "answer": "0.0004", "metadata": {}}
    assert scores(verifier, [json.dumps({"name": "decimal_arithmetic", "entry": entry})], [answer]) == [paid]
