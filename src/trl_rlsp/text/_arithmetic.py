"""Exact values of plain arithmetic: `1\\frac{4}{5}`, `1.2\\cdot10^{-3}`, `99^2+99+1`. No symbols, bounded work.

Pure Python on `fractions.Fraction`, so that it may run in the trainer's process: the length of the text, the depth
of nesting and the size of every intermediate number are capped.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import islice, pairwise

from trl_rlsp.errors import ConfigError

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


LONGEST = 120
"""Characters of one side of an equation that are read."""

MOST_EQUATIONS = 10_000
"""Equals signs of a text that are looked at."""

LARGEST_BITS = 128
"""Size of numerators and denominators; beyond it an expression is not read, so that no tower of powers is computed."""

_LATEX = [
    (re.compile(r"\\(?:times|cdot|ast)(?![a-zA-Z])|[×·∗⋅]"), " * "),
    (re.compile(r"\\div(?![a-zA-Z])|[÷∕]"), " / "),
    (re.compile(r"[−–]"), "-"),
    (re.compile(r"\\approx(?![a-zA-Z])|≈"), "="),
    (re.compile(r"\\[dt]?frac\{([^{}]{1,60})\}\{([^{}]{1,60})\}"), r"((\1)/(\2))"),
    (re.compile(r"\\(?:left|right|quad|displaystyle)(?![a-zA-Z])|\\[,;:! ]|[$&]"), " "),
    (re.compile(r"\^\{(\d{1,3})\}"), r"^\1"),
]
_GROUPS = re.compile(r"(?<=\d)(?:,|\{,\})(?=\d{3}(?!\d))")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_SIGN_OR_NUMBER = re.compile(r"\d+(?:\.\d+)?|\*\*|[-+*/^()]")
_REVERSED_RUN = re.compile(r"[\d \t.+\-*/^()]*")
_RESULT = re.compile(
    r"[ \t]*(-?[ \t]?\d{1,15}(?:\.\d{1,15})?)(?![ \t]*(?:[+*/^]|-[ \t]*[\d(])|\d|[ \t]*[a-zA-Z](?![a-zA-Z]))"
)


def calculations(text: str, *, given: str | None = None) -> frozenset[str]:
    r"""The distinct calculations of `text` that hold.

    Args:
        text: reasoning in any notation; arithmetic between numbers is read.
        given: the problem. If it contains numbers, an equation counts only if it starts from at least one of them or
            from an earlier result, and equations of the problem itself do not count.

    Returns:
        Calculations in one fixed notation.

    Example:
        >>> sorted(calculations("4 * 3 = 12 | 12 - 5 = 8 no"))
        ['3*4=12']
        >>> sorted(calculations(r"$(6 + 3) \times 2 = 18$", given="6 3 2 : 18"))
        ['2*9=18', '3+6=9']
    """
    known = set(map(number, _NUMBER.findall(_plain(given)))) if given else set()
    grounded = bool(known)
    found: set[str] = set()
    for made, starts, results in _equations(_plain(text)):
        if not grounded or not known.isdisjoint(starts):
            found.update(made)
            known.update(results)
    return frozenset(found - calculations(given) if given else found)


def check_half(K: float) -> float:
    """K as a float.

    Raises:
        ConfigError: not positive and finite.
    """
    if not (math.isfinite(K) and K > 0):
        raise ConfigError(f"K is a number of calculations, positive and finite, got {K!r}")
    return float(K)


Equation = tuple[tuple[str, ...], frozenset[Number], tuple[Number, ...]]
"""Its calculations, the numbers it starts from, the results on the way."""


def _plain(text: str) -> str:
    if "\\" in text or not text.isascii() or "$" in text or "^" in text:
        for pattern, replacement in _LATEX:
            text = pattern.sub(replacement, text)
    return _GROUPS.sub("", text) if "," in text else text


def _equations(text: str) -> Iterable[Equation]:
    sides = text.split("=")
    for left, right in islice(pairwise(sides), MOST_EQUATIONS):
        result = _RESULT.match(right)
        if result is None:
            continue
        tail = left[-LONGEST:]
        run = _REVERSED_RUN.match(tail[::-1])
        length = len(run[0]) if run else 0
        after_name = length < len(tail) and (tail[-length - 1].isalnum() or tail[-length - 1] in ")}]")
        equation = _equation(tail[len(tail) - length :].strip(), after_name, result[1].replace(" ", ""))
        if equation is not None:
            yield equation


@lru_cache(maxsize=65536)
def _equation(left: str, after_name: bool, right: str) -> Equation | None:
    """The equation `left = right`, `None` if it is not arithmetic or does not hold."""
    tokens = _last_tokens(left)
    if len(tokens) < 3 or (after_name and tokens[0] in ("+", "-", "*", "/", "^")):
        return None
    walk = _Walk(tokens)
    try:
        value: Number = walk.value()
    except (NotArithmeticError, ZeroDivisionError):
        return None
    decimals = len(right.partition(".")[2])
    if not walk.results or abs(Fraction(value) - number(right)) * 2 * 10**decimals > (decimals > 0):
        return None
    return tuple(walk.made), frozenset(number(token) for token in tokens if token[0].isdigit()), tuple(walk.results)


def _last_tokens(left: str) -> list[str]:
    """Tokens of the last expression in `left`: in `1. 3 + 4` it starts at the 3, in `(3 + 4` after the parenthesis."""
    tokens: list[str] = []
    end = 0
    for match in _SIGN_OR_NUMBER.finditer(left):
        token = "^" if match[0] == "**" else match[0]
        if tokens and (token[0].isdigit() or token == "(") and (tokens[-1] == ")" or tokens[-1][0].isdigit()):
            if match.start() == end and (token == "(" or tokens[-1] == ")"):
                tokens.append("*")
            else:
                tokens.clear()
        tokens.append(token)
        end = match.end()
    return _after_open_parenthesis(tokens)


def _after_open_parenthesis(tokens: list[str]) -> list[str]:
    opened = []
    for place, token in enumerate(tokens):
        if token == "(":
            opened.append(place)
        elif token == ")":
            if not opened:
                return []
            opened.pop()
    return tokens[opened[-1] + 1 :] if opened else tokens


class _Walk(Parser):
    """Parses an expression and keeps every operation on the way."""

    def __init__(self, tokens: Sequence[str]) -> None:
        super().__init__(tokens)
        self.made: list[str] = []
        self.results: list[Number] = []

    def apply(self, left: Number, op: str, right: Number) -> Number:
        result = operate(left, op, right, most_bits=LARGEST_BITS)
        self.results.append(result)
        if not _changes_nothing(left, op, right):
            self.made.append(_written(left, op, right, result))
        return result


def _changes_nothing(left: Number, op: str, right: Number) -> bool:
    """Whether an operation has a neutral operand, or takes a number from or into itself, whatever the signs."""
    if op in "+-":
        return not left or not right or left == (right if op == "-" else -right)
    if op == "/":
        return not left or abs(right) == 1 or abs(left) == abs(right)
    return abs(left) in (0, 1) or right in (0, 1) or (op == "*" and right == -1)


def _written(left: Number, op: str, right: Number, result: Number) -> str:
    """One way of writing for all placings of the signs: `3 - (-4)` is `3 + 4`, `-3 + 7` is `7 - 3`."""
    if op in "+-":
        other = right if op == "+" else -right
        low, high = min(left, other), max(left, other)
        if high < 0:
            return _written(-high, "+", -low, -result)
        return f"{high}-{-low}={result}" if low < 0 else f"{low}+{high}={result}"
    left, result = max(left, -left), max(result, -result)
    right = right if op == "^" else max(right, -right)
    if op == "*" and right < left:
        left, right = right, left
    return f"{left}{op}{right}={result}"
