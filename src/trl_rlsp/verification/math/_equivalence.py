"""Whether two answers are equivalent, given a way to compare their leaf expressions.

The same rules run twice: in the trainer's process with leaves that compare only text and exact rational numbers, and,
where that is undecided, in a worker with symbolic leaves.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from trl_rlsp.text import normalize, rational
from trl_rlsp.verification.math._structure import MAX_ITEMS, Shape, has_variable, shape_of

_UNEVALUATED = re.compile(
    r"\\(?:sum|int|iint|prod|lim|det|gcd|lcm|max|min|sup|inf|lfloor|lceil|binom|bmod|pmod|mod|sin|cos|tan|cot|sec|csc|arcsin"
    r"|arccos|arctan|sinh|cosh|tanh|log|ln|exp|oint|partial|nabla|operatorname|begin)(?![A-Za-z])|!|\bC\(|\bmod\b|\|"
)
_NEVER_NEW = re.compile(
    r"\\(?:int|iint|oint|lim|partial|nabla|operatorname|begin|sup|inf)(?![A-Za-z])|\bmod\b|\\[bp]?mod\b"
)
_NOTATION = re.compile(  # notation that has no value: only identical text is equal
    r"\d_|\\(?:angle|triangle|overline|overrightarrow|overleftrightarrow|widehat|vec) ?\{?[A-Z]|\\frac\{d\w?\}\{d\w\}"
)
_NO_UNIT = re.compile(  # words after a value that change or retract it
    r"\b(?:or|and|not|any|other|maybe|either|if|but|no|wrong|except|none|unknown|probably|perhaps|possibly|about|else|all|is|to"
    r"|approximately|approx|roughly|around|nearly|almost|more|less|than|over|under|least|most|hundred|thousand|million|billion"
    r"|trillion|dozen|score|gross|squared|cubed|half|halve|third|quarter|tenth|hundredth|thousandth|double|twice|triple|time"
    r"|minu|plu|negative|k|mega|kilo|factorial|mod|modulo|base|power|root|e)\b|[^\w\s^%/$'.-]"
)
_UNREADABLE = re.compile(r"\\text|\\dots|\.\.|@|\d'|(?<![\d.])-0(?![\d.])|\\pm ?-|-\\pm|[A-Za-z]'\(")
_CHOICE = re.compile(r"\(?([A-Z])\)?[.:]?")
_CHOICE_OF = re.compile(r"(?s)(?i:option|choice|answer)? ?(?:\(([A-Z])\)[.:]?|([A-Z])(?:\)|[.:])|([A-Z])$)(.{0,80})")
_CALL = re.compile(r"([A-Za-z]\w*'*)\(([a-z](?:,[a-z])*)\)")


class Leaves:
    """Compares leaf expressions: character by character, then as exact rational numbers.

    An unsettled comparison gives `False` and sets `undecided`; `True` for the whole answer still holds, as no rule
    negates a leaf. Numbers a, b are equal if |a - b| <= tolerance * max(|a|, |b|): only 0 equals 0.
    """

    def __init__(self, tolerance: float = 0.0) -> None:
        self.tolerance = Fraction(tolerance)
        self.undecided = False

    def equal(self, gold: str, answer: str) -> bool:
        """Whether two expressions have the same value."""
        right, left = rational(gold), rational(answer)
        return self._sure(gold == answer) if right is None or left is None else close(right, left, self.tolerance)

    def rounded(self, exact: str, decimal: str) -> bool:
        """Whether a decimal is the rounded value of an expression."""
        value, about = rational(exact), rational(decimal)
        return about is not None and (self._sure(False) if value is None else rounds_to(value, about, decimal))

    def same_equation(self, gold: tuple[str, str], answer: tuple[str, str]) -> bool:
        """Whether two equations, as (left, right), differ only by a constant factor."""
        return self._sure(gold == answer)

    def _sure(self, same: bool) -> bool:
        self.undecided |= not same
        return same


def close(a: Fraction, b: Fraction, tolerance: Fraction) -> bool:
    """Whether two numbers are equal up to a relative tolerance; exactly for tolerance 0."""
    return a == b or abs(a - b) <= tolerance * max(abs(a), abs(b))


def rounds_to(value: Any, about: Fraction, decimal: str) -> bool:
    """Whether `decimal`, of value `about`, is `value` rounded or truncated at the decimal's last digit."""
    digits = re.search(r"\.(\d+)", decimal)
    place = Fraction(1, 10 ** len(digits[1]) if digits else 1)
    return bool(2 * abs(value - about) <= place or (value * about >= 0 and 0 <= abs(value) - abs(about) < place))


