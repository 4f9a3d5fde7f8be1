"""Countdown in one fixed order: difficulty is a position, problems are chosen by it, and SFT has two stages."""

from __future__ import annotations

import json

import pytest

from countdown import systematic
from countdown.grid import load_grid
from countdown.problems import demonstrable, difficulties, load
from countdown.start import sft_commands
from trl_rlsp.errors import DataError


def row(numbers, target):
    return {"task": json.dumps({"name": "countdown", "entry": {"metadata": {"numbers": numbers, "target": target}}})}


class TestDifficulty:
    def test_by_hand(self):
        # 6 + 3 = 9: 11, 7, 18; 2 - 9 is negative and neither 9 / 2 nor 2 / 9 is whole. 6 - 3 = 3 comes next: 3 + 2 = 5
        assert systematic.difficulty(row([6, 3, 2], 18)) == 3
        assert systematic.difficulty(row([6, 3, 2], 5)) == 4

    def test_no_hit(self):
        assert systematic.difficulty(row([1, 1, 1], 99)) == float("inf")


def test_only_problems_in_the_range(toy_grid, experiments):
    source = "reasoning_gym:countdown?min_numbers=3&max_numbers=3&min_value=1&max_value=12&seed={}&size=150"
    problems = {
        "train": source.format(1),
        "held_out": source.format(1000),
        "test": 20,
        "validation": 10,
        "difficulty": [6, 24],
    }
    grid = load_grid(
        toy_grid(experiments / "countdown" / "grid.yaml", problems=problems, domain="countdown.systematic")
    )
    for rows in load(grid):
        assert rows
        assert all(6 <= value <= 24 for value in difficulties(grid, rows))


def test_demonstrations_are_of_any_difficulty_and_of_no_problem_held_out(toy_grid, experiments, toy):
    path = experiments / "countdown" / "grid.yaml"
    problems = {**toy(path)["problems"], "test": 5, "validation": 3, "difficulty": [6, 24]}
    grid = load_grid(toy_grid(path, problems=problems, domain="countdown.systematic"))
    rows = demonstrable(grid)
    found = difficulties(grid, rows)
    assert min(found) < 6 <= max(found)
    tested = {row["prompt"][-1]["content"] for row in load(grid).test}
    assert tested.isdisjoint(row["prompt"][-1]["content"] for row in rows)


def test_validation_is_taken_from_training_and_left_out_of_it(toy_grid, experiments):
    grid = load_grid(toy_grid(experiments / "countdown" / "grid.yaml"))
    found = load(grid)
    texts = [{row["prompt"][-1]["content"] for row in rows} for rows in found]
    assert (len(found.validation), len(found.test)) == (10, 20)
    assert sum(map(len, texts)) == len(set.union(*texts)) == sum(map(len, found))


@pytest.mark.parametrize(("wanted", "message"), [({"test": 41}, "41 test problems"), ({"validation": 41}, "41 valid")])
def test_more_problems_than_there_are(toy_grid, experiments, toy, wanted, message):
    path = experiments / "countdown" / "grid.yaml"
    problems = {**toy(path)["problems"], **wanted}  # of 40
    with pytest.raises(DataError, match=f"{message}.* raise the size"):
        load(load_grid(toy_grid(path, problems=problems)))


def test_each_stage_starts_from_the_one_before(toy_grid, experiments, tmp_path):
    start = {"base": str(tmp_path / "base"), "sft": ["one.yaml", "two.yaml"], "overrides": {"seed": 3}}
    grid = load_grid(toy_grid(experiments / "countdown" / "grid.yaml", start=start))
    first, second = sft_commands(grid, tmp_path / "out")

    def value(command, flag):
        return command[command.index(flag) + 1]

    assert value(first, "--config").endswith("one.yaml")
    assert value(first, "--model_name_or_path") == str(tmp_path / "base")
    assert value(first, "--output_dir") == value(second, "--model_name_or_path") == str(tmp_path / "out" / "start-1")
    assert value(second, "--config").endswith("two.yaml")
    assert value(second, "--output_dir") == str(tmp_path / "out" / "start")
    assert value(first, "--seed") == value(second, "--seed") == "3"


@pytest.mark.parametrize("text", ["( 6 + 3 ) * 2", "2 * ( 3 + 6 )"])
def test_votes_are_counted_as_in_the_other_order(text):
    assert systematic.canonical(text) == systematic.canonical("(6+3)*2")
