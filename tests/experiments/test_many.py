from __future__ import annotations

import importlib
import json
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from countdown.many import MANY, N, curves, newly_solved, passed, read_counts
from countdown.peers import RandomVerdict
from countdown.runner import Run
from trl_rlsp import OutcomeVerifier, load_problems


def counts(right, known=None):
    return {"seed": 0, "right": right, "known": known or [N] * len(right)}


def test_pass_at_k_by_hand():
    # 2 of 4 right: pass@2 = 1 - C(2,2)/C(4,2) = 5/6; 0 of 4: 0; 3 known only: pass@4 is not known
    own = counts([2, 0, 3], [4, 4, 3])
    assert passed(own, 2) == pytest.approx([5 / 6, 0, 1])
    assert passed(own, 4) == [1, 0, None]


def test_curves_end_at_the_largest_k_that_is_known():
    found = curves({"sft": [counts([1, 1], [4, 4])]})["sft"]
    assert list(found["pass_at"]) == ["1", "2", "4"]
    assert found["pass_at"]["4"] == [1, 1, 1]
    assert found["problems"] == 2


def test_curves_are_means_over_seeds():
    """pass@1 of 1 of 4 and 3 of 4 is 1/2; of all resamples of two seeds, a quarter has either of them alone."""
    found = curves({"rl": [counts([1], [4]), counts([3], [4]) | {"seed": 2}]})["rl"]
    assert found["seeds"] == [0, 2]
    assert found["pass_at"]["1"] == [0.5, 0.25, 0.75]


def test_newly_solved_looks_only_at_what_the_start_never_solved():
    start = counts([0, 0, 5, 0], [N, N, N, N - 1])  # the last one is not known to be unsolved in N samples
    found = newly_solved({"sft": [start], "rl": [counts([N, 0, 0, N])]}, "sft")
    assert (found["problems"], found["of"]) == (2, 4)
    assert found["upper_bound"] == pytest.approx(0.0116, abs=1e-4)  # 1 - 0.05^(1/256)
    assert found["arms"] == {
        "rl": {"pass_at_1": [0.5, 0, 1], "pass_at_8": [0.5, 0, 1], "solved_once": 0.5},
    }


def test_without_the_start_or_without_unsolved_problems():
    assert newly_solved({"rl": [counts([1])]}, "sft") == {}
    assert newly_solved({"sft": [counts([1])], "rl": [counts([1])]}, "sft")["arms"] == {}


def test_counts_of_other_settings_are_not_read(tmp_path):
    def run(fingerprint):
        return Run("rl", 3, "test", 1e-3, 1, tmp_path, tmp_path, fingerprint)

    (Path(tmp_path) / MANY).write_text(json.dumps({"fingerprint": "a", "right": [1], "known": [4]}))
    assert read_counts([run("a")]) == {"rl": [{"seed": 3, "right": [1], "known": [4]}]}
    assert read_counts([run("b")]) == {}


def test_a_coin_is_repeatable_and_changes_with_the_step():
    coin = RandomVerdict(0.5)
    given = {"completions": list(map(str, range(400))), "prompts": ["p"] * 400}
    first = coin(**given, trainer_state=SimpleNamespace(global_step=1))
    assert first == coin(**given, trainer_state=SimpleNamespace(global_step=1))
    assert first != coin(**given, trainer_state=SimpleNamespace(global_step=2))
    assert 150 < sum(first) < 250  # 200 expected, standard deviation 10
    assert set(RandomVerdict(0)(**given)) == {0.0}
    assert set(RandomVerdict(1)(**given)) == {1.0}


SOURCES = {
    "countdown.systematic": "countdown?min_numbers=3&max_numbers=3&min_value=1&max_value=12&seed=1&size=40",
    "equations.domain": "simple_equations?min_terms=2&max_terms=2&min_value=1&max_value=20&seed=1&size=99",
}


@pytest.mark.parametrize("name", SOURCES)
def test_a_worked_search_is_right_and_as_long_as_the_problem_is_hard(name):
    domain = importlib.import_module(name)
    load = getattr(domain, "load", partial(load_problems, prompt_style="compact"))
    rows = [row for row in load(f"reasoning_gym:{SOURCES[name]}") if domain.difficulty(row) < 1000]
    worked = [domain.worked(row) for row in rows]
    assert len(worked) > 5
    for row, text in zip(rows, worked, strict=True):
        assert text.count("?") == domain.difficulty(row)
    with OutcomeVerifier() as verifier:
        scores = verifier(completions=worked, task=[row["task"] for row in rows])
    assert set(scores) == {1.0}