def same_answer(gold: str, answer: str, leaves: Leaves, *, evaluated: bool = True, percent: bool = False) -> bool:
    """Whether an answer equals the gold answer, as far as the leaves can tell; both as written, without a box.

    `evaluated` is that of `MathRules`. `percent`: the problem asks for percent, so `10\\%` is right for a gold 10.
    """
    if choice := _CHOICE.fullmatch(_bare(gold)):
        return _chosen(answer) == choice[1]
    return _Comparison(leaves, evaluated, percent).same(shape_of(gold), shape_of(answer))


def _chosen(answer: str) -> str | None:
    """The letter of a multiple-choice answer, with or without the option's text; `None` if not exactly one."""
    match = _CHOICE_OF.fullmatch(_bare(answer))
    other = r"(?<![A-Za-z\\])[A-Z](?![A-Za-z])|(?<![a-z])(?:or|and|not)(?![a-z])|[;,?]"
    return None if match is None or re.search(other, match[4]) else match[1] or match[2] or match[3]


def _bare(text: str) -> str:
    return re.sub(r"\\text(?=\{)|[{}]", "", normalize(text)).strip() if len(text) < 200 else ""


@dataclass(frozen=True)
class _Comparison:
    leaves: Leaves
    evaluated: bool
    percent: bool

    def same(self, gold: Shape, answer: Shape) -> bool:
        if gold.name != answer.name and gold.name and answer.name and gold.kind == answer.kind:
            renamed = _renamed(gold, answer)
            return renamed is not None and self.same(gold, renamed)
        if gold.kind == "equation" or (answer.kind == "equation" and gold.name and has_variable(gold.text)):
            left, right = _as_equation(gold), _as_equation(answer)
            return left is not None and right is not None and self.leaves.same_equation(left, right)
        if gold.kind == "chain" or answer.kind in ("chain", "equation"):
            return self._chains(gold, answer)
        if gold.kind == "text" or answer.kind == "text":
            return _same_words(gold.text, answer.text)
        return self._structures(gold, answer)

    def _structures(self, gold: Shape, answer: Shape) -> bool:
        kinds = (gold.kind, answer.kind)
        lists = [kind in ("list", "set") for kind in kinds]
        if all(lists):
            ordered = _order(gold, answer)
            return ordered is not None and self._items(gold, answer, ordered=ordered)
        if any(lists):
            if len((gold if lists[0] else answer).items) == 1:
                return self.same(gold.items[0], answer) if lists[0] else self.same(gold, answer.items[0])
            number, listed = (answer, gold) if lists[0] else (gold, answer)
            return number.kind == "scalar" and answer.kind != "set" and _with_commas(number.text, listed.text)
        if kinds == ("union", "union"):
            return self._items(gold, answer, ordered=False)
        if kinds in (("tuple", "tuple"), ("matrix", "matrix"), ("ratio", "ratio")):
            return gold.brackets == answer.brackets and self._units_fit(gold, answer) and self._items(gold, answer)
        if "ratio" in kinds and "scalar" in kinds:
            return self._scalars(_quotient(gold), _quotient(answer))
        return kinds == ("scalar", "scalar") and self._scalars(gold, answer)

    def _items(self, gold: Shape, answer: Shape, *, ordered: bool = True) -> bool:
        if len(gold.items) != len(answer.items) or len(gold.items) > MAX_ITEMS:
            return False
        if ordered:
            return all(map(self.same, gold.items, answer.items))
        left = list(answer.items)
        for item in gold.items:
            candidates = sorted(left, key=item.__ne__)  # identical first
            fitting = next((other for other in candidates if other == item or self.same(item, other)), None)
            if fitting is None:
                return False
            left.remove(fitting)
        return True

    def _chains(self, gold: Shape, answer: Shape) -> bool:
        """Each side of the answer is one of gold's, some side is evaluated, and approximate sides fit the others."""
        golds = gold.items if gold.kind == "chain" else (replace(gold, name=""),)
        if answer.kind not in ("chain", "equation"):
            return any(self.same(side, replace(answer, name="")) for side in golds)
        free = replace(self, evaluated=False)
        exact = [side for side in answer.items if not side.approximate]

        def fits(side: Shape) -> bool:
            rounded = side.approximate and self.leaves.rounded(exact[-1].text, side.text)
            return rounded or any(free.same(one, side) for one in golds)

        evaluated = (self.same(one, side) for one in golds for side in exact)
        return all(map(fits, answer.items)) and (gold.kind == "chain" or any(evaluated))

    def _units_fit(self, gold: Shape, answer: Shape) -> bool:
        if gold.unit and answer.unit and gold.unit != answer.unit:
            return False
        return bool(gold.unit) or not _NO_UNIT.search(answer.unit)

    def _scalars(self, gold: Shape, answer: Shape) -> bool:
        if not self._units_fit(gold, answer):
            return False
        if gold.text == answer.text:
            return "\\frac{1}{0}" not in gold.text
        valueless = any(_NOTATION.search(shape.text) or "\\infty" in shape.text for shape in (gold, answer))
        if valueless or not answer.text.isascii() or _UNREADABLE.search(answer.text):
            return False
        if self.evaluated and self._unevaluated(gold.text, answer.text):
            return False
        signs = (gold.text.endswith("%"), answer.text.endswith("%"))
        cases = [(gold.text, answer.text)]
        if signs == (True, False) or (signs == (False, True) and self.percent):
            cases.append((gold.text.removesuffix("%"), answer.text.removesuffix("%")))
        return any(self.leaves.equal(*case) for case in cases)

    def _unevaluated(self, gold: str, answer: str) -> bool:
        """Whether the answer has operators that gold does not have; all logarithms count as one operator."""
        if not self.leaves.tolerance and rational(gold) is not None and rational(answer) is None:
            return True
        operators = _NEVER_NEW if has_variable(gold) else _UNEVALUATED
        found, known = ({op.replace("ln", "log") for op in operators.findall(text)} for text in (answer, gold))
        return bool(found - known)


