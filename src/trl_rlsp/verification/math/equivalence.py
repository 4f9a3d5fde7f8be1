"""Whether two answers are the same, given a way to compare their leaves.

The same rules run twice: in the trainer's process with leaves that only look at text and exact rational numbers and
say `Undecided` otherwise, and in a worker with symbolic leaves.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, Protocol

from trl_rlsp.text.rational import rational
from trl_rlsp.verification.math.structure import MAX_ITEMS, Shape, shape_of

_UNEVALUATED = re.compile(
    r"\\(?:sum|int|iint|prod|lim|det|gcd|lcm|max|min|sup|inf|lfloor|lceil|binom|bmod|pmod|mod|sin|cos|tan|cot|sec|csc|arcsin"
    r"|arccos|arctan|log|ln|exp|oint|partial|nabla|operatorname|begin)(?![A-Za-z])|!|\bC\(|\bmod\b|\|"
)
_NOTATION = re.compile(  # says something that no value stands for: only the same text is the same
    r"\\(?:angle|triangle|overline|overrightarrow|overleftrightarrow|widehat|vec) ?\{?[A-Z]|\\frac\{d\w?\}\{d\w\}"
)
_STOP_WORDS = re.compile(
    r"\b(?:or|and|not|any|other|maybe|either|if|but|no|wrong|except|none|unknown|probably|perhaps|possibly|about|else|all|is|to"
    r"|approximately|approx|roughly|around|nearly|almost|more|less|than|over|under|least|most)\b|[^\w\s^%/$'.-]"
)
_VARIABLE = re.compile(r"\\(?:alpha|beta|gamma|theta|lambda|phi)|(?<![\\A-Za-z])[A-Za-z]")


class Undecided(Exception):
    """Text and rational numbers do not settle whether two leaves are equal."""


class Leaves(Protocol):
    """How two leaf expressions are compared."""

    def equal(self, gold: str, answer: str) -> bool:
        """Whether two expressions have the same value."""

    def same_equation(self, gold: tuple[str, str], answer: tuple[str, str]) -> bool:
        """Whether two equations, as (left, right), differ by a constant factor only."""


class TextLeaves:
    """Leaves compared letter by letter."""

    def equal(self, gold: str, answer: str) -> bool:
        return gold == answer

    def same_equation(self, gold: tuple[str, str], answer: tuple[str, str]) -> bool:
        return gold == answer


class QuickLeaves(TextLeaves):
    """Leaves compared letter by letter, then as exact rational numbers.

    Args:
        tolerance: relative; two numbers a, b are equal if |a - b| <= tolerance * max(|a|, |b|). 0 near 0 is only 0.
        evaluated: a rational gold wants a number or plain arithmetic; `\\sqrt{4}`, `\\gcd(12,18)` and anything with
            letters is not 2 or 6.
    """

    def __init__(self, tolerance: float = 0.0, evaluated: bool = True) -> None:
        self.tolerance = Fraction(tolerance)
        self.evaluated = evaluated

    def equal(self, gold: str, answer: str) -> bool:
        if gold == answer:
            return True
        gold_value, value = rational(gold), rational(answer)
        if gold_value is not None and value is not None:
            return close(gold_value, value, self.tolerance)
        if gold_value is not None and self.evaluated and not self.tolerance:
            return False
        raise Undecided

    def same_equation(self, gold: tuple[str, str], answer: tuple[str, str]) -> bool:
        if gold == answer:
            return True
        raise Undecided


def close(a: Fraction, b: Fraction, tolerance: Fraction) -> bool:
    """Relative closeness; exact equality for tolerance 0."""
    return a == b or abs(a - b) <= tolerance * max(abs(a), abs(b))


def same_answer(gold: str, answer: str, leaves: Leaves, *, evaluated: bool = True) -> bool:
    """Whether an answer is the gold answer.

    Args:
        gold, answer: as written, without box.
        leaves: how expressions are compared.
        evaluated: refuse operators in the answer that gold does not have (`\\sum`, `\\gcd`, `\\binom`, `!`).

    Raises:
        Undecided: by quick leaves, where a symbolic comparison is needed.
    """
    return _Comparison(leaves, evaluated).same(shape_of(gold), shape_of(answer))


class _Comparison:
    def __init__(self, leaves: Leaves, evaluated: bool) -> None:
        self.leaves = leaves
        self.evaluated = evaluated

    def same(self, gold: Shape, answer: Shape) -> bool:
        if gold.name and answer.name and gold.kind == answer.kind and gold.name != answer.name:
            return False
        if gold.kind == "equation" or (answer.kind == "equation" and gold.name and _VARIABLE.search(gold.text)):
            return self._equations(gold, answer)
        if answer.kind in ("equation", "chain"):
            return all(self.same(gold, side) for side in answer.items)
        if gold.kind == "text" or answer.kind == "text":
            return _same_words(gold.text, answer.text)
        return self._structures(gold, answer)

    def _structures(self, gold: Shape, answer: Shape) -> bool:
        if gold.kind in ("list", "set"):
            if answer.kind == "scalar":
                return len(gold.items) == 1 and self.same(gold.items[0], answer)
            return answer.kind in ("list", "set") and self._items(gold, answer, ordered=False)
        if answer.kind in ("list", "set"):
            return len(answer.items) == 1 and self.same(gold, answer.items[0])
        if gold.kind == "union" and answer.kind == "union":
            return self._items(gold, answer, ordered=False)
        if gold.kind == "tuple" and answer.kind == "tuple":
            return gold.brackets == answer.brackets and self._items(gold, answer, ordered=True)
        if gold.kind == "matrix" and answer.kind == "matrix":
            return self._items(gold, answer, ordered=True)
        return gold.kind == answer.kind == "scalar" and self._scalars(gold, answer)

    def _items(self, gold: Shape, answer: Shape, *, ordered: bool) -> bool:
        if len(gold.items) != len(answer.items) or len(gold.items) > MAX_ITEMS:
            return False
        if ordered:
            return _all_decided(self.same, list(zip(gold.items, answer.items, strict=True)))
        left = list(answer.items)
        undecided = False
        for item in gold.items:
            found, doubt = self._find(item, left)
            undecided |= doubt
            if found is None and not doubt:
                return False
            if found is not None:
                left.pop(found)
        if undecided:
            raise Undecided
        return True

    def _find(self, item: Shape, candidates: Sequence[Shape]) -> tuple[int | None, bool]:
        """(index of the first candidate equal to the item, whether any could not be decided)."""
        for i, candidate in enumerate(candidates):
            if candidate.text == item.text and candidate == item:
                return i, False
        doubt = False
        for i, candidate in enumerate(candidates):
            try:
                if self.same(item, candidate):
                    return i, False
            except Undecided:
                doubt = True
        return None, doubt

    def _equations(self, gold: Shape, answer: Shape) -> bool:
        left, right = _as_equation(gold), _as_equation(answer)
        return left is not None and right is not None and self.leaves.same_equation(left, right)

    def _scalars(self, gold: Shape, answer: Shape) -> bool:
        if gold.base or answer.base:
            return (gold.text, gold.base) == (answer.text, answer.base)
        if gold.unit and answer.unit and gold.unit != answer.unit:
            return False
        if not gold.unit and _STOP_WORDS.search(answer.unit):
            return False
        if gold.text == answer.text:
            return True
        if _NOTATION.search(gold.text) or _NOTATION.search(answer.text):
            return False
        if not _readable(answer.text) or (self.evaluated and _new_operators(gold.text, answer.text)):
            return False
        if gold.text.endswith("%") and not answer.text.endswith("%"):
            gold_number = gold.text[:-1]
            return _any_decided(self.leaves.equal, [(gold_number, answer.text), (gold.text, answer.text)])
        return self.leaves.equal(gold.text, answer.text)


def _all_decided(test: Callable[[Any, Any], bool], pairs: Sequence[tuple[Any, Any]]) -> bool:
    """All pairs pass; one that fails settles it, even beside undecided ones."""
    return not _any_decided(lambda a, b: not test(a, b), pairs)


def _any_decided(test: Callable[[Any, Any], bool], pairs: Sequence[tuple[Any, Any]]) -> bool:
    """Some pair passes; one that passes settles it, even beside undecided ones."""
    undecided = False
    for pair in pairs:
        try:
            if test(*pair):
                return True
        except Undecided:
            undecided = True
    if undecided:
        raise Undecided
    return False


_UNREADABLE = re.compile(r"\\text|\\dots|\.\.|@|\d_")


def _readable(text: str) -> bool:
    """Only mathematics: no words, no foreign letters, no dots that stand for something, no digits in another base."""
    return text.isascii() and not _UNREADABLE.search(text)


def _new_operators(gold: str, answer: str) -> bool:
    """Operators that gold does not have; all logarithms are one operator."""
    found, known = ({op.replace("ln", "log") for op in _UNEVALUATED.findall(text)} for text in (answer, gold))
    return bool(found - known)


def _as_equation(shape: Shape) -> tuple[str, str] | None:
    if shape.kind == "equation":
        return shape.items[0].text, shape.items[1].text
    if shape.kind == "scalar" and shape.name:
        return shape.name, shape.text
    return None


def _same_words(gold: str, answer: str) -> bool:
    """Letter case matters for single letters only; parentheses, spaces and final stops never do."""
    left, right = (re.sub(r"[\s().'\"$]|\\text|[{}]", "", text) for text in (gold, answer))
    return left == right or (len(left) > 1 and left.casefold() == right.casefold())
