"""Symbolic comparison of answers. Runs in worker processes only. Expressions are parsed by math-verify's LaTeX parser
and compared by exact arithmetic and by values to 60 digits at random points, drawn anew in each process so that no
answer can be designed to agree there. math-verify compares expressions without values, such as matrices and sets.
"""

from __future__ import annotations

import logging
import os
import random
import re
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Any

import math_verify
import sympy
from latex2sympy2_extended import NormalizationConfig
from latex2sympy2_extended.latex2sympy2 import ConversionConfig, latex2sympy

from trl_rlsp.text import balanced, rational, without_thousands
from trl_rlsp.verification.math._equivalence import Leaves, rounds_to, same_answer

DIGITS = 60  # of every value
MANY_DIGITS = 400  # if there are numbers too large or too small to show up in `DIGITS`
SPARE = 40  # additional digits at the points, to allow for cancellation
CANCELED = 15  # of these digits, lost to cancellation
HUGE = sympy.Integer(10) ** 40  # for values this large, the leading digits are not enough: x and x + 1 agree
_NORMALIZE = NormalizationConfig(basic_latex=True, malformed_operators=True, nits=True, boxed="none")
_CONVERT = ConversionConfig(lowercase_symbols=False)  # math-verify's default treats C and c as equal
_DEGREES = re.compile(r"(\d+(?:\.\d+)?)\^(?:\\circ|\{\\circ\}) ?")
_PRIMES = re.compile(r"([A-Za-z])(?:_(\w|\{\w+\}))?('+)")
_GAMMA = re.compile(r"\\(?:gamma|zeta)(?![a-z]) ?")
_STEPS = (sympy.floor, sympy.ceiling, sympy.Abs, sympy.Max, sympy.Min, sympy.Mod, sympy.sign)
_MAX_SYMBOLS = 40

_rng = random.Random(os.urandom(16))  # inherited by forked workers, unknown to the model


def _drawn(low: float, high: float) -> list[sympy.Rational]:
    return [sympy.Rational(_rng.randint(int(low * 10**7), int(high * 10**7)), 10**7) for _ in range(_MAX_SYMBOLS)]


_POSITIVE = [_drawn(1.1, 5), _drawn(0.2, 0.9)]
_MIXED = [(-1) ** i * x for i, x in enumerate(_drawn(-5, -0.3))]
_WIDE = [  # points for functions with jumps or corners: in each unit interval near 0, and some far out
    *([low + x for x in _drawn(0, 0.7)] for low in (sympy.Rational(3 * k, 4) for k in range(-8, 8))),
    *(_drawn(-40, 40) for _ in range(6)),
]
_WHOLE_NAMES = ("n", "m", "k", "N", "M", "K")  # variables that are integers in expressions with rounding
_WHOLE = [[sympy.Integer(low + _rng.randint(0, 3)) for _ in range(_MAX_SYMBOLS)] for low in range(1, 49, 3)]
_NATURAL = [[sympy.Integer(_rng.randint(2, 9)) for _ in range(_MAX_SYMBOLS)] for _ in range(4)]


class GoldUnparseable(Exception):
    """The gold answer is not an expression that can be compared."""


class AnswerUnreadable(Exception):
    """The answer cannot be parsed or has no value that can be calculated."""


class SymbolicLeaves(Leaves):
    """Leaves compared as mathematical expressions."""

    def equal(self, gold: str, answer: str) -> bool:
        right, left = _gold(gold), _expression(answer)
        return left is not None and _same_value(right, left, sympy.Rational(self.tolerance))

    def rounded(self, exact: str, decimal: str) -> bool:
        value, about = _expression(exact), rational(decimal)
        if value is None or about is None or value.free_symbols:
            return False
        value = sympy.N(value, DIGITS)
        return bool(value.is_real) and rounds_to(value, about, decimal)

    def same_equation(self, gold: tuple[str, str], answer: tuple[str, str]) -> bool:
        right, left = _gold(f"({gold[0]})-({gold[1]})"), _expression(f"({answer[0]})-({answer[1]})")
        return left is not None and _proportional(right, left)


