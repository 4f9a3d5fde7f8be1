r"""The written-out countdown searches of `trl_rlsp.countdown.search`, read exactly: what was tried, and is it true.

A step with a comparison is an attempt, a step without one goes a level deeper. An attempt may also be one whole
expression, `( 6 + 3 ) * 2 = 18 ? 18 yes`. Which numbers are left at each open branch is followed along the trace, so a
return to an earlier branch is known from the numbers that a step uses, not from a keyword.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from trl_rlsp.countdown.search import HIT, MISS
from trl_rlsp.text import MAX_CHARS, rational

COMMUTATIVE = ("+", "*")

_STEP = re.compile(
    r"(?:\A|[|\n>])[ ]{0,8}(?P<expression>[\d(][\d+*/() -]{1,200}?) ?= ?(?P<result>-?\d{1,12})(?![\d.])"
    rf"(?P<comparison> ?\? ?(?P<target>-?\d{{1,12}}) ?(?P<claim>{HIT}|{MISS})\b)?"
)
_OPERATION = re.compile(r"(\d{1,12}) ?([-+*/]) ?(\d{1,12})")
_INNER = re.compile(r"\([^()]*\)")


@dataclass(frozen=True)
class SearchStep:
    """One step of a written-out search.

    Attributes:
        start, end: its place in the text.
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
    """The steps of a written-out search, in order, and how many of them are what."""

    steps: tuple[SearchStep, ...]

    @property
    def attempts(self) -> int:
        """Comparisons with the target; each verifies one attempt."""
        return sum(step.is_attempt for step in self.steps)

    @property
    def backtracks(self) -> int:
        """Returns to an earlier open branch."""
        return sum(step.turned_back for step in self.steps)

    @property
    def repeats(self) -> int:
        """Attempts that had been made before."""
        return sum(step.repeated for step in self.steps)

    @property
    def wrong_steps(self) -> int:
        """Steps whose arithmetic does not hold."""
        return sum(not step.right for step in self.steps)

    @property
    def wrong_claims(self) -> int:
        """Attempts that call a miss a hit or a hit a miss."""
        return sum(step.claim_right is False for step in self.steps)

    @property
    def strays(self) -> int:
        """Steps that use numbers no open branch has."""
        return sum(step.stray for step in self.steps)


def read_search(text: str, numbers: Sequence[int] | None = None) -> SearchTrace:
    r"""Read the written-out search in a completion.

    Args:
        text: the completion; its first `MAX_CHARS` characters are looked at.
        numbers: the numbers of the problem; default those that the path to the first attempt uses.

    Returns:
        Its steps; none if no step is compared with a target.

    Example:
        >>> trace = read_search("6 + 3 = 9 | 9 + 2 = 11 ? 18 no | 6 - 3 = 3 | 3 * 2 = 5 ? 18 no")
        >>> trace.attempts, trace.backtracks, trace.wrong_steps
        (2, 1, 1)
    """
    text = text[:MAX_CHARS]
    found = list(_STEP.finditer(text)) if f" {HIT}" in text or f" {MISS}" in text else []
    if not any(match["claim"] for match in found):
        return SearchTrace(())
    reader = _Reader(numbers if numbers is not None else _numbers_of_first_path(found))
    return SearchTrace(tuple(reader.step(match) for match in found))


def _operation(match: re.Match[str]) -> tuple[int, str, int] | None:
    """A step of two numbers; `None` for a whole expression."""
    parts = _OPERATION.fullmatch(match["expression"].strip())
    return (int(parts[1]), parts[2], int(parts[3])) if parts else None


def _numbers_of_first_path(found: Iterable[re.Match[str]]) -> list[int]:
    numbers: list[int] = []
    made: list[int] = []
    for match in found:
        operation = _operation(match)
        if operation:
            for value in (operation[0], operation[2]):
                (made.remove if value in made else numbers.append)(value)
            made.append(int(match["result"]))
        if match["claim"]:
            break
    return numbers


@dataclass(frozen=True)
class _Made:
    """A number, the expression that made it, and the same with the operands of + and * in one order."""

    value: int
    text: str
    key: str


@dataclass
class _Branch:
    """A point of the search: the numbers left, and the operations already tried here."""

    terms: list[_Made]
    tried: set[tuple[int, str, int]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.values = [term.value for term in self.terms]

    def has(self, left: int, right: int) -> bool:
        """Whether both numbers are here, twice if they are equal."""
        twice = left != right or self.values.count(left) > 1
        return left in self.values and right in self.values and twice

    def has_tried(self, left: int, op: str, right: int) -> bool:
        """Whether the operation was tried here; the other order of + and * is another one only of equal numbers."""
        if (left, op, right) in self.tried:
            return True
        distinct = self.values.count(left) == 1 and self.values.count(right) == 1
        return op in COMMUTATIVE and distinct and (right, op, left) in self.tried

    def take(self, left: int, right: int) -> tuple[_Made, _Made, list[_Made]]:
        """(`left`, `right`, the terms beside them) where `has` says that both are here."""
        first = self.values.index(left)
        second = self.values.index(right, first + 1) if left == right else self.values.index(right)
        rest = [term for place, term in enumerate(self.terms) if place not in (first, second)]
        return self.terms[first], self.terms[second], rest


class _Reader:
    """The path from the root to the present branch of a depth-first search, and the attempts made so far."""

    def __init__(self, numbers: Iterable[int]) -> None:
        self.open = [_Branch([_Made(number, str(number), str(number)) for number in numbers])]
        self.seen: set[str] = set()
        self.brackets: set[str] = set()

    def step(self, match: re.Match[str]) -> SearchStep:
        """The next step."""
        attempt = match["claim"] is not None
        expression = key = " ".join(match["expression"].split())
        turned_back = stray = False
        operation = _operation(match)
        if operation:
            placed = self._place(*operation, int(match["result"]), attempt)
            stray = placed is None
            if placed:
                made, turned_back = placed
                expression, key = made.text, made.key
        else:  # one whole expression turned back if a bracket of the one before is gone
            brackets = set(_INNER.findall(match["expression"]))
            turned_back = bool(self.brackets - brackets)
            self.brackets = brackets
        repeated = attempt and key in self.seen
        self.seen |= {key} if attempt else set()
        return SearchStep(
            start=match.start("expression"),
            end=match.end(),
            written=match["expression"].strip(),
            expression=expression,
            result=int(match["result"]),
            target=int(match["target"]) if attempt else None,
            claim=match["claim"] == HIT if attempt else None,
            compared=match.start("comparison") + 1 if attempt else match.end(),
            turned_back=turned_back,
            repeated=repeated,
            stray=stray,
        )

    def _place(self, left: int, op: str, right: int, result: int, attempt: bool) -> tuple[_Made, bool] | None:
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
            return None
        untried = (depth for depth in depths if not self.open[depth].has_tried(left, op, right))
        depth = next(untried, depths[0])
        turned_back = depth < len(self.open) - 1
        first, second, rest = self.open[depth].take(left, right)
        keys = sorted([first.key, second.key]) if op in COMMUTATIVE else [first.key, second.key]
        made = _Made(result, f"( {first.text} {op} {second.text} )", f"( {keys[0]} {op} {keys[1]} )")
        del self.open[depth + 1 :]
        self.open[depth].tried.add((left, op, right))
        if not attempt:
            self.open.append(_Branch([made, *rest]))
        return made, turned_back
