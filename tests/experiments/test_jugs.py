from __future__ import annotations

import json

import pytest

from jugs.domain import (
    Puzzle,
    build_tokenizer,
    compact,
    count_steps,
    demonstrations,
    difficulty,
    held_out,
    load,
    puzzle_of,
    walk_between,
    worked,
    written,
)

SOURCE = "reasoning_gym:jugs?difficulty=4&seed=1&size=40"
DIE_HARD = Puzzle((3, 5, 8), 4)
WALK = (
    "fill B 0 5 0 no | pour B->A 3 2 0 no | empty A 0 2 0 no | pour B->A 2 0 0 no | fill B 2 5 0 no | "
    'pour B->A 3 4 0 yes \\boxed{ [ "fill B", "pour B->A", "empty A", "pour B->A", "fill B", "pour B->A" ] }'
)


def row(puzzle):
    metadata = {"puzzle": {"jug_capacities": puzzle.capacities, "target": puzzle.target}}
    return {"task": json.dumps({"name": "jugs", "entry": {"metadata": metadata}})}


@pytest.fixture(scope="module")
def rows():
    return load(SOURCE, unique=True, exclude=())


class TestWalk:
    def test_by_hand(self):
        # 5 litres into the jug of 3 leave 2; into the empty jug of 3; 5 again, of which 1 fits: 4
        assert compact(row(DIE_HARD)) == "A 3 B 5 C 8 : 4"
        assert worked(row(DIE_HARD)) == WALK
        assert (difficulty(row(DIE_HARD)), count_steps(WALK)) == (6, 6)

    def test_given_up(self):
        reasoning, answer = written(walk_between(DIE_HARD, 1, 0, budget=2))
        assert (reasoning, answer) == ("fill B 0 5 0 no | pour B->A 3 2 0 no", '[ "fill B", "pour B->A" ]')

    def test_ends_where_it_began(self):
        # 3 into 9: full after three times, then all are empty; 4 never shows
        walk = walk_between(Puzzle((3, 5, 9), 4), 0, 2)
        assert (len(walk.moves), walk.moves[-1], walk.states[-1], walk.solved) == (7, "empty C", (0, 0, 0), False)

    def test_no_walk_reaches_it(self):
        assert difficulty(row(Puzzle((4, 4, 8), 2))) == float("inf")


class TestLoad:
    def test_held_out_in_every_order_of_the_jugs(self, rows):
        assert held_out(Puzzle((3, 5, 9), 4)) == held_out(Puzzle((9, 3, 5), 4)) == ((3 + 5 + 9 + 4) % 3 == 0)
        puzzles = [*map(puzzle_of, rows)]
        assert len(set(puzzles)) == len(puzzles) > 10
        assert not any(map(held_out, puzzles))
        assert all(map(held_out, map(puzzle_of, load(SOURCE))))

    def test_the_answer_is_json_as_the_model_writes_it(self, rows):
        tokenizer = build_tokenizer()
        for text in [*map(worked, rows), *map(compact, rows)]:
            ids = tokenizer(text)["input_ids"]
            assert tokenizer.unk_token_id not in ids
            assert tokenizer.decode(ids) == text
        assert json.loads(WALK.partition("\\boxed{")[2].removesuffix("}"))[-1] == "pour B->A"


def test_demonstrations_are_judged_as_they_say(rows, judged):
    """The task's own scorer agrees with `yes` and `no`."""
    found = demonstrations(rows.select(range(8)), seed=0, per_problem=3, mean_moves=6, longest=12)
    scores = judged(found, rows)
    assert scores == [float(row["reasoning"].endswith("yes")) for row in found]
    assert 0 < sum(scores) < 24