def _order(gold: Shape, answer: Shape) -> bool | None:
    """Whether order matters: only if one side names several values and the other none. `None`: names do not match."""
    names = [{item.name for item in shape.items} - {""} for shape in (gold, answer)]
    several = max(map(len, names)) > 1
    return None if several and (gold.name or answer.name) else several and not all(names)


def _with_commas(number: str, listed: str) -> bool:
    """Whether a list is a number with a comma: `1000,99` for 1000.99; `-530,784` may be a number or a list."""
    if "," not in number:
        return number == listed.replace(",", ".") and "." in number
    return sorted(number.split(",")) == sorted(listed.replace(" ", "").split(","))


def _quotient(shape: Shape) -> Shape:
    """The ratio 3:2 as 3/2; a time of day (12:05, 3:00) is unchanged."""
    if shape.kind == "scalar":
        return shape
    top, *bottoms = (item.text for item in shape.items)
    if len(bottoms) != 1 or bottoms[0].startswith("0"):
        return Shape("scalar", "\\text{time}")
    return Shape("scalar", f"\\frac{{{top}}}{{{bottoms[0]}}}", unit=shape.unit)


def _renamed(gold: Shape, answer: Shape) -> Shape | None:
    """The answer with gold's name if both mean the same: `f(n)=n` and `f(x)=x`, `y=2x` and `f(x)=2x`."""
    calls = [_CALL.fullmatch(shape.name) for shape in (gold, answer)]
    if calls[0] and calls[1]:
        new, old = (call[2].split(",") for call in calls if call)
        foreign = (rf"(?<![A-Za-z\\]){letter}(?![a-z])" for letter in set(new) - set(old))
        if calls[0][1] != calls[1][1] or len(old) != len(new) or re.search("|".join(["=", *foreign]), answer.text):
            return None
        names = dict(zip(old, new, strict=True))
        text = re.sub(r"\\[A-Za-z]+|[a-z]", lambda m: names.get(m.group(), m.group()), answer.text)
        return replace(shape_of(text), name=gold.name)
    same = any(calls) and any(name in ("y", "z") for name in (gold.name, answer.name))
    return replace(answer, name=gold.name) if same else None


def _as_equation(shape: Shape) -> tuple[str, str] | None:
    if shape.kind == "equation":
        return shape.items[0].text, shape.items[1].text
    return (shape.name, shape.text) if shape.kind == "scalar" and shape.name else None


def _same_words(gold: str, answer: str) -> bool:
    """Letter case matters only for single letters; parentheses, spaces and final periods never matter."""
    left, right = (re.sub(r"[\s().'\"$]|\\text|[{}]", "", text) for text in (gold, answer))
    return left == right or (len(left) > 1 and left.casefold() == right.casefold())
