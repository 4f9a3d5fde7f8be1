r"""reasoning-gym's jugs by walking: which moves measure out the target with three jugs?

A walk pours from one jug into another, fills the former when it is empty and empties the latter when it is full, and
writes down what all jugs hold after each move. It ends when the target shows; its moves, as JSON, are the answer:

    A 3 B 5 C 8 : 4                                  the problem: three capacities and the target
    fill B 0 5 0 no | pour B->A 3 2 0 no | empty A 0 2 0 no | pour B->A 2 0 0 no | fill B 2 5 0 no |
    pour B->A 3 4 0 yes \boxed{ [ "fill B", "pour B->A", "empty A", "pour B->A", "fill B", "pour B->A" ] }

Which of the six walks to take is left to the model, and so is when to stop. Nothing is translated: what stands in the
box is parsed as JSON and carried out by reasoning-gym's own scorer.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import permutations
from typing import TYPE_CHECKING, Any, NamedTuple

from trl_rlsp.countdown.search import HIT, MISS, SEPARATOR, geometric_budget

if TYPE_CHECKING:
    from datasets import Dataset

DIFFICULTY = "the moves of the shortest walk between two jugs"
"""What `difficulty` measures, for the report."""

JUGS, LARGEST = "ABC", 16
_POURS = [f"{source}->{target}" for source, target in permutations(JUGS, 2)]
WORDS = (
    *("fill", "empty", "pour", *JUGS, *_POURS, ":", SEPARATOR, HIT, MISS, "\\boxed{", "}", "[", "]"),
    *('"fill', '"empty', '"pour'),
    *(f'{place}"{end}' for place in (*JUGS, *_POURS) for end in ("", ",")),
    *map(str, range(LARGEST + 1)),
)
"""The vocabulary: two words a move in the reasoning, and two in the JSON of the answer."""

_MOVE = re.compile(rf"\b(?:fill|empty|pour) \S+(?: \d+)+ (?:{HIT}|{MISS})\b")
_BOTH_WAYS = [*permutations(range(len(JUGS)), 2)]


class Puzzle(NamedTuple):
    """Three empty jugs of these capacities, and what one of them is to hold."""

    capacities: tuple[int, ...]
    target: int


class Walk(NamedTuple):
    """Moves, and what the jugs hold after each."""

    moves: tuple[str, ...]
    states: tuple[tuple[int, ...], ...]
    solved: bool


def load(source: str, *, unique: bool = False, exclude: Iterable[Mapping[str, Any]] | None = None) -> Dataset:
    """As `load_problems`, with prompts in their shortest form.

    Args:
        source: `reasoning_gym:jugs?...`; puzzles that no walk solves, or beyond the vocabulary, are left out.
        unique: keep only the first of rows with the same problem.
        exclude: `None` for the puzzles that `held_out` names, anything else for the others: there are too few different
            ones to leave it to chance that none occurs in both with its jugs in another order.
    """
    from trl_rlsp.problems import load_problems

    rows = load_problems(source, system_prompt=None)
    kept: dict[Any, int] = {}
    for place, row in enumerate(rows):
        puzzle = puzzle_of(row)
        if max(puzzle.capacities) <= LARGEST and solving_walks(puzzle) and held_out(puzzle) == (exclude is None):
            kept.setdefault(puzzle if unique else place, place)
    found = rows.select(list(kept.values()))
    return found.map(lambda row: {"prompt": [{"role": "user", "content": compact(row)}]}, load_from_cache_file=False)


def puzzle_of(row: Mapping[str, Any]) -> Puzzle:
    """The puzzle of a jugs row, a row with the JSON string `task`."""
    puzzle = json.loads(row["task"])["entry"]["metadata"]["puzzle"]
    return Puzzle(tuple(puzzle["jug_capacities"]), puzzle["target"])


def held_out(puzzle: Puzzle) -> bool:
    """Whether a puzzle is for testing: a third of them, whatever the order of the jugs."""
    return (sum(puzzle.capacities) + puzzle.target) % 3 == 0


def compact(row: Mapping[str, Any]) -> str:
    """The problem in its shortest form: `A 3 B 5 C 8 : 4`."""
    capacities, target = puzzle_of(row)
    return f"{' '.join(f'{jug} {size}' for jug, size in zip(JUGS, capacities, strict=True))} : {target}"


def difficulty(row: Mapping[str, Any]) -> float:
    """The moves of the shortest walk that solves a puzzle; infinite where none does."""
    return min((float(len(walk.moves)) for walk in solving_walks(puzzle_of(row))), default=float("inf"))


def canonical(answer: str) -> str:
    """The moves with single blanks."""
    return " ".join(answer.split())


def count_steps(text: str) -> int:
    """Number of moves written down with what the jugs hold after them."""
    return len(_MOVE.findall(text))


def build_tokenizer() -> Any:
    """A word-level tokenizer of `WORDS`."""
    from trl_rlsp import countdown

    return countdown.build_tokenizer(WORDS)


def walk_between(puzzle: Puzzle, source: int, target: int, budget: int | None = None) -> Walk:
    """Pour from one jug into another until one holds the target, all are empty again, or the budget of moves is spent.

    >>> walk_between(Puzzle((3, 5, 8), 2), 1, 0).moves
    ('fill B', 'pour B->A')
    """
    moves, states = [], []
    for move, state in _endless(puzzle.capacities, source, target):
        moves.append(move)
        states.append(state)
        if puzzle.target in state or not any(state) or len(moves) == budget:
            break
    return Walk(tuple(moves), tuple(states), puzzle.target in states[-1])


def _endless(capacities: tuple[int, ...], source: int, target: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    held = [0] * len(capacities)
    while True:
        if held[target] == capacities[target]:
            move, held[target] = f"empty {JUGS[target]}", 0
        elif not held[source]:
            move, held[source] = f"fill {JUGS[source]}", capacities[source]
        else:
            poured = min(held[source], capacities[target] - held[target])
            move = f"pour {JUGS[source]}->{JUGS[target]}"
            held[source], held[target] = held[source] - poured, held[target] + poured
        yield move, tuple(held)


def solving_walks(puzzle: Puzzle) -> list[Walk]:
    """The walks between two jugs that reach the target, the shortest first."""
    walks = [walk_between(puzzle, source, target) for source, target in _BOTH_WAYS]
    return sorted((walk for walk in walks if walk.solved), key=lambda walk: len(walk.moves))


def written(walk: Walk) -> tuple[str, str]:
    """(reasoning, answer) of a walk."""
    last = len(walk.moves) - 1
    parts = [
        f"{move} {' '.join(map(str, state))} {HIT if walk.solved and place == last else MISS}"
        for place, (move, state) in enumerate(zip(walk.moves, walk.states, strict=True))
    ]
    quoted = ", ".join(f'"{move}"' for move in walk.moves)
    return f" {SEPARATOR} ".join(parts), f"[ {quoted} ]"


def demonstrations(
    rows: Iterable[Mapping[str, Any]], *, seed: int, per_problem: int, mean_moves: float, longest: int
) -> list[dict[str, str]]:
    """Walks that lead to the target, given up after a random number of moves unless they end before, in random order.

    Args:
        rows: problems as `load` gives them.
        seed: seed of walks, budgets and order.
        per_problem: demonstrations of each problem, each of a walk drawn from all that reach its target.
        mean_moves: mean of the geometric budget, in moves.
        longest: largest budget.

    Returns:
        Rows `problem`, `reasoning`, `answer`.
    """
    rng = random.Random(seed)
    found = []
    for row in rows:
        puzzle = puzzle_of(row)
        walks = solving_walks(puzzle)
        for _ in range(per_problem):
            walk, budget = rng.choice(walks), geometric_budget(rng, mean_moves, longest)
            states = walk.states[:budget]
            reasoning, answer = written(Walk(walk.moves[:budget], states, puzzle.target in states[-1]))
            found.append({"problem": row["prompt"][-1]["content"], "reasoning": reasoning, "answer": answer})
    rng.shuffle(found)
    return found


def worked(row: Mapping[str, Any]) -> str:
    """The shortest walk to the target, as a completion."""
    reasoning, answer = written(solving_walks(puzzle_of(row))[0])
    return f"{reasoning} \\boxed{{ {answer} }}"
