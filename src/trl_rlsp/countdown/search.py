r"""Depth-first search for countdown: written as text for synthetic demonstrations, and parsed exactly.

A countdown problem gives numbers and a target; the answer is an expression that uses every number once and equals the
target. The search combines two numbers, continues with the smaller set, and returns to the last open branch when a leaf
misses. Every step is one operation; every leaf, an *attempt*, repeats the target next to its result:

    6 + 3 = 9 | 9 + 2 = 11 ? 18 no | 9 * 2 = 18 ? 18 yes \boxed{ ( 6 + 3 ) * 2 }

Intermediate results are integers between 0 and `limit`. The parser tracks the numbers left at each open branch, so it
detects a return to an earlier branch from the numbers that a step uses, not from a keyword.
"""

from __future__ import annotations

import itertools
import json
import operator
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

from trl_rlsp.errors import ConfigError, DataError
from trl_rlsp.text import MAX_CHARS, rational

SearchOrder = Literal["random", "systematic"]

SEPARATOR, HIT, MISS = "|", "yes", "no"
OPERATIONS = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.floordiv}
COMMUTATIVE = ("+", "*")

_ATTEMPT = re.compile(rf"= (\d+) \? (\d+) (?:{HIT}|{MISS})\b")
_STEP = re.compile(
    r"(?:\A|[|\n>])[ ]{0,8}(?P<written>(?P<left>\d{1,12}) ?(?P<op>[-+*/]) ?(?P<right>\d{1,12})) ?= ?"
    r"(?P<result>-?\d{1,12})(?![\d.])"
    rf"(?P<comparison> ?\? ?(?P<target>-?\d{{1,12}}) ?(?P<claim>{HIT}|{MISS})\b)?"
)


class Term(NamedTuple):
    """A number, its expression, and the expression with the operands of + and * sorted."""

    value: int
    text: str
    key: str

    @classmethod
    def given(cls, value: int) -> Term:
        """A term for a number of the problem."""
        return cls(value, str(value), str(value))

    @classmethod
    def made(cls, left: Term, op: str, right: Term, value: int) -> Term:
        """The term that results from an operation on two terms, in parentheses."""
        keys = sorted([left.key, right.key]) if op in COMMUTATIVE else [left.key, right.key]
        return cls(value, f"( {left.text} {op} {right.text} )", f"( {keys[0]} {op} {keys[1]} )")


class Step(NamedTuple):
    """One operation as written in a trace (`6 + 3 = 9`), its result, and the other terms left."""

    written: str
    result: Term
    rest: tuple[Term, ...]


class Trace(NamedTuple):
    """A written search; its answer is the hit, or the last attempt if it gave up."""

    reasoning: str
    answer: str
    solved: bool
    attempts: int


def steps(terms: tuple[Term, ...], limit: int) -> list[Step]:
    """All single operations on `terms` with a result up to `limit`, without duplicates due to equal numbers."""
    found: dict[tuple[object, ...], Step] = {}
    for i, j in itertools.combinations(range(len(terms)), 2):
        a, b, rest = terms[i], terms[j], (*terms[:i], *terms[i + 1 : j], *terms[j + 1 :])
        for op, left, right in (("+", a, b), ("-", a, b), ("-", b, a), ("*", a, b), ("/", a, b), ("/", b, a)):
            if op == "/" and (right.value == 0 or left.value % right.value):
                continue
            value = OPERATIONS[op](left.value, right.value)
            if 0 <= value <= limit:
                written = f"{left.value} {op} {right.value} = {value}"
                made = Term.made(left, op, right, value)
                found.setdefault((written, *sorted(t.value for t in rest)), Step(written, made, rest))
    return list(found.values())


