"""Arithmetic in text: exact values (`1\\frac{4}{5}`, `99^2+99+1`), and the calculations that a text contains.

Pure Python on `fractions.Fraction`. It is safe to run in the trainer's process: the length of the text, the depth of
nesting and the size of intermediate numbers are capped. Only equations that hold count as calculations.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import islice, pairwise
from typing import Any

from trl_rlsp.errors import ConfigError

MAX_TEXT = 600
MAX_DEPTH = 60  # of nested operands
MAX_BITS = 8192  # of any intermediate numerator or denominator
LONGEST = 120  # characters of one side of an equation that are read
MOST_EQUATIONS = 10_000  # equals signs of a text that are considered

COMMON = frozenset(map(str, [*range(1, 11), 100]))  # numbers that a derivation may use if the problem has none of them

Number = int | Fraction
Equation = tuple[tuple[str, ...], frozenset[Number], tuple[Number, ...]]  # calculations, numbers at its start, results

_TOKEN = re.compile(r"\d+(?:\.\d+)?|\\frac|\\cdot|[-+*/^(){}%]")
_REPEATING = re.compile(r"(\d{0,9})\.(\d{0,9})\\(?:overline|bar)(?: ?(\d)|\{(\d{1,9})\})")
_THOUSANDS = re.compile(r"(?<![\d.,])[1-9]\d{0,2}(?:,\d{3})+(?![\d,])")
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
_STEP = re.compile(r"(\d+(?:/\d+)?)[-+*/^](\d+(?:/\d+)?)=")
_SIGN_OR_NUMBER = re.compile(r"\d+(?:\.\d+)?|\*\*|[-+*/^()]")
_REVERSED_RUN = re.compile(r"[\d \t.+\-*/^()]*")
_RESULT = re.compile(
    r"[ \t]*(-?[ \t]?\d{1,15}(?:\.\d{1,15})?)(?![ \t]*(?:[+*/^]|-[ \t]*[\d(])|\d|[ \t]*[a-zA-Z](?![a-zA-Z]))"
)


@lru_cache(maxsize=8192)
def rational(text: str) -> Fraction | None:
    """The exact value of an arithmetic expression in normal form; `None` for any other text."""
    if text.isdigit() and text.isascii() and len(text) <= MAX_TEXT:
        return Fraction(int(text))
    if len(text) > MAX_TEXT or not any(char.isdigit() for char in text):
        return None
    text = _REPEATING.sub(_repeating, without_thousands(text))
    tokens = _TOKEN.findall(text)
    if sum(map(len, tokens)) != len("".join(text.split())):
        return None
    try:
        return Fraction(_Parser(tokens).whole())
    except ArithmeticError:
        return None


def without_thousands(text: str) -> str:
    """`text` without the commas between groups of three digits: `12345.6` for `12,345.6`."""
    return _THOUSANDS.sub(lambda m: m.group().replace(",", ""), text)


def calculations(text: str, *, given: str | None = None) -> frozenset[str]:
    r"""The distinct correct calculations in `text`: one operation each, on two numbers, with its result.

    An approach gives the same set in any notation and order: step by step, as one expression, in LaTeX. Operations
    that change nothing (`3 * 1 = 3`) do not count. Words ("three times four"), variables and units are not read. If the
    problem, `given`, contains numbers, an equation counts only if it starts from one of them or from an earlier result,
    and equations of the problem itself do not count.

    >>> sorted(calculations(r"$(6 + 3) \times 2 = 18$", given="6 3 2 : 18"))
    ['2*9=18', '3+6=9']
    """
    known = set(map(_number, _NUMBER.findall(_plain(given or ""))))
    grounded, found = bool(known), set[str]()
    for made, starts, results in _equations(_plain(text)):
        if not grounded or not known.isdisjoint(starts):
            found.update(made)
            known.update(results)
    return frozenset(found - calculations(given) if given else found)


def approach(text: str, answer: str, *, given: str = "") -> frozenset[str]:
    r"""The calculations that lead to the number `answer`: its shortest derivation in `text`, in the form above.

    It starts from the numbers of the problem, `given`, and those of `COMMON` that no calculation gives. Attempts that
    failed and true but pointless calculations are left out. If the answer is itself an expression, its own calculations
    are the approach. Empty without a derivation, and if the answer is not a number.

    >>> sorted(approach("8 + 9 = 17 | 9 - 1 = 8 | 8 * 9 = 72 | 72 - 1 = 71 | 71 + 1 = 72", "72", given="8 1 9 : 72"))
    ['8*9=72']
    """
    if (value := rational(answer)) is None:
        return frozenset()
    if own := calculations(f"{answer} = {value}"):
        return own
    target, rest = str(abs(value)), set(calculations(text, given=given))
    known = {str(_number(each)) for each in _NUMBER.findall(_plain(given))} - {target}
    known |= COMMON - {target, *map(_result, rest)}
    made: dict[str, set[str]] = {}  # number -> the calculations that give it first
    while target not in made and (steps := {step for step in rest if _operands(step) <= known}):
        rest -= steps
        for step in steps:
            if _result(step) not in known:
                made.setdefault(_result(step), set()).add(step)
        known.update(made)
    wanted, found = [target], set[str]()
    while wanted:
        steps = made.pop(wanted.pop(), set())
        found |= steps
        wanted += set().union(*map(_operands, steps))
    return frozenset(found)


def _result(step: str) -> str:
    return step.rpartition("=")[2].lstrip("-")


def _operands(step: str) -> set[str]:
    match = _STEP.match(step)
    return {match[1], match[2]} if match else {step}


def check_half(value: float, name: str = "K", unit: str = "calculations") -> None:
    """ConfigError unless the amount that earns half of a bonus is positive and finite."""
    if not (math.isfinite(value) and value > 0):
        raise ConfigError(f"{name} must be a number of {unit}, positive and finite, got {value!r}")


def _repeating(match: re.Match[str]) -> str:
    """0.1666... = (16 - 1) / 90."""
    whole, fixed, period = match[1], match[2], match[3] or match[4]
    start = int(f"{whole}{fixed}" or "0")
    return f"(\\frac{{{int(f'{start}{period}') - start}}}{{{'9' * len(period)}{'0' * len(fixed)}}})"


class _Parser:
    """Precedence climbing over tokens; records the operations. ArithmeticError if the tokens are not arithmetic."""

    def __init__(self, tokens: Sequence[str]) -> None:
        self.rest, self.depth = [*reversed(tokens)], 0
        self.steps: list[tuple[Number, str, Number, Number]] = []

    def whole(self) -> Number:
        """The value of all tokens."""
        value = self._value()
        if self.rest:
            raise ArithmeticError
        return value

    def _value(self, least: int = 0) -> Number:
        """The value of an operand and the operators after it of at least precedence `least`."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise ArithmeticError
        value = self._operand()
        while self.rest and _BINDING.get(self.rest[-1], -1) >= least:
            op = "*" if self.rest[-1] in ("(", "{") else self.rest.pop().replace("\\cdot", "*")
            value = self._operation(value, op, self._value(_BINDING[op] + (op != "^")))
        self.depth -= 1
        return value

    def _operand(self) -> Number:
        if token := self._take("+", "-"):
            value = self._value(_BINDING["^"])
            return -value if token == "-" else value
        if self.rest and self.rest[-1][0].isdigit():
            value = _number(self.rest.pop())
            value += self._fraction() if value.denominator == 1 and self._take("\\frac") else 0
        else:
            value = self._fraction() if self._take("\\frac") else self._group("(", "{")
        while self._take("%"):
            value = Fraction(value, 100)
        return value

    def _fraction(self) -> Number:
        return self._operation(self._group("{"), "/", self._group("{"))

    def _group(self, *openings: str) -> Number:
        opening = self._take(*openings)
        value = self._value() if opening else 0
        if not self._take(")" if opening == "(" else "}") or not opening:
            raise ArithmeticError
        return value

    def _take(self, *expected: str) -> str:
        """Consume and return the next token if it is one of `expected`."""
        return self.rest.pop() if self.rest and self.rest[-1] in expected else ""

    def _operation(self, left: Number, op: str, right: Number) -> Number:
        if op == "^" and (right.denominator != 1 or abs(right.numerator) * _bits(left) > MAX_BITS):
            raise ArithmeticError
        result = _OPERATIONS[op](left, right)
        if _bits(result) > MAX_BITS:
            raise ArithmeticError
        self.steps.append((left, op, right, result))
        return result


