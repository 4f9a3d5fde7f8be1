"""The open branches of a written-out countdown search: which numbers are left at each, and what was tried there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

COMMUTATIVE = ("+", "*")


@dataclass
class Branch:
    """A point of the search.

    Attributes:
        terms: the numbers left, each with the expression that made it.
        tried: operations already tried here.
    """

    terms: list[tuple[int, str]]
    tried: set[tuple[int, str, int]] = field(default_factory=set)

    def take(self, left: int, right: int) -> tuple[str, str, list[tuple[int, str]]] | None:
        """(expression of `left`, of `right`, the terms beside them), or `None` where they are not both here."""
        rest = list(self.terms)
        texts = []
        for value in (left, right):
            place = next((i for i, term in enumerate(rest) if term[0] == value), None)
            if place is None:
                return None
            texts.append(rest.pop(place)[1])
        return texts[0], texts[1], rest


@dataclass(frozen=True)
class Placed:
    """Where a step stands in the search.

    Attributes:
        expression: the step with its operands written out in the given numbers; operands of + and * in one order.
        turned_back: it stands at an earlier open branch than the step before it led to.
    """

    expression: str
    turned_back: bool


class Branches:
    """The path from the root to the present branch of a depth-first search.

    Args:
        numbers: the numbers of the problem.
    """

    def __init__(self, numbers: Iterable[int]) -> None:
        self.open = [Branch([(number, str(number)) for number in numbers])]

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
        turned_back = depth < len(self.open) - 1
        del self.open[depth + 1 :]
        branch = self.open[depth]
        first, second, rest = branch.take(left, right) or ("", "", [])
        branch.tried.add((left, op, right))
        if op in COMMUTATIVE and second < first:
            first, second = second, first
        expression = f"( {first} {op} {second} )"
        if not attempt:
            self.open.append(Branch([(result, expression), *rest]))
        return Placed(expression, turned_back)

    def _depth(self, left: int, op: str, right: int, attempt: bool) -> int | None:
        fitting = [
            depth
            for depth in range(len(self.open) - 1, -1, -1)
            if (attempt or len(self.open[depth].terms) > 2) and self.open[depth].take(left, right) is not None
        ]
        untried = [depth for depth in fitting if (left, op, right) not in self.open[depth].tried]
        return next(iter(untried or fitting), None)
