"""reasoning-gym's path_star as a search: which arm of a star leads to the goal?

A star has a centre and arms of equal length; its edges are listed in random order. From the centre nothing tells the
right arm from the others (2403.06963), so that a model either guesses or walks down arms until one ends at the goal:

    5 7 | 7 9 | 5 2 | 2 4 : 5 9          the edges, centre and goal
    5 2 4 = 4 ? 9 no | 5 7 9 = 9 ? 9 yes \\boxed{ 5 7 9 }

Prompts, demonstrations and difficulty; reasoning-gym's own scorer judges the answers.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from trl_rlsp.search import HIT, MISS, SEPARATOR, geometric_budget

if TYPE_CHECKING:
    from datasets import Dataset

Edge = tuple[str, str]
POOL, BATCH = 16, 64


DIFFICULTY = "the arms of the star"
"""What `difficulty` measures, for the report."""


def load(source: str, *, unique: bool = False, exclude: Iterable[Mapping[str, Any]] | None = None) -> Dataset:
    """As `load_problems`, with prompts in their shortest form; the order of edges makes no other problem.

    Args:
        source: `reasoning_gym:path_star?...`.
        unique: keep only the first of rows with the same problem.
        exclude: rows whose problems must not occur.
    """
    from trl_rlsp.data import load_problems

    rows = load_problems(source, system_prompt=None)
    seen = {key_of(row) for row in exclude or ()}
    kept = []
    for place, row in enumerate(rows):
        key = key_of(row)
        if key not in seen:
            kept.append(place)
        if unique:
            seen.add(key)
    prompts = rows.select(kept)
    return prompts.map(lambda row: {"prompt": [{"role": "user", "content": compact(row)}]}, load_from_cache_file=False)


def key_of(row: Mapping[str, Any]) -> str:
    """A text that two rows share exactly when they pose the same problem."""
    edges, centre, goal = graph_of(row)
    return f"{sorted(edges)} : {centre} {goal}"


def graph_of(row: Mapping[str, Any]) -> tuple[list[Edge], str, str]:
    """(edges in the order given, centre, goal) of a path_star row.

    Args:
        row: a row with the JSON string `task`.
    """
    task = json.loads(row["task"])["entry"]["question"].strip().splitlines()[-1]
    edges, ends = task.removesuffix(" =").split("/")
    centre, goal = ends.split()
    return [tuple(edge.split()) for edge in edges.strip("|").split("|")], centre, goal


def compact(row: Mapping[str, Any]) -> str:
    """The problem in its shortest form: `5 7 | 7 9 | 5 2 | 2 4 : 5 9`."""
    edges, centre, goal = graph_of(row)
    return f"{f' {SEPARATOR} '.join(' '.join(edge) for edge in edges)} : {centre} {goal}"


def arms(edges: Iterable[Edge], centre: str) -> list[list[str]]:
    """The paths from the centre to the end of each arm.

    >>> arms([("7", "9"), ("5", "7"), ("5", "2"), ("2", "4")], "5")
    [['5', '7', '9'], ['5', '2', '4']]
    """
    after = {left: right for left, right in edges if left != centre}
    paths = [[centre, right] for left, right in edges if left == centre]
    for path in paths:
        while path[-1] in after:
            path.append(after[path[-1]])
    return paths


def difficulty(row: Mapping[str, Any]) -> float:
    """Attempts that a search in random order, without repetition, needs on average: (arms + 1) / 2."""
    edges, centre, _ = graph_of(row)
    return (len(arms(edges, centre)) + 1) / 2


def canonical(answer: str) -> str:
    """The path with single blanks."""
    return " ".join(answer.split())


def written_search(row: Mapping[str, Any], rng: random.Random, budget: int) -> tuple[str, str, bool]:
    """(reasoning, last path tried, whether it ends at the goal) of a search in random order of arms."""
    edges, centre, goal = graph_of(row)
    paths = arms(edges, centre)
    rng.shuffle(paths)
    ends = [path[-1] for path in paths]
    tried = paths[: min(budget, ends.index(goal) + 1)]
    parts = [f"{' '.join(path)} = {path[-1]} ? {goal} {HIT if path[-1] == goal else MISS}" for path in tried]
    return f" {SEPARATOR} ".join(parts), " ".join(tried[-1]), tried[-1][-1] == goal


def demonstrations(
    rows: Iterable[Mapping[str, Any]],
    *,
    seed: int,
    per_problem: int,
    mean_attempts: float,
    longest: int,
    hit_share: float,
) -> list[dict[str, str]]:
    """Searches with a random budget, right or given up, in batches of similar length in random order.

    Args:
        rows: problems as `load` gives them.
        seed: seed of orders and budgets.
        per_problem: demonstrations of each problem.
        mean_attempts: mean of the geometric budget, in attempts.
        longest: largest budget.
        hit_share: share redrawn (up to 20 times) until they end in a hit within their budget.

    Returns:
        Rows `problem`, `reasoning`, `answer`.
    """
    rng = random.Random(seed)
    found = []
    for row in rows:
        for _ in range(per_problem):
            budget = geometric_budget(rng, mean_attempts, longest)
            tries = 20 if rng.random() < hit_share else 1
            for _ in range(tries):
                reasoning, answer, solved = written_search(row, rng, budget)
                if solved:
                    break
            found.append({"problem": row["prompt"][-1]["content"], "reasoning": reasoning, "answer": answer})
    return _pooled(found, rng)


def _pooled(rows: list[dict[str, str]], rng: random.Random) -> list[dict[str, str]]:
    rng.shuffle(rows)
    ordered: list[dict[str, str]] = []
    for start in range(0, len(rows), POOL * BATCH):
        pool = sorted(rows[start : start + POOL * BATCH], key=lambda row: len(row["problem"]) + len(row["reasoning"]))
        batches = [pool[i : i + BATCH] for i in range(0, len(pool), BATCH)]
        rng.shuffle(batches)
        ordered += [row for batch in batches for row in batch]
    return ordered
