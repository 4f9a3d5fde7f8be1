"""Ways to fake effort, each made from an honest completion: what they earn, and which are known to be open.

`tests/data/attacks.jsonl` holds them: `honest` and `attack` answer `prompt`, beside `others` of the group, which are
wrong. `open_for` names the rewards that an attack is known to beat; it is checked to be true.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from exploration_cases import BOUNDED, NOVEL, RELATIVE

from trl_rlsp import OutcomeVerifier, RLSPRewards

ROOT = Path(__file__).parents[2]
ATTACKS = [json.loads(line) for line in (ROOT / "tests/data/attacks.jsonl").read_text(encoding="utf-8").splitlines()]
ROUNDING = 1e-12

every_attack = pytest.mark.parametrize("attack", ATTACKS, ids=[attack["name"] for attack in ATTACKS])
every_reward = pytest.mark.parametrize("reward", BOUNDED, ids=[reward.__name__ for reward in BOUNDED])


@pytest.fixture(scope="module")
def verifier():
    with OutcomeVerifier() as running:
        yield running


def last_of_group(score, attack, text):
    """What `score` gives the completion `text` in the attack's group."""
    completions = [*attack["others"], text]
    count = len(completions)
    return score(prompts=[attack["prompt"]] * count, completions=completions, solution=[attack["solution"]] * count)[-1]


def both(score, attack):
    return [last_of_group(score, attack, attack[which]) for which in ("honest", "attack")]


@every_reward
@every_attack
def test_an_attack_explores_no_more_than_the_honest_completion(reward, attack):
    honest, attacked = both(reward, attack)
    if reward.__name__ in attack["open_for"]:
        assert attacked > honest, "this attack is closed now: take the reward out of its open_for"
    else:
        assert attacked <= honest + ROUNDING


@every_attack
def test_nor_does_it_rank_higher_in_its_group(attack):
    """The relative form counts the same length, so that what is closed for one form is closed for the other."""
    honest, attacked = both(RELATIVE, attack)
    assert attacked <= honest or RELATIVE.__name__ in attack["open_for"]


@every_attack
def test_nor_does_its_answer_become_a_new_one(attack):
    """Beside the honest completion and its answer; a list of several values is another answer, and a wrong one."""
    group = {**attack, "others": [attack["honest"], attack["honest"], *attack["others"]]}
    honest, attacked = both(NOVEL, group)
    assert 0 < honest < 1
    assert attacked <= honest or attack["name"] == "list in one box"


@every_reward
@pytest.mark.parametrize("gate", ["none", "adaptive"])
def test_nor_earns_a_higher_reward(reward, gate, verifier):
    suite = RLSPRewards(verifier, [reward], gate=gate)
    winners = []
    for attack in ATTACKS:
        honest, attacked = both(suite, attack)
        if attacked > honest + ROUNDING:
            winners.append(attack["name"])
    assert set(winners) <= {attack["name"] for attack in ATTACKS if reward.__name__ in attack["open_for"]}


def test_the_honest_completions_are_honest(verifier):
    """Right, with exploration of each kind to gain or lose; their neighbours are wrong."""
    for attack in ATTACKS:
        assert last_of_group(verifier, attack, attack["honest"]) == 1.0
        assert last_of_group(verifier, attack, attack["others"][0]) == 0.0
    for reward in BOUNDED:
        assert any(last_of_group(reward, attack, attack["honest"]) > 0 for attack in ATTACKS)


@every_reward
def test_there_are_enough_of_them(reward):
    assert len({attack["name"] for attack in ATTACKS}) == len(ATTACKS)
    assert sum(reward.__name__ not in attack["open_for"] for attack in ATTACKS) >= 40
    assert all(attack["attack"] != attack["honest"] for attack in ATTACKS)


def test_the_docs_list_each():
    table = (ROOT / "docs/attacks.md").read_text(encoding="utf-8")
    assert not [attack["name"] for attack in ATTACKS if f"| {attack['name']} |" not in table]