_BINDING = {"+": 1, "-": 1, "*": 2, "/": 2, "\\cdot": 2, "(": 2, "{": 2, "^": 3}
_OPERATIONS: dict[str, Callable[[Any, Any], Number]] = {
    **{"+": operator.add, "-": operator.sub, "*": operator.mul, "/": Fraction},
    "^": lambda left, right: Fraction(left) ** int(right),
}


def _number(written: str) -> Number:
    return Fraction(written) if "." in written else int(written)


def _bits(value: Number) -> int:
    return max(value.numerator.bit_length(), value.denominator.bit_length())


def _plain(text: str) -> str:
    if "\\" in text or not text.isascii() or "$" in text or "^" in text:
        for pattern, replacement in _LATEX:
            text = pattern.sub(replacement, text)
    return _GROUPS.sub("", text) if "," in text else text


def _equations(text: str) -> Iterable[Equation]:
    sides = text.split("=")
    for left, right in islice(pairwise(sides), MOST_EQUATIONS):
        if (result := _RESULT.match(right)) is None:
            continue
        tail = left[-LONGEST:]
        length = len(_REVERSED_RUN.match(tail[::-1])[0])  # type: ignore[index]
        after_name = length < len(tail) and (tail[-length - 1].isalnum() or tail[-length - 1] in ")}]")
        equation = _equation(tail[len(tail) - length :].strip(), after_name, result[1].replace(" ", ""))
        if equation is not None:
            yield equation


