"""reasoning-gym verdicts by the tasks' own scorers, with answers that try to take them over."""

import json

import pytest

from trl_rlsp.verification import WorkerPool
from trl_rlsp.verification.gym import verifier
from trl_rlsp.verification.gym.verifier import GYM_HANDLER, verify_gym

reasoning_gym = pytest.importorskip("reasoning_gym", reason="reasoning-gym is an optional dependency")
worker = pytest.importorskip("trl_rlsp.verification.gym._worker")


@pytest.fixture(scope="module")
def pool():
    with WorkerPool(GYM_HANDLER, workers=2) as pool:
        yield pool


def entries(name, count=3, **options):
    dataset = reasoning_gym.create_dataset(name, size=count, seed=5, **options)
    return [dataset[i] for i in range(count)]


def task(name, entry):
    return json.dumps({"name": name, "entry": entry})


def verdicts(pool, pairs, **options):
    return verify_gym(pairs, pool, **({"limit": 5.0} | options))


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
    "{1: exit}[1](0)",
    "(lambda: 63)()",
    "9**9**9**9",
    "(exec#\n(b''))",
    "ｅｘｅｃ('1')",
]


def test_a_refused_answer_is_wrong_and_the_next_one_right(pool):
    column = task("countdown", COUNTDOWN)
    found = verdicts(pool, [(column, f"<answer>{answer}</answer>") for answer in [*CODE, "(8 - 1) * 9"]])
    assert [verdict.score for verdict in found] == [0.0] * len(CODE) + [1.0]


def test_nothing_an_answer_does_reaches_the_next_one(pool):
    row = task("countdown", COUNTDOWN)
    verdicts(pool, [(row, r"\boxed{1}")])
    take_over = {"row": "{}", "tuples": False, "answers": []}  # a scorer that raises leaves its worker broken
    pool.run([take_over], limit=5.0, fresh=True)
    pool.run([{"row": '{"name": "no_such_task"}'}] * 3, limit=5.0, fresh=True)
    assert not pool._idle  # none of them serves twice


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


def test_a_scorer_that_pays_for_nonsense_is_not_used(pool, caplog):
    verifier._warn_once.cache_clear()
    verifier._probes.clear()
    rows = [(task("game_of_life_halting", entry), "<answer>True</answer>") for entry in entries("game_of_life_halting")]
    assert [verdict.reason for verdict in verdicts(pool, rows + rows)] == ["scorer_error"] * 6
    assert [record.getMessage() for record in caplog.records] == [
        "rows of the reasoning-gym task 'game_of_life_halting' have no score: "
        "its scorer accepts '~?~' on 6 of 6 rows with a different answer"
    ]


@pytest.mark.parametrize(
    ("name", "answer"),
    [("puzzle24", "6*4*1*1"), ("complex_arithmetic", "nan"), ("coin_flip", "0"), ("number_sorting", "[NaN, NaN]")],
)
def test_one_constant_answer_is_not_paid_on_every_row(pool, name, answer):
    rows = entries(name, 8)
    found = verdicts(pool, [(task(name, entry), f"<answer>{answer}</answer>") for entry in rows])
    assert {verdict.score for verdict in found} == {0.0}
    own = verdicts(pool, [(task(name, entry), f"<answer>{entry['answer']}</answer>") for entry in rows])
    assert {verdict.score for verdict in own} == {1.0}


def test_equal_pairs_are_scored_once(pool, monkeypatch):
    sent = []
    run = pool.run
    monkeypatch.setattr(pool, "run", lambda items, **options: sent.extend(items) or run(items, **options))
    column = task("countdown", COUNTDOWN)
    found = verdicts(pool, [(column, r"\boxed{(8-1)*9}"), (column, r"no \boxed{8+1}")] * 20)
    assert [verdict.score for verdict in found] == [1.0, 0.0] * 20
    assert [len(item["answers"]) for item in sent if "answers" in item] == [1]  # 8 + 1 never gets there


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
        rows = entries(name, 5)
        own = [str(entry["answer"]) for entry in rows]
        items = [(task(name, entry), f"<answer>{answer}</answer>") for entry, answer in zip(rows, own, strict=True)]
        reasons = [verdict.reason for verdict in verdicts(pool, items)]
        if reasons != ["match"] * 5:
            wrong[name] = reasons
        for text in dict.fromkeys(["NaN", "0", "1", "[]", "True", "6*4*1*1", *own]):
            others = [i for i, answer in enumerate(own) if not worker._same(text, answer)]
            found = verdicts(pool, [(items[i][0], f"<answer>{text}</answer>") for i in others])
            paid = sum(verdict.score == 1.0 for verdict in found)
            if paid > max(1, len(others) // 2):
                wrong[name, text] = paid
    assert wrong == {}


def test_name_in_a_task():
    assert verifier.content(json.dumps({"name": "countdown"})) == ("countdown", {})
    assert verifier.content("[") == verifier.content("7") == ("", {})