def compare(item: dict[str, Any]) -> str:
    """The pool's handler: `match`, `mismatch` or `gold_unparseable` for {gold, answer, tolerance, evaluated, percent}.

    An answer that cannot be parsed or evaluated is a mismatch; any other failure is not the answer's and is raised.
    """
    leaves = SymbolicLeaves(item["tolerance"])
    try:
        same = same_answer(item["gold"], item["answer"], leaves, evaluated=item["evaluated"], percent=item["percent"])
    except GoldUnparseable:
        return "gold_unparseable"
    except AnswerUnreadable:
        same = False
    return "match" if same else "mismatch"


def warm_up() -> None:
    """Fill the caches of the parser and sympy before workers are forked: a cold parser takes ten times as long."""
    logging.disable(logging.WARNING)  # math-verify warns that its own timeouts are off; the pool's limits replace them
    samples = (
        r"2k+2; 3k-2; 3\sqrt{13}; 5\sqrt{2}; 6-5i; 6+5i; \frac{\sqrt{3}}{3}; \frac{1}{\sqrt{3}}; 7\pi; \pi r^2; ab+10;"
        r"(a+5)(b+2); x^2+5x+6; (x+2)(x+3); 2\cos x; \sin x; e^{2x}; \ln 2; \frac{x+1}{2}; \frac{x}{2}; |x|;"
        r"-\frac{2\pi}{3}; \sqrt[3]{4}; 2^{n+1}; \log_2 3; x_1"
    )
    for gold, answer in pairwise(samples.split(";")):
        compare({"gold": gold, "answer": answer, "tolerance": 0.0, "evaluated": True, "percent": False})


def _gold(text: str) -> Any:
    if (expression := _expression(text)) is None:
        raise GoldUnparseable
    return expression


@lru_cache(maxsize=1024)
def _expression(text: str) -> Any:
    """Parse a text to an expression with exact decimals and one symbol per name; `None` if it cannot be parsed."""
    if (value := rational(text)) is not None:
        return sympy.Rational(value.numerator, value.denominator)
    if not balanced(text) or "{}" in text:
        return None

    def primed(match: re.Match[str]) -> str:  # `S'` is a separate symbol: the parser drops apostrophes
        return f"{match[1]}_{{{(match[2] or '').strip('{}')}{'prime' * len(match[3])}}}"

    text = _DEGREES.sub(r"(\\frac{\1\\pi}{180})", without_thousands(text))
    text = _GAMMA.sub(lambda m: f"{m.group().strip()[1].upper()}_{{greek}} ", _PRIMES.sub(primed, text))
    try:
        parsed = latex2sympy(text, is_real=None, normalization_config=_NORMALIZE, conversion_config=_CONVERT)
        if not isinstance(parsed, sympy.Basic | sympy.MatrixBase):
            return None
        exact = {f: sympy.Rational(str(f)) for f in parsed.atoms(sympy.Float)}
        symbols = {s: sympy.I if s.name == "i" else sympy.Symbol(s.name) for s in parsed.atoms(sympy.Symbol)}
        return parsed.xreplace(exact | symbols)
    except (MemoryError, RecursionError):
        raise
    except Exception:  # the process boundary: the parser raises bare exceptions for text it cannot parse
        return None