@lru_cache(maxsize=65536)
def _equation(left: str, after_name: bool, right: str) -> Equation | None:
    """The equation `left = right`; `None` if it is not arithmetic or does not hold."""
    tokens = _last_tokens(left)
    if len(tokens) < 3 or (after_name and tokens[0] in "+-*/^"):
        return None
    parser = _Parser(tokens)
    try:
        value = parser.whole()
    except ArithmeticError:
        return None
    decimals = len(right.partition(".")[2])
    if not parser.steps or abs(Fraction(value) - _number(right)) * 2 * 10**decimals > (decimals > 0):
        return None
    made = tuple(filter(None, (_written(*step) for step in parser.steps)))
    starts = frozenset(_number(token) for token in tokens if token[0].isdigit())
    return made, starts, tuple(result for *_, result in parser.steps)


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
    depth = 0
    for place in reversed(range(len(tokens))):
        depth += (tokens[place] == ")") - (tokens[place] == "(")
        if depth < 0:
            return tokens[place + 1 :]
    return tokens


def _written(left: Number, op: str, right: Number, result: Number) -> str | None:
    """A calculation in one form for all placements of its signs: `3 - (-4)` is `3 + 4`, `-3 + 7` is `7 - 3`.

    `None` if it is trivial: with a neutral element, or a number subtracted from or divided by itself.
    """
    if op in "+-":
        low, high = sorted((left, right if op == "+" else -right))
        if 0 in (low, high, result):
            return None
        if high < 0:
            low, high, result = -high, -low, -result
        return f"{high}-{-low}={result}" if low < 0 else f"{low}+{high}={result}"
    left, result = max(left, -left), max(result, -result)
    right = right if op == "^" else max(right, -right)
    if result in (0, left, right if op == "*" else 1):
        return None
    if op == "*":
        left, right = sorted((left, right))
    return f"{left}{op}{right}={result}"
