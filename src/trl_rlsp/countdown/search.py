r"""Depth-first search for countdown, written out as text: a source of synthetic demonstrations.

A countdown problem gives three or more numbers and a target; the answer is an expression that uses every number
once and equals the target. The search combines two numbers, then goes on with the smaller set, and returns to
the last open branch when a leaf misses the target. Every step is one operation, every leaf repeats the target
beside its result so that the comparison is local:

    6 + 3 = 9 | 9 + 2 = 11 ? 18 no | 9 * 2 = 18 ? 18 yes \boxed{ ( 6 + 3 ) * 2 }

Intermediate results are integers between 0 and `limit`; this loses no solution of three numbers whose own
intermediate results are such integers.
"""

from __future__ import annotations

import itertools
import json
import operator
import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from trl_rlsp.errors import ConfigError, DataError

SearchOrder = Literal["random", "systematic"]

SEPARATOR = "|"
HIT = "yes"
MISS = "no"
OPERATIONS = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.floordiv}

_ATTEMPT = re.compile(rf"= (\d+) \? (\d+) (?:{HIT}|{MISS})\b")


@dataclass(frozen=True)
class Term:
    """A number with the expression that made it; `text` is parenthesized unless it is a given number."""

    value: int
    text: str

    @classmethod
    def given(cls, value: int) -> Term:
        """A number of the problem itself."""
        return cls(value, str(value))

    @property
    def bare(self) -> str:
        """The expression without its outer parentheses."""
        return self.text[2:-2] if self.text.startswith("( ") else self.text


@dataclass(frozen=True)
class Step:
    """One operation `left op right = result` and the terms left after it."""

    left: Term
    op: str
    right: Term
    result: Term
    rest: tuple[Term, ...]

    @property
    def written(self) -> str:
        """The step as it stands in a trace."""
        return f"{self.left.value} {self.op} {self.right.value} = {self.result.value}"


@dataclass(frozen=True)
class Trace:
    """A written-out search; its answer is the hit, or the last of its attempts if it gave up."""

    reasoning: str
    answer: str
    solved: bool
    attempts: int


def steps(terms: tuple[Term, ...], limit: int) -> list[Step]:
    """All first operations on terms with a result up to `limit`, without those that differ only by equal numbers."""
    found: dict[tuple[object, ...], Step] = {}
    for i, j in itertools.combinations(range(len(terms)), 2):
        a, b, rest = terms[i], terms[j], (*terms[:i], *terms[i + 1 : j], *terms[j + 1 :])
        for op, left, right in (("+", a, b), ("-", a, b), ("-", b, a), ("*", a, b), ("/", a, b), ("/", b, a)):
            if op == "/" and (right.value == 0 or left.value % right.value):
                continue
            value = OPERATIONS[op](left.value, right.value)
            if 0 <= value <= limit:
                key = (left.value, op, right.value, *sorted(t.value for t in rest))
                result = Term(value, f"( {left.text} {op} {right.text} )")
                found.setdefault(key, Step(left, op, right, result, rest))
    return list(found.values())


def _leaves(terms: tuple[Term, ...], limit: int, rng: random.Random | None) -> Iterator[list[Step]]:
    """Depth-first over all leaves, each as its path from the root; without rng in the order of `steps`."""
    options = steps(terms, limit)
    if len(terms) == 2:
        yield from ([step] for step in options)
        return
    if rng is not None:
        rng.shuffle(options)
    for step in options:
        for path in _leaves((step.result, *step.rest), limit, rng):
            yield [step, *path]


