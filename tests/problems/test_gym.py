"""Generated problems."""

from __future__ import annotations

import json

import pytest

from trl_rlsp.errors import ConfigError
from trl_rlsp.problems import gym, load_problems

COUNTDOWN = "reasoning_gym:countdown?min_numbers=3&max_numbers=3&max_value=9&min_target=1&max_target=99"

reasoning_gym = pytest.importorskip("reasoning_gym")


def test_task_rows_hold_what_the_scorer_needs():
    rows = load_problems("reasoning_gym:chain_sum?size=3&seed=4")
    original = reasoning_gym.create_dataset("chain_sum", size=3, seed=4)
    for row, entry in zip(rows, original, strict=True):
        task = json.loads(row["task"])
        assert row["prompt"][-1]["content"] == entry["question"]
        assert row["solution"] == entry["answer"]
        assert task["name"] == "chain_sum"
        assert task["entry"]["metadata"]["source_index"] == entry["metadata"]["source_index"]
        assert original.score_answer(row["solution"], task["entry"]) == 1.0
    assert set(rows.column_names) == {"prompt", "solution", "task"}


def test_compact_countdown_is_the_bare_problem():
    row = load_problems(COUNTDOWN + "&size=1&seed=1", prompt_style="compact")[0]
    metadata = json.loads(row["task"])["entry"]["metadata"]
    a, b, c = metadata["numbers"]
    assert row["prompt"] == [{"role": "user", "content": f"{a} {b} {c} : {metadata['target']}"}]
    assert row["level"] == "3"


def test_another_compact_form_can_be_added(monkeypatch):
    source = "reasoning_gym:chain_sum?size=1&seed=1"
    with pytest.raises(ConfigError, match="'compact' is supported only for countdown, got chain_sum"):
        load_problems(source, prompt_style="compact")
    monkeypatch.setitem(gym.COMPACT_PROMPTS, "chain_sum", lambda metadata: metadata["expression"])
    content = load_problems(source, prompt_style="compact")[0]["prompt"][0]["content"]
    assert content in load_problems(source)[0]["prompt"][-1]["content"]


def test_seed_of_the_source_wins_over_the_argument():
    explicit = load_problems("reasoning_gym:chain_sum?size=3&seed=4", seed=9)["solution"][:]
    assert explicit == load_problems("reasoning_gym:chain_sum?size=3", seed=4)["solution"][:]
    assert explicit != load_problems("reasoning_gym:chain_sum?size=3")["solution"][:]


def test_limit_generates_no_more_than_asked():
    rows = load_problems("reasoning_gym:chain_sum?size=100000000&seed=4", limit=3)
    assert rows["solution"][:] == load_problems("reasoning_gym:chain_sum?size=3&seed=4")["solution"][:]


class Unlucky:
    """Stands in for a task that gives up on some indices."""

    def __init__(self, size: int, bad):
        self.size, self.bad = size, bad

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        if self.bad(index):
            raise ValueError("gave up")
        return {"question": "q", "answer": "a", "metadata": {"source_index": index}}


def test_the_next_index_replaces_one_the_task_gives_up_on(monkeypatch):
    unlucky = Unlucky(4, lambda index: index % 2 == 0)
    monkeypatch.setattr(reasoning_gym, "create_dataset", lambda *_, **__: unlucky)
    rows = load_problems("reasoning_gym:chain_sum?seed=123456")
    indices = [json.loads(task)["entry"]["metadata"]["source_index"] for task in rows["task"]]
    assert indices == [1, 3, 5, 7]


def test_a_task_that_cannot_generate_is_an_error(monkeypatch):
    monkeypatch.setattr(reasoning_gym, "create_dataset", lambda *_, **__: Unlucky(4, lambda index: True))
    with pytest.raises(ConfigError, match=r"cannot generate 4 problems .*gave up.; widen its ranges"):
        load_problems("reasoning_gym:chain_sum?seed=123457")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "reasoning_gym:countdown?min_numbers=1",
            "countdown refuses the parameters .*min_numbers must be greater",
        ),
        ("reasoning_gym:countdown?size=0", "must generate at least one problem, got size=0"),
    ],
)
def test_refused_parameters(source, message):
    with pytest.raises(ConfigError, match=message):
        load_problems(source)


def test_entries_become_json():
    odd = {
        "set": {2, 1},
        "tuple": (1, 2),
        "array": type("A", (), {"tolist": lambda self: [1]})(),
        "type": int,
    }
    assert json.loads(json.dumps(odd, default=gym._plain)) == {
        "set": [1, 2],
        "tuple": [1, 2],
        "array": [1],
        "type": "<class 'int'>",
    }


def test_no_seed_means_new_problems_each_time():
    source = "reasoning_gym:chain_sum?size=5&seed=none&min_digits=6&max_digits=6"
    assert load_problems(source)["solution"][:] != load_problems(source)["solution"][:]


class TestKept:
    """Problems that took long to make are kept on disk."""

    @pytest.fixture
    def made(self, tmp_path, monkeypatch):
        monkeypatch.setenv("TRL_RLSP_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(gym, "WORTH_STORING_S", 0.0)
        made = []
        whole = gym._generate
        monkeypatch.setattr(gym, "_generate", lambda *given: made.append(given) or whole(*given))
        return made

    def solutions(self, seed):
        return load_problems(f"reasoning_gym:chain_sum?size=2&seed={seed}")["solution"][:]

    def test_made_once_per_source(self, made):
        assert self.solutions(1) == self.solutions(1)
        assert len(made) == 1
        assert self.solutions(2) != self.solutions(1)
        assert len(made) == 2

    def test_quick_ones_are_not_stored(self, made, tmp_path, monkeypatch):
        monkeypatch.setattr(gym, "WORTH_STORING_S", 60.0)
        self.solutions(1)
        assert not (tmp_path / "cache").exists()

    def test_a_damaged_file_costs_only_time(self, made, tmp_path):
        expected = self.solutions(1)
        path = tmp_path / "cache" / "problems.cache"
        path.write_bytes(path.read_bytes()[:-20])
        assert self.solutions(1) == expected
        assert len(made) == 2
