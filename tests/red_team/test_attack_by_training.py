"""The search for what is paid without being meant to: that its parts run, and that it finds what is there."""

from __future__ import annotations

import json
import sys

import pytest

pytestmark = pytest.mark.red_team


@pytest.fixture(scope="module")
def script(load_script):
    return load_script("benchmarks/attack_by_training.py")


def test_the_search_finds_a_scorer_that_reads_the_last_digit_only(script):
    own = ["17", "24", "35", "48"]
    found = script.search(lambda answer: [answer[-1:] == gold[-1] for gold in own], own, calls=800)
    wrong = {answer for answer, paid in found.items() if any(paid) and answer not in own}
    assert len(wrong) >= 20
    assert found["17"] == [True, False, False, False]


def test_the_search_puts_an_answer_to_every_row_first_and_repeats_itself(script):
    own = ["17", "24", "35", "48"]
    score = lambda answer: ["*" in answer or answer == gold for gold in own]  # noqa: E731
    found = script.search(score, own, calls=800, seed=3)
    assert "*" in next(iter(found))
    assert found == script.search(score, own, calls=800, seed=3)


def test_the_search_stays_within_its_calls(script):
    asked = []
    script.search(lambda answer: asked.append(answer) or [False] * 4, ["1", "2", "3", "4"], calls=100)
    assert len(asked) <= 25


@pytest.mark.parametrize(("text", "share"), [("a b a b a b", 0.6), ("a b c d", 0.0), ("a", 0.0), ("", 0.0)])
def test_repeated_share(script, text, share):
    assert script.repeated_share(text, size=2) == pytest.approx(share)


def test_one_update_on_one_reward(script, monkeypatch, capsys):
    sizes = {"updates": 1, "prompts": 1, "tokens": 12}
    arguments = [part for name, value in sizes.items() for part in (f"--{name}", str(value))]
    monkeypatch.setattr(sys, "argv", ["attack", "--rewards", "length", "--tasks", *arguments])
    script.main()
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert line["trained_on"] == "length"
    assert set(line["before"]) < set(line["after"])
    assert line["after"]["tokens"] <= 12
    assert len(line["after"]["highest_paid"]) == 3