def written_search(
    numbers: Iterable[int], target: int, rng: random.Random | None, *, budget: int | None = None, limit: int = 144
) -> Trace:
    """Search for `target` depth first and write it out.

    Args:
        numbers: two or more positive integers.
        target: the value to reach.
        rng: source of the order of branches; `None` for a systematic search: numbers as given, + before - * /.
        budget: give up after this many attempts; `None` searches to the end.
        limit: largest intermediate result considered.

    Raises:
        ConfigError: fewer than two numbers, or a budget below 1.
    """
    terms = tuple(Term.given(n) for n in numbers)
    if len(terms) < 2:
        raise ConfigError(f"a countdown problem has two or more numbers, got {[t.value for t in terms]}")
    if budget is not None and budget < 1:
        raise ConfigError(f"budget counts attempts and is at least 1, got {budget}")
    parts: list[str] = []
    attempts, last, solved = 0, "", False
    written: list[Step] = []
    for *inner, leaf in _leaves(terms, limit, rng):
        shared = sum(1 for a, b in zip(inner, written, strict=False) if a is b)
        parts += [step.written for step in inner[shared:]]
        written = inner
        solved = leaf.result.value == target
        parts.append(f"{leaf.written} ? {target} {HIT if solved else MISS}")
        attempts, last = attempts + 1, leaf.result.bare
        if solved or attempts == budget:
            break
    return Trace(f" {SEPARATOR} ".join(parts), last, solved, attempts)


def geometric_budget(rng: random.Random, mean: float, longest: int) -> int:
    """A search budget in attempts: geometric with the given mean, redrawn uniformly if over `longest`."""
    budget = 1
    while rng.random() > 1 / mean:
        budget += 1
    return budget if budget <= longest else rng.randint(1, longest)


def search_demonstrations(
    problems: Iterable[dict[str, str]],
    *,
    seed: int = 0,
    per_problem: int = 1,
    mean_attempts: float = 8.0,
    longest: int = 40,
    hit_share: float = 0.5,
    order: SearchOrder = "random",
    limit: int = 144,
) -> list[dict[str, object]]:
    """Searches with a random budget, right or given up: rows `prompt`, `reasoning`, `answer`, `solved`, `attempts`.

    They show the process, not the answer: a model trained on them searches, but gives up early; how long to go on is
    left for the RL stage to learn (RLSP, 2502.06773, section 2.1).

    Args:
        problems: rows of `load_problems`.
        seed: seed of orders and budgets.
        per_problem: demonstrations written for each problem.
        mean_attempts: mean of the geometric budget, in attempts.
        longest: largest budget, in attempts.
        hit_share: share of demonstrations in random order that are redrawn, up to 20 times, until they end in a hit.
        order: of the branches, `"random"` or `"systematic"`.
        limit: largest intermediate result considered.

    Raises:
        ConfigError: an unknown order.
        DataError: a row is not a countdown problem.
    """
    if order not in get_args(SearchOrder):
        raise ConfigError(f"search order is 'random' or 'systematic', got {order!r}")
    rng = random.Random(seed)
    branches = rng if order == "random" else None
    rows: list[dict[str, object]] = []
    for problem in problems:
        numbers, target = countdown_of(problem)
        for _ in range(per_problem):
            budget = geometric_budget(rng, mean_attempts, longest)
            trace = written_search(numbers, target, branches, budget=budget, limit=limit)
            redraws = 20 if rng.random() < hit_share and branches is not None else 0
            while redraws and not trace.solved:
                trace = written_search(numbers, target, branches, budget=budget, limit=limit)
                redraws -= 1
            rows.append({"prompt": problem["prompt"], **vars(trace)})
    return rows


def countdown_of(problem: dict[str, str]) -> tuple[list[int], int]:
    """Numbers and target of a row of `load_problems`, or a DataError if its task is not countdown."""
    try:
        metadata = json.loads(problem["task"])["entry"]["metadata"]
        return list(metadata["numbers"]), int(metadata["target"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            "search demonstrations need countdown rows (column `task` with numbers and target), "
            f"got {problem.get('task')!r}; load them with `reasoning_gym:countdown`"
        ) from error


def count_attempts(text: str) -> int:
    """Search steps of a completion: leaves compared with the target.

    Example:
        >>> count_attempts("6 + 3 = 9 | 9 + 2 = 11 ? 18 no | 9 * 2 = 18 ? 18 yes")
        2
    """
    return len(_ATTEMPT.findall(text))
