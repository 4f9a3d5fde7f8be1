"""Symbolic comparison of answers. Runs in worker processes only: parsing by math-verify's LaTeX parser, equality by
exact arithmetic and by values to 60 digits at points drawn anew in each process, so that no answer can be written that
agrees there by design; math-verify's own comparison for what has no values, such as matrices and sets.
"""

from __future__ import annotations

import logging
import os
import random
import re
from functools import lru_cache
from typing import Any

import math_verify
import sympy
from latex2sympy2_extended import NormalizationConfig
from latex2sympy2_extended.latex2sympy2 import ConversionConfig, latex2sympy

from trl_rlsp.text import balanced, rational, without_thousands
from trl_rlsp.verification.math._equivalence import Leaves, last_place, rounds_to, same_answer

DIGITS = 60  # of every value
MANY_DIGITS = 400  # where numbers so large or small occur that they would not show in `DIGITS`
SPARE = 40  # more digits at the points, for what cancels on the way
CANCELED = 15  # of these digits, lost to cancellation
HUGE = sympy.Integer(10) ** 40  # of values this large the first digits say too little: x and x + 1 agree
_NORMALIZE = NormalizationConfig(basic_latex=True, malformed_operators=True, nits=True, boxed="none")
_CONVERT = ConversionConfig(lowercase_symbols=False)  # math-verify's default takes C and c for the same
_DEGREES = re.compile(r"(\d+(?:\.\d+)?)\^(?:\\circ|\{\\circ\}) ?")
_PRIMES = re.compile(r"([A-Za-z])(?:_(\w|\{\w+\}))?('+)")
_GAMMA = re.compile(r"\\(?:gamma|zeta)(?![a-z]) ?")
_STEPS = (sympy.floor, sympy.ceiling, sympy.Abs, sympy.Max, sympy.Min, sympy.Mod, sympy.sign)
_MAX_SYMBOLS = 40

_rng = random.Random(os.urandom(16))  # inherited by forked workers, unknown to whoever writes the answers


def _drawn(low: float, high: float) -> list[sympy.Rational]:
    return [sympy.Rational(_rng.randint(int(low * 10**7), int(high * 10**7)), 10**7) for _ in range(_MAX_SYMBOLS)]


_POSITIVE = [_drawn(1.1, 5), _drawn(0.2, 0.9)]
_MIXED = [(-1) ** i * x for i, x in enumerate(_drawn(-5, -0.3))]
_WIDE = [  # where functions jump or have corners: each unit step near 0, and far out
    *([low + x for x in _drawn(0, 0.7)] for low in (sympy.Rational(3 * k, 4) for k in range(-8, 8))),
    *(_drawn(-40, 40) for _ in range(6)),
]
_WHOLE_NAMES = ("n", "m", "k", "N", "M", "K")  # of variables that stand for whole numbers where something is rounded
_WHOLE = [[sympy.Integer(low + _rng.randint(0, 3)) for _ in range(_MAX_SYMBOLS)] for low in range(1, 49, 3)]
_NATURAL = [[sympy.Integer(_rng.randint(2, 9)) for _ in range(_MAX_SYMBOLS)] for _ in range(4)]


class GoldUnparseable(Exception):
    """The gold answer is not an expression that can be compared."""


class AnswerUnreadable(Exception):
    """The answer cannot be parsed or has no value that can be calculated."""


class SymbolicLeaves(Leaves):
    """Leaves compared as mathematical expressions."""

    def equal(self, gold: str, answer: str) -> bool:
        if gold == answer:
            return True
        right, left = _gold(gold), _expression(answer)
        return left is not None and _same_value(right, left, sympy.Rational(self.tolerance))

    def rounded(self, exact: str, decimal: str) -> bool:
        value, about, place = _expression(exact), rational(decimal), last_place(decimal)
        if value is None or about is None or value.free_symbols:
            return False
        value = sympy.N(value, DIGITS)
        return bool(value.is_real) and rounds_to(
            value, *(sympy.Rational(n.numerator, n.denominator) for n in (about, place))
        )

    def same_equation(self, gold: tuple[str, str], answer: tuple[str, str]) -> bool:
        right, left = _gold(f"({gold[0]})-({gold[1]})"), _expression(f"({answer[0]})-({answer[1]})")
        return left is not None and _proportional(right, left)


