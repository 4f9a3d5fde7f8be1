"""Exact values of plain arithmetic: `1\\frac{4}{5}`, `1.2\\cdot10^{-3}`, `99^2+99+1`. No symbols, bounded work.

Pure Python on `fractions.Fraction`, so that it may run in the trainer's process: the length of the text, the depth
of nesting and the size of every intermediate number are capped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import lru_cache

MAX_BITS = 8192  # of any numerator or denominator on the way
MAX_TEXT = 600
MAX_DEPTH = 30  # of parentheses, braces and exponents

Number = int | Fraction

_TOKEN = re.compile(r"\d+(?:\.\d+)?|\\frac|\\cdot|[-+*/^(){}%!]|\s+|(?P<bad>.)", re.DOTALL)
_REPEATING = re.compile(r"(\d{0,9})\.(\d{0,9})\\(?:overline|bar)(?: ?(\d)|\{(\d{1,9})\})")
_THOUSANDS = re.compile(r"(?<![\d.,])[1-9]\d{0,2}(?:,\d{3})+(?![\d,])")


class NotArithmeticError(Exception):
    """The text is not plain arithmetic, or its value is too large."""


@lru_cache(maxsize=8192)
def rational(text: str) -> Fraction | None:
    """The exact value of a normalised arithmetic expression, `None` if it is anything else.

    >>> rational(r"1\\frac{4}{5}"), rational("0.5"), rational("x")
    (Fraction(9, 5), Fraction(1, 2), None)
    """
    if text.isdigit() and text.isascii() and len(text) <= MAX_TEXT:
        return Fraction(int(text))
    if len(text) > MAX_TEXT or not any(char.isdigit() for char in text):
        return None
    text = _REPEATING.sub(_repeating, without_thousands(text))
    try:
        return Fraction(Parser(_tokens(text)).value())
    except (NotArithmeticError, ZeroDivisionError):
        return None


def without_thousands(text: str) -> str:
    """A text whose numbers have no commas between groups of three digits.

    >>> without_thousands("12,345.6"), without_thousands("1,2")
    ('12345.6', '1,2')
    """
    return _THOUSANDS.sub(lambda m: m.group().replace(",", ""), text)


def _tokens(text: str) -> list[str]:
    tokens = []
    for match in _TOKEN.finditer(text):
        if match.group("bad"):
            raise NotArithmeticError
        if not match.group().isspace():
            tokens.append(match.group())
    return tokens


def _repeating(match: re.Match[str]) -> str:
    """0.1666... = (16 - 1) / 90."""
    whole, fixed, period = match.group(1), match.group(2), match.group(3) or match.group(4)
    start = int(f"{whole}{fixed}" or "0")
    top = int(f"{start}{period}") - start
    return f"(\\frac{{{top}}}{{{'9' * len(period)}{'0' * len(fixed)}}})"


class Parser:
    """Recursive descent over tokens: sum > product > sign > power > percent > atom."""

    def __init__(self, tokens: Sequence[str]) -> None:
        self.tokens, self.at, self.depth = tokens, 0, 0

    def value(self) -> Number:
        """Raises NotArithmeticError, ZeroDivisionError."""
        value = self._sum()
        if self.at != len(self.tokens):
            raise NotArithmeticError
        return value

    def apply(self, left: Number, op: str, right: Number) -> Number:
        """One operation, `+-*/^`, on the way; raises NotArithmeticError where the result would be too large."""
        return operate(left, op, right, most_bits=MAX_BITS)

    def _peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def _take(self, expected: str) -> None:
        if self._peek() != expected:
            raise NotArithmeticError
        self.at += 1

    def _sum(self) -> Number:
        value = self._product()
        while (sign := self._peek()) in ("+", "-"):
            self.at += 1
            value = self.apply(value, sign, self._product())
        return value

    def _product(self) -> Number:
        value = self._signed()
        while (token := self._peek()) in ("*", "\\cdot", "/", "(", "{"):
            if token in "({":
                value = self.apply(value, "*", self._power())
            else:
                self.at += 1
                value = self.apply(value, "/" if token == "/" else "*", self._signed())
        return value

    def _signed(self) -> Number:
        negative = False
        while (sign := self._peek()) in ("+", "-"):
            self.at += 1
            negative ^= sign == "-"
        value = self._power()
        return -value if negative else value

    def _power(self) -> Number:
        base = self._atom()
        while self._peek() == "%":
            self.at += 1
            base = Fraction(base, 100)
        if self._peek() != "^":
            return base
        self.at += 1
        return self.apply(base, "^", self._nested(self._exponent))

    def _exponent(self) -> Number:
        if self._peek() == "-":
            self.at += 1
            return -self._nested(self._exponent)
        return self._power()

    def _atom(self) -> Number:
        token = self._peek()
        if token in ("(", "{"):
            return self._group(token)
        if token == "\\frac":
            return self._fraction()
        if not token[:1].isdigit():
            raise NotArithmeticError
        self.at += 1
        value = number(token)
        if self._peek() == "\\frac" and value.denominator == 1:
            return value + self._fraction()  # a mixed number
        return value

    def _fraction(self) -> Number:
        self._take("\\frac")
        return self.apply(self._group("{"), "/", self._group("{"))

    def _group(self, opening: str) -> Number:
        self._take(opening)
        value = self._nested(self._sum)
        self._take(")" if opening == "(" else "}")
        return value

    def _nested(self, part: Callable[[], Number]) -> Number:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise NotArithmeticError
        value = part()
        self.depth -= 1
        return value


def number(written: str) -> Number:
    """The value of digits with or without a decimal point."""
    return Fraction(written) if "." in written else int(written)


def operate(left: Number, op: str, right: Number, *, most_bits: int) -> Number:
    """`left op right`; raises NotArithmeticError beyond `most_bits` of a numerator or denominator."""
    if op == "^":
        if right.denominator != 1 or abs(right.numerator) * _bits(left) > most_bits:
            raise NotArithmeticError
        return Fraction(left) ** int(right)
    value: Number
    if op == "/":
        value = Fraction(left) / right
    elif op == "*":
        value = left * right
    else:
        value = left + (right if op == "+" else -right)
    if _bits(value) > most_bits:
        raise NotArithmeticError
    return value


def _bits(value: Number) -> int:
    return max(value.numerator.bit_length(), value.denominator.bit_length())
