r"""The calculations a text goes through: `( 6 + 3 ) * 2 = 18` is `3 + 6 = 9` and `2 * 9 = 18`.

A calculation is one operation on two numbers with its result, the operands of `+` and `*` in order of size, so that
one approach is the same set however it is written: step by step, as one expression, in LaTeX, in another language.
Promises: only equations that hold are counted (rounded results as far as they are written out), time linear in the
text. Operations that change nothing (`3 * 1 = 3`, `3 - 3 = 0`) are no calculations. Knows nothing of completions; does
not read words ("three times four"), variables or units of measurement.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import islice, pairwise

from trl_rlsp.errors import ConfigError
from trl_rlsp.text.rational import NotArithmeticError, Number, Parser, number, operate

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
_THOUSANDS = re.compile(r"(?<=\d)(?:,|\{,\})(?=\d{3}(?!\d))")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_TOKEN = re.compile(r"\d+(?:\.\d+)?|\*\*|[-+*/^()]")
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
    return _THOUSANDS.sub("", text) if "," in text else text


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
    tokens = _tokens(left)
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


def _tokens(left: str) -> list[str]:
    """Tokens of the last expression in `left`: in `1. 3 + 4` it starts at the 3, in `(3 + 4` after the parenthesis."""
    tokens: list[str] = []
    end = 0
    for match in _TOKEN.finditer(left):
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