def compare(item: dict[str, Any]) -> str:
    """The pool's handler: `match`, `mismatch` or `gold_unparseable` for {gold, answer, tolerance, evaluated, percent}.

    An answer that cannot be parsed or evaluated is a mismatch; any other failure is this side's and is raised.
    """
    leaves = SymbolicLeaves(item["tolerance"])
    options = {name: item[name] for name in ("evaluated", "percent")}
    try:
        same = same_answer(item["gold"], item["answer"], leaves, **options)
    except GoldUnparseable:
        return "gold_unparseable"
    except AnswerUnreadable:
        return "mismatch"
    return "match" if same else "mismatch"


def warm_up() -> None:
    """Fill the parser's and sympy's caches before workers are forked: a cold parser takes ten times as long."""
    logging.disable(logging.WARNING)  # math-verify warns that its own timeouts are off; the pool's limits replace them
    samples = re.findall(
        "[^;]+",
        r"2k+2; 3k-2; 3\sqrt{13}; 5\sqrt{2}; 6-5i; 6+5i; \frac{\sqrt{3}}{3}; \frac{1}{\sqrt{3}}; 7\pi; \pi r^2; ab+10;"
        r"(a+5)(b+2); x^2+5x+6; (x+2)(x+3); 2\cos x; \sin x; e^{2x}; \ln 2; \frac{x+1}{2}; \frac{x}{2}; |x|;"
        r"-\frac{2\pi}{3}; \sqrt[3]{4}; 2^{n+1}; \log_2 3; x_1",
    )
    for gold, answer in zip(samples[::2], samples[1::2], strict=True):
        compare({"gold": gold, "answer": answer, "tolerance": 0.0, "evaluated": True, "percent": False})


def _gold(text: str) -> Any:
    expression = _expression(text)
    if expression is None:
        raise GoldUnparseable
    return expression


@lru_cache(maxsize=1024)
def _expression(text: str) -> Any:
    """The expression a text stands for, decimals as exact fractions; `None` if it cannot be read."""
    value = rational(text)
    if value is not None:
        return sympy.Rational(value.numerator, value.denominator)
    if not balanced(text) or "{}" in text:
        return None
    text = _DEGREES.sub(r"(\\frac{\1\\pi}{180})", without_thousands(text))
    text = _GAMMA.sub(lambda m: f"{m.group().strip()[1].upper()}_{{greek}} ", _PRIMES.sub(_primed, text))
    try:
        parsed = latex2sympy(text, is_real=None, normalization_config=_NORMALIZE, conversion_config=_CONVERT)
        return _canonical(parsed) if isinstance(parsed, sympy.Basic | sympy.MatrixBase) else None
    except (MemoryError, RecursionError):
        raise
    except Exception:  # the process boundary: the parser raises bare exceptions for text it cannot read
        return None


def _primed(match: re.Match[str]) -> str:
    """`S'` as a symbol of its own: the parser drops apostrophes."""
    return f"{match.group(1)}_{{{(match.group(2) or '').strip('{}')}{'prime' * len(match.group(3))}}}"


def _canonical(expression: Any) -> Any:
    """Exact decimals, the imaginary unit, one symbol for each name."""
    exact = {f: sympy.Rational(str(f)) for f in expression.atoms(sympy.Float)}
    symbols = {s: sympy.I if s.name == "i" else sympy.Symbol(s.name) for s in expression.atoms(sympy.Symbol)}
    return expression.xreplace(exact | symbols)


