r"""The written-out countdown searches of `trl_rlsp.countdown.search`, read exactly: what was tried, and is it true.

A step with a comparison is an attempt, a step without one goes a level deeper. Which numbers are left at each open
branch is followed along the trace, so a return to an earlier branch is known from the numbers that a step uses, not
from a keyword.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from trl_rlsp.countdown.search import HIT, MISS
from trl_rlsp.text import MAX_CHARS, rational

COMMUTATIVE = ("+", "*")

_STEP = re.compile(
    r"(?:\A|[|\n>])[ ]{0,8}(?P<written>(?P<left>\d{1,12}) ?(?P<op>[-+*/]) ?(?P<right>\d{1,12})) ?= ?"
    r"(?P<result>-?\d{1,12})(?![\d.])"
    rf"(?P<comparison> ?\? ?(?P<target>-?\d{{1,12}}) ?(?P<claim>{HIT}|{MISS})\b)?"
)


@dataclass(frozen=True)
class SearchStep:
    """One step of a written-out search, from `start` to `end` in the text.

    Attributes:
        written: its left side as written.
        expression: its left side in the given numbers; as written where it cannot be placed.
        result: the value it claims.
        target: the value it is compared with; `None` in a step that is no attempt.
        claim: whether it says that the target is hit; `None` in a step that is no attempt.
        compared: where the comparison starts; `end` in a step that is no attempt.
        turned_back: it returns to an earlier open branch.
        repeated: the same attempt was made before.
        stray: it uses numbers that no open branch has.
    """

    start: int
    end: int
    written: str
    expression: str
    result: int
    target: int | None
    claim: bool | None
    compared: int
    turned_back: bool
    repeated: bool
    stray: bool

    @property
    def is_attempt(self) -> bool:
        """Whether it is compared with a target."""
        return self.claim is not None

    @property
    def right(self) -> bool:
        """Whether the arithmetic holds: the left side as written has the value claimed."""
        return rational(self.written) == self.result

    @property
    def claim_right(self) -> bool | None:
        """Whether hit or miss is said rightly of the whole expression; `None` in a step that is no attempt."""
        return None if self.claim is None else self.claim == (rational(self.expression) == self.target)


@dataclass(frozen=True)
class SearchTrace:
    """The steps of a written-out search, in order."""

    steps: tuple[SearchStep, ...]

    def counts(self) -> dict[str, int]:
        """How many steps are attempts, return to an earlier branch, repeat an attempt, are wrong, use other numbers."""
        return {
            "attempts": sum(step.is_attempt for step in self.steps),
            "backtracks": sum(step.turned_back for step in self.steps),
            "repeats": sum(step.repeated for step in self.steps),
            "wrong_steps": sum(not step.right for step in self.steps),
            "wrong_claims": sum(step.claim_right is False for step in self.steps),
            "strays": sum(step.stray for step in self.steps),
        }


def read_search(text: str, numbers: Sequence[int] | None = None) -> SearchTrace:
    r"""Read the written-out search in a completion; it has no steps if none is compared with a target.

    Args:
        text: the completion; its first `MAX_CHARS` characters are looked at.
        numbers: the numbers of the problem; default those that the path to the first attempt uses.

    Example:
        >>> trace = read_search("6 + 3 = 9 | 9 + 2 = 11 ? 18 no | 6 - 3 = 3 | 3 * 2 = 5 ? 18 no")
        >>> [step.written for step in trace.steps if step.turned_back or not step.right]
        ['6 - 3', '3 * 2']
    """
    text = text[:MAX_CHARS]
    found = list(_STEP.finditer(text)) if f" {HIT}" in text or f" {MISS}" in text else []
    if not any(match["claim"] for match in found):
        return SearchTrace(())
    reader = _Reader(numbers if numbers is not None else _numbers_of_first_path(found))
    return SearchTrace(tuple(reader.step(match) for match in found))


def _numbers_of_first_path(found: Iterable[re.Match[str]]) -> list[int]:
    numbers: list[int] = []
    made: list[int] = []
    for match in found:
        for value in (int(match["left"]), int(match["right"])):
            (made.remove if value in made else numbers.append)(value)
        made.append(int(match["result"]))
        if match["claim"]:
            break
    return numbers


class _Made(NamedTuple):
    """A number, the expression that made it, and the same with the operands of + and * in one order."""

    value: int
    text: str
    key: str


class _Branch:
    """A point of the search: the numbers left, and the operations already tried here."""

    def __init__(self, terms: list[_Made]) -> None:
        self.terms = terms
        self.values = [term.value for term in terms]
        self.tried: set[tuple[int, str, int]] = set()

    def has(self, left: int, right: int) -> bool:
        """Whether both numbers are here, twice if they are equal."""
        twice = left != right or self.values.count(left) > 1
        return left in self.values and right in self.values and twice

    def has_tried(self, left: int, op: str, right: int) -> bool:
        """Whether the operation was tried here; the other order of + and * is another one only of equal numbers."""
        swapped = op in COMMUTATIVE and self.values.count(left) == self.values.count(right) == 1
        return (left, op, right) in self.tried or (swapped and (right, op, left) in self.tried)

    def make(self, left: int, op: str, right: int, result: int) -> list[_Made]:
        """The result of an operation whose numbers are here, before the terms left beside it."""
        first = self.values.index(left)
        second = self.values.index(right, first + 1 if left == right else 0)
        a, b = self.terms[first], self.terms[second]
        keys = sorted([a.key, b.key]) if op in COMMUTATIVE else [a.key, b.key]
        made = _Made(result, f"( {a.text} {op} {b.text} )", f"( {keys[0]} {op} {keys[1]} )")
        self.tried.add((left, op, right))
        return [made, *(term for place, term in enumerate(self.terms) if place not in (first, second))]


class _Reader:
    """The path from the root to the present branch of a depth-first search, and the attempts made so far."""

    def __init__(self, numbers: Iterable[int]) -> None:
        self.open = [_Branch([_Made(number, str(number), str(number)) for number in numbers])]
        self.seen: set[str] = set()

    def step(self, match: re.Match[str]) -> SearchStep:
        """The next step."""
        attempt = match["claim"] is not None
        left, op, right = int(match["left"]), match["op"], int(match["right"])
        made, turned_back = self._place(left, op, right, int(match["result"]), attempt)
        key = made.key if made else match["written"]
        repeated = attempt and key in self.seen
        if attempt:
            self.seen.add(key)
        return SearchStep(
            start=match.start("written"),
            end=match.end(),
            written=match["written"],
            expression=made.text if made else match["written"],
            result=int(match["result"]),
            target=int(match["target"]) if attempt else None,
            claim=match["claim"] == HIT if attempt else None,
            compared=match.start("comparison") + 1 if attempt else match.end(),
            turned_back=turned_back,
            repeated=repeated,
            stray=made is None,
        )

    def _place(self, left: int, op: str, right: int, result: int, attempt: bool) -> tuple[_Made | None, bool]:
        """Put a step at the deepest branch that has both numbers, and close those below; if no attempt, it opens one.

        A branch at which the same operation was tried already gives way to an earlier one. Gives the number made, and
        whether the step turned back; `None` if no open branch has both numbers.
        """
        depths = [
            depth
            for depth, branch in reversed(list(enumerate(self.open)))
            if (attempt or len(branch.terms) > 2) and branch.has(left, right)
        ]
        if not depths:
            return None, False
        untried = (depth for depth in depths if not self.open[depth].has_tried(left, op, right))
        depth = next(untried, depths[0])
        turned_back = depth < len(self.open) - 1
        terms = self.open[depth].make(left, op, right, result)
        del self.open[depth + 1 :]
        if not attempt:
            self.open.append(_Branch(terms))
        return terms[0], turned_back