def _leaves(terms: tuple[Term, ...], limit: int, rng: random.Random | None) -> Iterator[list[Step]]:
    """Iterate depth-first over all leaves, each as its path from the root; without `rng` in the order of `steps`."""
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
    """Write a depth-first search for `target` with two or more positive integers.

    `rng` shuffles the branches; `None` searches systematically: numbers in the given order, + before - * /.
    The search gives up after `budget` attempts (`None`: never); `limit` is the largest intermediate result.
    """
    terms = tuple(map(Term.given, numbers))
    if len(terms) < 2:
        raise ConfigError(f"a countdown problem has two or more numbers, got {[t.value for t in terms]}")
    if budget is not None and budget < 1:
        raise ConfigError(f"budget must be at least 1 attempt, got {budget}")
    parts, written = list[str](), list[Step]()
    attempts, last, solved = 0, "", False
    for *inner, leaf in itertools.islice(_leaves(terms, limit, rng), budget):
        shared = sum(1 for a, b in zip(inner, written, strict=False) if a is b)
        parts += [step.written for step in inner[shared:]]
        attempts, last, written, solved = attempts + 1, leaf.result.text[2:-2], inner, leaf.result.value == target
        parts.append(f"{leaf.written} ? {target} {HIT if solved else MISS}")
        if solved:
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
    """Searches with a random budget, solved or not: rows `prompt`, `reasoning`, `answer`, `solved`, `attempts`.

    They show the process, not the answer: a model trained on them searches, but gives up early. The RL stage then
    learns how long to search (RLSP, 2502.06773, section 2.1).

    Args:
        problems: rows of `load_problems`; `per_problem` demonstrations are written for each.
        seed: seed for branch orders and budgets.
        mean_attempts: mean of the geometric budget, in attempts; `longest` is the maximum.
        hit_share: share of demonstrations in random order that are redrawn, up to 20 times, until they end in a hit.
        order: order of the branches, `"random"` or `"systematic"`.
        limit: largest intermediate result considered.
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
            for _ in range(20 if rng.random() < hit_share and branches is not None else 0):
                if not trace.solved:
                    trace = written_search(numbers, target, branches, budget=budget, limit=limit)
            rows.append({"prompt": problem["prompt"], **trace._asdict()})
    return rows


def countdown_of(problem: dict[str, str]) -> tuple[list[int], int]:
    """Numbers and target of a row of `load_problems`; DataError if its task is not countdown."""
    try:
        metadata = json.loads(problem["task"])["entry"]["metadata"]
        return list(metadata["numbers"]), int(metadata["target"])
    except (KeyError, TypeError, ValueError) as error:
        wanted = "countdown rows (column `task` with numbers and target)"
        got = f"got {problem.get('task')!r}; load them with `reasoning_gym:countdown`"
        raise DataError(f"search demonstrations need {wanted}, {got}") from error


def count_attempts(text: str) -> int:
    """Number of attempts in a completion: leaves compared with the target."""
    return len(_ATTEMPT.findall(text))


@dataclass(frozen=True)
class SearchStep:
    """One step of a written search, from `start` to `end` in the text; only attempts have the last three fields."""

    start: int
    end: int
    written: str  # its left side
    expression: str  # the left side in terms of the given numbers; as written for a stray step
    result: int  # the value it claims
    turned_back: bool  # whether it returns to an earlier open branch
    repeated: bool  # whether the same attempt was made before
    stray: bool  # whether it uses numbers that no open branch has
    target: int | None = None  # the value it is compared with
    claim: bool | None = None  # whether it claims to hit the target
    compared: int | None = None  # offset where the comparison starts

    @property
    def right(self) -> bool:
        """Whether the arithmetic is correct: the left side as written has the claimed value."""
        return rational(self.written) == self.result

    @property
    def claim_right(self) -> bool | None:
        """Whether the claimed hit or miss is correct for the whole expression; `None` if this is not an attempt."""
        return None if self.claim is None else self.claim == (rational(self.expression) == self.target)


@dataclass(frozen=True)
class SearchTrace:
    """The steps of a written search, in order."""

    steps: tuple[SearchStep, ...]

    def counts(self) -> dict[str, int]:
        """Number of attempts, backtracks, repeated attempts, wrong steps, wrong claims and stray steps."""
        return {
            "attempts": sum(step.claim is not None for step in self.steps),
            "backtracks": sum(step.turned_back for step in self.steps),
            "repeats": sum(step.repeated for step in self.steps),
            "wrong_steps": sum(not step.right for step in self.steps),
            "wrong_claims": sum(step.claim_right is False for step in self.steps),
            "strays": sum(step.stray for step in self.steps),
        }


def read_search(text: str, numbers: Sequence[int] | None = None) -> SearchTrace:
    r"""Parse the written search in a completion; the trace is empty if nothing is compared with a target.

    `numbers` are those of the problem; by default those that the path to the first attempt uses.

    Example:
        >>> trace = read_search("6 + 3 = 9 | 9 + 2 = 11 ? 18 no | 6 - 3 = 3 | 3 * 2 = 5 ? 18 no")
        >>> [step.written for step in trace.steps if step.turned_back or not step.right]
        ['6 - 3', '3 * 2']
    """
    text = text[:MAX_CHARS]
    found = list(_STEP.finditer(text)) if f" {HIT}" in text or f" {MISS}" in text else []
    if not any(match["claim"] for match in found):
        return SearchTrace(())
    given = _numbers_of_first_path(found) if numbers is None else numbers
    branches = [_Branch([*map(Term.given, given)], set())]
    seen: set[str] = set()
    steps = []
    for match in found:
        made, turned_back = _placed(branches, match)
        _, expression, key = made or Term(0, match["written"], match["written"])
        attempt: dict[str, Any] = {}
        if match["claim"]:
            attempt = {"target": int(match["target"]), "claim": match["claim"] == HIT}
            attempt["compared"] = match.start("comparison") + 1
        place = match.start("written"), match.end(), match["written"], expression, int(match["result"])
        steps.append(SearchStep(*place, turned_back, bool(attempt) and key in seen, made is None, **attempt))
        seen |= {key} if attempt else set()
    return SearchTrace(tuple(steps))


def _numbers_of_first_path(found: Iterable[re.Match[str]]) -> list[int]:
    numbers, made = list[int](), list[int]()
    for match in found:
        for value in (int(match["left"]), int(match["right"])):
            (made.remove if value in made else numbers.append)(value)
        made.append(int(match["result"]))
        if match["claim"]:
            break
    return numbers


class _Branch(NamedTuple):
    """A point of the search: the terms left, and the operations already tried here."""

    terms: list[Term]
    tried: set[tuple[object, ...]]

    def take(self, left: int, right: int) -> list[Term]:
        """The terms with the two values, then the others; empty if either value is missing."""
        taken, rest = list[Term](), list(self.terms)
        for value in (left, right):
            values = [term.value for term in rest]
            if value not in values:
                return []
            taken.append(rest.pop(values.index(value)))
        return [*taken, *rest]

    def operation(self, left: int, op: str, right: int) -> tuple[object, ...]:
        """A key for the operation. Swapped operands of + and * are the same operation unless a value occurs twice."""
        once = [sum(term.value == value for term in self.terms) == 1 for value in (left, right)]
        return (op, *(sorted([left, right]) if op in COMMUTATIVE and all(once) else (left, right)))


def _placed(branches: list[_Branch], match: re.Match[str]) -> tuple[Term | None, bool]:
    """Assign a step to the deepest branch that has both numbers and close those below; a non-attempt opens a branch.

    A branch where the same operation was already tried is skipped in favor of an earlier one. Returns the resulting
    term, `None` if no open branch has both numbers, and whether the step turned back.
    """
    left, op, right = int(match["left"]), match["op"], int(match["right"])
    attempt = match["claim"] is not None
    fitting = [b for b in branches[::-1] if (attempt or len(b.terms) > 2) and b.take(left, right)]
    if not fitting:
        return None, False
    branch = next((b for b in fitting if b.operation(left, op, right) not in b.tried), fitting[0])
    branch.tried.add(branch.operation(left, op, right))
    turned_back = branch is not branches[-1]
    first, second, *rest = branch.take(left, right)
    made = Term.made(first, op, second, int(match["result"]))
    branches[branches.index(branch) + 1 :] = [] if attempt else [_Branch([made, *rest], set())]
    return made, turned_back
