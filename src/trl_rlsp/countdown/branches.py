"""The open branches of a written-out countdown search: which numbers are left at each, and what was tried there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

COMMUTATIVE = ("+", "*")


@dataclass(frozen=True)
class Made:
    """A number with the expression that made it.

    Attributes:
        value: the number.
        text: the expression, in brackets unless it is a number of the problem.
        key: the same with the operands of + and * in one order, equal for attempts that differ in nothing else.
    """

    value: int
    text: str
    key: str


@dataclass
class Branch:
    """A point of the search.

    Attributes:
        terms: the numbers left.
        tried: operations already tried here.
    """

    terms: list[Made]
    tried: set[tuple[int, str, int]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.values = [term.value for term in self.terms]

    def has(self, left: int, right: int) -> bool:
        """Whether both numbers are here, twice if they are equal."""
        values = self.values
        return left in values and right in values and (left != right or values.count(left) > 1)

    def has_tried(self, left: int, op: str, right: int) -> bool:
        """Whether the operation was tried here; the other order of + and * is another one only of equal numbers."""
        if (left, op, right) in self.tried:
            return True
        distinct = self.values.count(left) == 1 and self.values.count(right) == 1
        return op in COMMUTATIVE and distinct and (right, op, left) in self.tried

    def take(self, left: int, right: int) -> tuple[Made, Made, list[Made]]:
        """(`left`, `right`, the terms beside them) where `has` says that both are here."""
        first = self.values.index(left)
        second = self.values.index(right, first + 1) if left == right else self.values.index(right)
        rest = [term for place, term in enumerate(self.terms) if place not in (first, second)]
        return self.terms[first], self.terms[second], rest


@dataclass(frozen=True)
class Placed:
    """Where a step stands in the search.

    Attributes:
        made: the step with its operands written out in the given numbers.
        turned_back: it stands at an earlier open branch than the step before it led to.
    """

    made: Made
    turned_back: bool


class Branches:
    """The path from the root to the present branch of a depth-first search.

    Args:
        numbers: the numbers of the problem.
    """

    def __init__(self, numbers: Iterable[int]) -> None:
        self.open = [Branch([Made(number, str(number), str(number)) for number in numbers])]

    def place(self, left: int, op: str, right: int, result: int, *, attempt: bool) -> Placed | None:
        """Put the step `left op right = result` where it belongs: the deepest branch that has both numbers.

        A branch at which the same operation was tried already gives way to an earlier one. Branches below the place
        are closed; a step that is no attempt opens one.

        Returns:
            Its place, or `None` if no open branch has both numbers.
        """
        depth = self._depth(left, op, right, attempt)
        if depth is None:
            return None
        first, second, rest = self.open[depth].take(left, right)
        turned_back = depth < len(self.open) - 1
        del self.open[depth + 1 :]
        self.open[depth].tried.add((left, op, right))
        made = _combined(first, op, second, result)
        if not attempt:
            self.open.append(Branch([made, *rest]))
        return Placed(made, turned_back)

    def _depth(self, left: int, op: str, right: int, attempt: bool) -> int | None:
        fallback = None
        for depth in range(len(self.open) - 1, -1, -1):
            branch = self.open[depth]
            if (attempt or len(branch.terms) > 2) and branch.has(left, right):
                if not branch.has_tried(left, op, right):
                    return depth
                fallback = depth if fallback is None else fallback
        return fallback


def _combined(left: Made, op: str, right: Made, result: int) -> Made:
    keys = sorted([left.key, right.key]) if op in COMMUTATIVE else [left.key, right.key]
    return Made(result, f"( {left.text} {op} {right.text} )", f"( {keys[0]} {op} {keys[1]} )")
