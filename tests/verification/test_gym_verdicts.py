"""reasoning-gym verdicts by the tasks' own scorers, with answers that try to take them over."""

import json
import time

import pytest

from trl_rlsp.verification.gym.verifier import (
    EVALUATING_TASKS,
    HANDLER,
    GymItem,
    plain_answer,
    refused,
    task_name,
    verify_gym,
)
from trl_rlsp.verification.workers.pool import WorkerPool

reasoning_gym = pytest.importorskip("reasoning_gym", reason="reasoning-gym is an optional dependency")


@pytest.fixture(scope="module")
def pool():
    with WorkerPool(HANDLER, workers=2) as pool:
        yield pool


def entries(name, count=3, **options):
    dataset = reasoning_gym.create_dataset(name, size=count, seed=5, **options)
    return [dataset[i] for i in range(count)]


def task(name, entry):
    return json.dumps({"name": name, "entry": entry})


def verdicts(pool, pairs, **options):
    return verify_gym([GymItem(*pair) for pair in pairs], pool, **({"limit": 5.0} | options))


COUNTDOWN = {
    "question": "Using 8, 1, 9, make 63.",
    "answer": "(8 - 1) * 9",
    "metadata": {"numbers": [8, 1, 9], "target": 63},
}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (r"\boxed{(8 - 1) * 9}", "match"),
        (r"\boxed{ ( 8 - 1 ) * 9 }", "match"),
        (r"\boxed{(8 - 1) \times 9}", "match"),
        (r"\boxed{9 \cdot \left(8 - 1\right)}", "match"),
        ("<answer>9*(8-1)</answer>", "match"),
        (r"\boxed{8 - 1 + 9}", "mismatch"),
        (r"\boxed{63}", "mismatch"),
        (r"\boxed{7 * 9}", "mismatch"),
        (r"\boxed{(8 - 1) * 9 * 1}", "mismatch"),
        (r"\boxed{)(}", "mismatch"),
        ("(8 - 1) * 9", "no_answer"),
        (r"\boxed{8 - 1} \boxed{(8 - 1) * 9}", "several_answers"),
    ],
)
def test_countdown(pool, answer, reason):
    assert verdicts(pool, [(task("countdown", COUNTDOWN), answer)])[0].reason == reason


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
    "eval(input())",
]


@pytest.mark.parametrize("answer", CODE)
@pytest.mark.parametrize("name", ["countdown", "n_queens"])
def test_code_never_reaches_a_scorer_that_would_run_it(answer, name):
    assert refused(name, answer)
    assert not refused("letter_counting", answer)


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("countdown", "(8 - 1) * 9"),
        ("countdown", r"(8 - 1) \times 9"),
        ("polynomial_multiplication", "16*x**2 - 8*x*(y + 1)"),
        ("simple_integration", "-3*sin(x)/5 + log(x) + C"),
        ("string_insertion", "['A', 'B', 'DBEA']"),
        ("spiral_matrix", "1 2 3 6 9 8 7 4 5"),
        ("binary_matrix", "[[0, 1], [1, 0]]"),
    ],
)
def test_plain_answers_are_not_refused(name, answer):
    assert name in EVALUATING_TASKS
    assert not refused(name, answer)


def test_a_refused_answer_is_wrong_and_the_next_one_right(pool):
    column = task("countdown", COUNTDOWN)
    found = verdicts(pool, [(column, f"<answer>{answer}</answer>") for answer in [*CODE, "(8 - 1) * 9"]])
    assert [verdict.score for verdict in found] == [0.0] * len(CODE) + [1.0]


@pytest.mark.parametrize(
    "column",
    [
        "",
        "not json",
        "[]",
        "7",
        json.dumps({"name": "no_such_task", "entry": COUNTDOWN}),
        json.dumps({"name": "countdown"}),
        json.dumps({"name": "countdown", "entry": {"question": "?", "answer": "1", "metadata": {}}}),
        json.dumps({"name": "countdown", "entry": COUNTDOWN | {"answer": "8 + 1"}}),  # its own answer is wrong
    ],
)
def test_a_row_that_cannot_be_scored_is_none(pool, column):
    found = verdicts(pool, [(column, r"\boxed{1}"), (task("countdown", COUNTDOWN), r"\boxed{(8-1)*9}")])
    assert [verdict.score for verdict in found] == [None, 1.0]
    assert found[0].reason == "scorer_error"


def test_a_scorer_that_pays_for_nonsense_is_not_used(pool):
    entry = entries("game_of_life_halting", 1)[0]
    assert verdicts(pool, [(task("game_of_life_halting", entry), "<answer>True</answer>")])[0].reason == "scorer_error"


def test_slow_answers_are_stopped(pool):
    column = task("puzzle24", entries("puzzle24", 1)[0])
    verdicts(pool, [(column, r"\boxed{1}")])
    started = time.monotonic()
    hanging = "+".join(["factorial" + "(9" * 0 + "9!!!!!"] * 3)
    found = verdicts(pool, [(column, f"<answer>{hanging}</answer>")], limit=1.0)
    assert time.monotonic() - started < 1.5
    assert found[0].score == 0.0


def test_equal_pairs_are_scored_once(pool, monkeypatch):
    sent = []
    run = pool.run
    monkeypatch.setattr(pool, "run", lambda items, **options: sent.extend(items) or run(items, **options))
    column = task("countdown", COUNTDOWN)
    found = verdicts(pool, [(column, r"\boxed{(8-1)*9}"), (column, r"no \boxed{8+1}")] * 20)
    assert [verdict.score for verdict in found] == [1.0, 0.0] * 20
    assert len(sent) == 2


@pytest.mark.parametrize(
    "name", ["countdown", "chain_sum", "arc_agi", "string_insertion", "fraction_simplification", "basic_arithmetic"]
)
def test_the_own_answer_of_a_task_is_right_and_nonsense_is_not(pool, name):
    items = [(task(name, entry), f"<answer>{entry['answer']}</answer>") for entry in entries(name)]
    nonsense = [(column, "<answer>~</answer>") for column, _ in items]
    assert [verdict.reason for verdict in verdicts(pool, items)] == ["match"] * 3
    assert [verdict.reason for verdict in verdicts(pool, nonsense)] == ["mismatch"] * 3


# these have no answer of their own, or are refused for a reason said elsewhere
WITHOUT_ANSWER = {"boxnet", "graph_color", "propositional_logic", "rubiks_cube", "rush_hour"}
EXCEPTIONS = {"composite", "game_of_life_halting", "intermediate_integration"} | WITHOUT_ANSWER


@pytest.mark.slow
def test_all_tasks(pool):
    from reasoning_gym.factory import DATASETS

    wrong = {}
    for name in sorted(set(DATASETS) - EXCEPTIONS):
        items = [(task(name, entry), f"<answer>{entry['answer']}</answer>") for entry in entries(name)]
        reasons = [verdict.reason for verdict in verdicts(pool, items)]
        if reasons != ["match"] * 3:
            wrong[name] = reasons
    assert wrong == {}


def test_small_helpers():
    assert task_name(json.dumps({"name": "countdown"})) == "countdown"
    assert plain_answer(r"\text{yes}") == "yes"
    assert plain_answer(r"$\frac{1}{2}$") == "(1)/(2)"
    assert plain_answer("3 × 4") == "3 * 4"
