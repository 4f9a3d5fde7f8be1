"""Exact values of plain arithmetic: `1\\frac{4}{5}`, `1.2\\cdot10^{-3}`, `99^2+99+1`. No symbols, bounded work.

Pure Python on `fractions.Fraction`, so that it may run in the trainer's process: the length of the text, the depth
of nesting and the size of every intermediate number are capped.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

MAX_BITS = 8192  # of any numerator or denominator on the way
MAX_TEXT = 600
_TOKEN = re.compile(r"\d+(?:\.\d+)?|\\frac|\\cdot|[-+*/^(){}%!]|\s+|(?P<bad>.)", re.DOTALL)
_REPEATING = re.compile(r"(\d{0,9})\.(\d{0,9})\\(?:overline|bar)(?: ?(\d)|\{(\d{1,9})\})")
_THOUSANDS = re.compile(r"(?<![\d.,])[1-9]\d{0,2}(?:,\d{3})+(?![\d,])")


class _NotArithmetic(Exception):
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
        return _Parser(_tokens(text)).value()
    except (_NotArithmetic, ZeroDivisionError):
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
            raise _NotArithmetic
        if not match.group().isspace():
            tokens.append(match.group())
    return tokens


def _repeating(match: re.Match[str]) -> str:
    """0.1666... = (16 - 1) / 90."""
    whole, fixed, period = match.group(1), match.group(2), match.group(3) or match.group(4)
    start = int(f"{whole}{fixed}" or "0")
    top = int(f"{start}{period}") - start
    return f"(\\frac{{{top}}}{{{'9' * len(period)}{'0' * len(fixed)}}})"


class _Parser:
    """Recursive descent: sum > product > sign > power > atom. Depth is bounded by `_nested`."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens
        self.at = 0
        self.depth = 0

    def value(self) -> Fraction:
        value = self._sum()
        if self.at != len(self.tokens):
            raise _NotArithmetic
        return value

    def _peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def _take(self, expected: str | None = None) -> str:
        token = self._peek()
        if not token or (expected is not None and token != expected):
            raise _NotArithmetic
        self.at += 1
        return token

    def _sum(self) -> Fraction:
        value = self._product()
        while self._peek() in ("+", "-"):
            sign = self._take()
            term = self._product()
            value = _bounded(value + term if sign == "+" else value - term)
        return value

    def _product(self) -> Fraction:
        value = self._signed()
        while True:
            token = self._peek()
            if token in ("*", "\\cdot", "/"):
                self._take()
                factor = self._signed()
                value = _bounded(value / factor if token == "/" else value * factor)
            elif token in ("(", "{"):
                value = _bounded(value * self._power())
            else:
                return value

    def _signed(self) -> Fraction:
        negative = False
        while self._peek() in ("+", "-"):
            negative ^= self._take() == "-"
        value = self._power()
        return -value if negative else value

    def _power(self) -> Fraction:
        base = self._postfix()
        if self._peek() != "^":
            return base
        self._take()
        return _power(base, self._exponent())

    def _exponent(self) -> Fraction:
        if self._peek() == "-":
            self._take()
            return -self._exponent()
        if self._peek() == "{":
            return self._group("{", "}")
        return self._power()

    def _postfix(self) -> Fraction:
        value = self._atom()
        while self._peek() == "%":
            self._take()
            value /= 100
        return value

    def _atom(self) -> Fraction:
        token = self._peek()
        if token == "(":
            return self._group("(", ")")
        if token == "{":
            return self._group("{", "}")
        if token == "\\frac":
            return self._fraction()
        if not token[:1].isdigit():
            raise _NotArithmetic
        value = Fraction(self._take())
        if self._peek() == "\\frac" and value.denominator == 1:
            return value + self._fraction()  # a mixed number
        return value

    def _fraction(self) -> Fraction:
        self._take("\\frac")
        top = self._group("{", "}")
        return _bounded(top / self._group("{", "}"))

    def _group(self, opening: str, closing: str) -> Fraction:
        self._take(opening)
        self.depth += 1
        if self.depth > 30:
            raise _NotArithmetic
        value = self._sum()
        self._take(closing)
        self.depth -= 1
        return value


def _bounded(value: Fraction) -> Fraction:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > MAX_BITS:
        raise _NotArithmetic
    return value


def _power(base: Fraction, exponent: Fraction) -> Fraction:
    if exponent.denominator != 1:
        raise _NotArithmetic
    size = max(base.numerator.bit_length(), base.denominator.bit_length())
    if abs(exponent.numerator) * size > MAX_BITS:
        raise _NotArithmetic
    return base ** int(exponent)