def _same_value(gold: Any, answer: Any, tolerance: Any) -> bool:
    if _undefined(gold) or _undefined(answer):
        return False
    if gold == answer:
        return True
    if not all(isinstance(e, sympy.Expr) for e in (gold, answer)):
        return bool(math_verify.verify([gold], [answer], float_rounding=15, numeric_precision=30, timeout_seconds=None))
    symbols = gold.free_symbols | answer.free_symbols
    whole = all(symbol.name in _WHOLE_NAMES for symbol in symbols) and any(
        e.has(sympy.floor, sympy.ceiling) for e in (gold, answer)
    )
    counting = whole or any(e.has(sympy.Sum, sympy.Product) for e in (gold, answer))
    for point in _WHOLE if whole else _NATURAL if counting else _POSITIVE if symbols else _POSITIVE[:1]:
        pair = _values(gold, answer, point)
        if pair is None:
            return False
        if not _agree(*pair, _margin(gold, answer, tolerance)):
            return _both_vanish(gold, answer, pair)
        if any(abs(value) > HUGE for value in pair):
            return sympy.simplify(gold - answer) == 0
    if counting or not symbols:
        return True
    return all(_agree_where_real(gold, answer, point, tolerance) for point in _further_points(gold, answer))


def _undefined(expression: Any) -> bool:
    return expression.has(sympy.zoo, sympy.nan, sympy.oo, -sympy.oo) if isinstance(expression, sympy.Expr) else False


def _further_points(gold: Any, answer: Any) -> list[list[Any]]:
    """Points where one of the two may have no real value; many where functions jump or have corners."""
    corners = any(e.has(*_STEPS) or any(not p.exp.is_integer for p in e.atoms(sympy.Pow)) for e in (gold, answer))
    return [_MIXED, *_WIDE, *_NATURAL] if corners else [_MIXED]


def _agree_where_real(gold: Any, answer: Any, point: list[Any], tolerance: Any) -> bool:
    pair = _values(gold, answer, point)
    if pair is None or not (pair[0].is_real and pair[1].is_real):
        return True
    return _agree(*pair, _margin(gold, answer, tolerance)) or _both_vanish(gold, answer, pair)


def _digits(gold: Any, answer: Any) -> int:
    """More of them where a number is so large or small that it may be out of sight."""
    numbers = [n for e in (gold, answer) for n in e.atoms(sympy.Rational)]
    powers = [p.exp for e in (gold, answer) for p in e.atoms(sympy.Pow) if p.base.is_number and p.exp.is_Integer]
    long = any(max(abs(n.p), n.q) > 10**20 for n in numbers) or any(abs(exponent) > 20 for exponent in powers)
    return MANY_DIGITS if long else DIGITS


def _margin(gold: Any, answer: Any, tolerance: Any) -> Any:
    return max(sympy.Rational(1, 10 ** (_digits(gold, answer) - CANCELED)), tolerance)


def _values(gold: Any, answer: Any, point: list[Any]) -> tuple[Any, Any] | None:
    """Both expressions at a point, `None` if one has no finite value there."""
    symbols = sorted(gold.free_symbols | answer.free_symbols, key=str)
    if len(symbols) > len(point):
        return None
    digits = _digits(gold, answer)  # rational numbers to rational powers would be factored: floats, but for integers
    floats = (value if value.is_Integer else sympy.Float(value, digits + SPARE) for value in point)
    at = dict(zip(symbols, floats, strict=False))
    right = sympy.N(gold.subs(at), digits)
    try:
        left = sympy.N(answer.subs(at), digits)
    except (ArithmeticError, TypeError, ValueError, AttributeError, NotImplementedError) as error:
        raise AnswerUnreadable from error
    return (right, left) if all(v.is_number and v.is_finite for v in (right, left)) else None


def _agree(a: Any, b: Any, margin: Any) -> bool:
    return bool(abs(a - b) <= margin * max(abs(a), abs(b)))


def _both_vanish(gold: Any, answer: Any, pair: tuple[Any, Any]) -> bool:
    """Rounding noise has no relative precision: where both are 0 to all digits, the difference is simplified."""
    if max(abs(pair[0]), abs(pair[1])) > sympy.Float(10) ** -40:
        return False
    return sympy.simplify(gold - answer) == 0


def _proportional(gold: Any, answer: Any) -> bool:
    if gold.free_symbols != answer.free_symbols:
        return False
    ratios = []
    for point in (*_POSITIVE, _MIXED):
        pair = _values(gold, answer, point)
        if pair is None or pair[0] == 0 or pair[1] == 0:
            return False
        ratios.append(pair[0] / pair[1])
    margin = _margin(gold, answer, 0)
    return all(_agree(ratios[0], ratio, margin) for ratio in ratios[1:])