def _same_value(gold: Any, answer: Any, tolerance: Any) -> bool:
    if gold == answer:
        return not _undefined(gold)
    if not all(isinstance(e, sympy.Expr) for e in (gold, answer)):
        return bool(math_verify.verify([gold], [answer], float_rounding=15, numeric_precision=30, timeout_seconds=None))
    if _undefined(gold) or _undefined(answer):
        return False
    both = _Both(gold, answer, tolerance)
    whole = both.have(sympy.floor, sympy.ceiling) and all(symbol.name in _WHOLE_NAMES for symbol in both.symbols)
    counting = whole or both.have(sympy.Sum, sympy.Product)
    for point in _WHOLE if whole else _NATURAL if counting else _POSITIVE if both.symbols else _POSITIVE[:1]:
        pair = both.values(point)
        if pair is None or not both.agree(pair):
            return False
        if any(abs(value) > HUGE for value in pair):
            return both.difference_vanishes
    if counting or not both.symbols:
        return True
    fractional = any(not power.exp.is_integer for e in (gold, answer) for power in e.atoms(sympy.Pow))
    jumps = fractional or both.have(*_STEPS)  # jumps or corners, or points without a real value
    further = (both.values(point) for point in ([_MIXED, *_WIDE, *_NATURAL] if jumps else [_MIXED]))
    return all(both.agree(pair) for pair in further if pair is not None and all(value.is_real for value in pair))


def _undefined(expression: Any) -> bool:
    return isinstance(expression, sympy.Expr) and expression.has(sympy.zoo, sympy.nan, sympy.oo, -sympy.oo)


class _Both:
    """A pair of expressions to compare; `margin` is relative."""

    def __init__(self, gold: Any, answer: Any, tolerance: Any = 0) -> None:
        self.gold, self.answer = gold, answer
        self.symbols = sorted(gold.free_symbols | answer.free_symbols, key=str)
        numbers = [n for e in (gold, answer) for n in e.atoms(sympy.Rational)]
        powers = [p.exp for e in (gold, answer) for p in e.atoms(sympy.Pow) if p.base.is_number and p.exp.is_Integer]
        long = any(max(abs(n.p), n.q) > 10**20 for n in numbers) or any(abs(exponent) > 20 for exponent in powers)
        self.digits = MANY_DIGITS if long else DIGITS
        self.margin = max(sympy.Rational(1, 10 ** (self.digits - CANCELED)), tolerance)

    def have(self, *functions: Any) -> bool:
        return bool(self.gold.has(*functions) or self.answer.has(*functions))

    def values(self, point: list[Any]) -> tuple[Any, Any] | None:
        """The values of both at a point; `None` if either is not finite there."""
        if len(self.symbols) > len(point):
            return None
        # rational numbers to rational powers would be factored: use floats, except for integers
        floats = (value if value.is_Integer else sympy.Float(value, self.digits + SPARE) for value in point)
        at = dict(zip(self.symbols, floats, strict=False))
        right = sympy.N(self.gold.subs(at), self.digits)
        try:
            left = sympy.N(self.answer.subs(at), self.digits)
        except (ArithmeticError, TypeError, ValueError, AttributeError, NotImplementedError) as error:
            raise AnswerUnreadable from error
        return (right, left) if all(v.is_number and v.is_finite for v in (right, left)) else None

    def agree(self, pair: tuple[Any, Any]) -> bool:
        """Whether two values agree. If both are 0 to all digits, relative precision fails: simplify the difference."""
        largest = max(map(abs, pair))
        if abs(pair[0] - pair[1]) <= self.margin * largest:
            return True
        return bool(largest <= sympy.Float(10) ** -40) and self.difference_vanishes

    @cached_property
    def difference_vanishes(self) -> bool:
        return bool(sympy.simplify(self.gold - self.answer) == 0)


def _proportional(gold: Any, answer: Any) -> bool:
    if gold.free_symbols != answer.free_symbols:
        return False
    both = _Both(gold, answer)
    pairs = [both.values(point) for point in (*_POSITIVE, _MIXED)]
    if any(pair is None or 0 in pair for pair in pairs):
        return False
    ratios = [pair[0] / pair[1] for pair in pairs if pair]
    return all(abs(ratios[0] - ratio) <= both.margin * max(abs(ratios[0]), abs(ratio)) for ratio in ratios[1:])
