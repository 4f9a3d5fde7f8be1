r"""reasoning-gym's simple_equations by trial: which whole number solves a * x + b = c?

Numbers are tried from 1 on, so that the solution is also the number of attempts that a search needs:

    4 * ? + 2 : 14                                   the problem
    4 * 1 = 4 | 4 + 2 = 6 ? 14 no | 4 * 2 = 8 | 8 + 2 = 10 ? 14 no | 4 * 3 = 12 | 12 + 2 = 14 ? 14 yes \boxed{ 3 }

Every step is one operation of small numbers, every attempt ends in a comparison that stands beside it, as in the search
for countdown. Of reasoning-gym's equations those of this form are taken, with c within the vocabulary; its own scorer
judges the answers.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from trl_rlsp.countdown import LARGEST_NUMBER
from trl_rlsp.countdown.search import HIT, MISS, SEPARATOR, geometric_budget

if TYPE_CHECKING:
    from datasets import Dataset

DIFFICULTY = "the attempts that trying 1, 2, 3, ... needs"
"""What `difficulty` measures, for the report."""

_EQUATION = re.compile(r"(\d+)\*[a-z] \+ (\d+) = (\d+)")


class Equation(NamedTuple):
    """`factor * x + summand = result`."""

    factor: int
    summand: int
    result: int


def load(source: str, *, unique: bool = False, exclude: Iterable[Mapping[str, Any]] | None = None) -> Dataset:
    """As `load_problems`, with prompts in their shortest form; the name of the unknown makes no other problem.

    Args:
        source: `reasoning_gym:simple_equations?...`; equations of other forms are left out.
        unique: keep only the first of rows with the same problem.
        exclude: rows whose problems must not occur.
    """
    from trl_rlsp.problems import load_problems

    rows = load_problems(source, system_prompt=None)
    seen = {equation_of(row) for row in exclude or ()}
    kept = []
    for place, row in enumerate(rows):
        equation = equation_of(row)
        if equation is None or equation in seen:
            continue
        kept.append(place)
        if unique:
            seen.add(equation)
    found = rows.select(kept)
    return found.map(lambda row: {"prompt": [{"role": "user", "content": compact(row)}]}, load_from_cache_file=False)


def equation_of(row: Mapping[str, Any]) -> Equation | None:
    """The equation of a simple_equations row, `None` if it is of another form or its numbers are too large.

    Args:
        row: a row with the JSON string `task`.
    """
    found = _EQUATION.fullmatch(json.loads(row["task"])["entry"]["metadata"]["equation"])
    equation = Equation(*map(int, found.groups())) if found else None
    return equation if equation is not None and equation.result <= LARGEST_NUMBER else None


def compact(row: Mapping[str, Any]) -> str:
    """The problem in its shortest form: `4 * ? + 2 : 14`."""
    factor, summand, result = _known(row)
    return f"{factor} * ? + {summand} : {result}"


def difficulty(row: Mapping[str, Any]) -> float:
    """The solution, which is the number of attempts that reach it."""
    factor, summand, result = _known(row)
    return (result - summand) / factor


def canonical(answer: str) -> str:
    """The number without blanks."""
    return answer.strip()


def written_search(equation: Equation, budget: int) -> tuple[str, str, bool]:
    """(reasoning, last number tried, whether it solves the equation).

    >>> written_search(Equation(4, 2, 10), budget=5)
    ('4 * 1 = 4 | 4 + 2 = 6 ? 10 no | 4 * 2 = 8 | 8 + 2 = 10 ? 10 yes', '2', True)
    """
    factor, summand, result = equation
    parts, tried, solved = [], 0, False
    while tried < budget and not solved:
        tried += 1
        product = factor * tried
        solved = product + summand == result
        parts += [
            f"{factor} * {tried} = {product}",
            f"{product} + {summand} = {product + summand} ? {result} {HIT if solved else MISS}",
        ]
    return f" {SEPARATOR} ".join(parts), str(tried), solved


def demonstrations(
    rows: Iterable[Mapping[str, Any]], *, seed: int, per_problem: int, mean_attempts: float, longest: int
) -> list[dict[str, str]]:
    """Searches with a random budget, right or given up, in random order.

    Args:
        rows: problems as `load` gives them.
        seed: seed of budgets and order.
        per_problem: demonstrations of each problem.
        mean_attempts: mean of the geometric budget, in attempts.
        longest: largest budget.

    Returns:
        Rows `problem`, `reasoning`, `answer`.
    """
    rng = random.Random(seed)
    found = []
    for row in rows:
        for _ in range(per_problem):
            reasoning, answer, _ = written_search(_known(row), geometric_budget(rng, mean_attempts, longest))
            found.append({"problem": row["prompt"][-1]["content"], "reasoning": reasoning, "answer": answer})
    rng.shuffle(found)
    return found


def worked(row: Mapping[str, Any]) -> str:
    """The whole search from 1 to the solution, as a completion."""
    reasoning, answer, _ = written_search(_known(row), LARGEST_NUMBER)
    return f"{reasoning} \\boxed{{ {answer} }}"


def _known(row: Mapping[str, Any]) -> Equation:
    equation = equation_of(row)
    if equation is None:
        raise ValueError(f"not an equation of the form a * x + b = c: {row['task']}")
    return equation
