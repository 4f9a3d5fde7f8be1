"""Symbolic comparison of answers. Runs in worker processes only: parsing by math-verify's LaTeX parser, equality by
exact arithmetic and by values at fixed points to 60 digits, math-verify's own comparison where an expression has no
values.
"""

from __future__ import annotations

import logging
import re
from functools import lru_cache
from typing import Any

import math_verify
import sympy
from latex2sympy2_extended import NormalizationConfig
from latex2sympy2_extended.latex2sympy2 import ConversionConfig, latex2sympy

from trl_rlsp.text.rational import rational
from trl_rlsp.verification.math.equivalence import same_answer

logging.disable(logging.WARNING)  # math-verify warns that its own timeouts are off; the pool's limits replace them

DIGITS = 60  # of every value
AGREE = sympy.Rational(1, 10**45)  # relative difference of equal values: DIGITS less what cancellation costs
HUGE = sympy.Integer(10) ** 40  # of values this large the first digits say too little: x and x + 1 agree
_NORMALISE = NormalizationConfig(basic_latex=True, malformed_operators=True, nits=True, boxed="none")
_CONVERT = ConversionConfig(lowercase_symbols=False)  # math-verify's default takes C and c for the same
_DEGREES = re.compile(r"(\d+(?:\.\d+)?)\^(?:\\circ|\{\\circ\}) ?")
# values for the variables: two points with all positive, one with mixed signs
_POINTS = (
    ("1.3170824", "2.7318281", "0.5772156", "3.3598856", "0.9159655", "1.7724538", "2.2360679", "4.1327313"),
    ("0.4142135", "1.2020569", "2.6854520", "0.7642236", "1.9021605", "0.6434105", "3.2758229", "1.4513692"),
    ("-1.6449340", "0.8346268", "-2.5029078", "1.0986122", "-0.3187590", "2.1622214", "-1.1319882", "0.2614972"),
)


class GoldUnparseable(Exception):
    """The gold answer is not an expression that can be compared."""


class SymbolicLeaves:
    """Leaves compared as mathematical expressions."""

    def __init__(self, tolerance: float) -> None:
        self.tolerance = tolerance

    def equal(self, gold: str, answer: str) -> bool:
        """Whether two expressions have the same value wherever both have one."""
        if gold == answer:
            return True
        right = _expression(gold)
        left = _expression(answer)
        if right is None:
            raise GoldUnparseable
        return left is not None and _same_value(right, left, self.tolerance)

    def same_equation(self, gold: tuple[str, str], answer: tuple[str, str]) -> bool:
        """Whether left - right of the two equations are proportional."""
        right, left = (_expression(f"({pair[0]})-({pair[1]})") for pair in (gold, answer))
        if right is None:
            raise GoldUnparseable
        return left is not None and _proportional(right, left)


def compare(item: dict[str, Any]) -> str:
    """The pool's handler: `match`, `mismatch` or `gold_unparseable` for {gold, answer, tolerance, evaluated}."""
    leaves = SymbolicLeaves(item["tolerance"])
    try:
        same = same_answer(item["gold"], item["answer"], leaves, evaluated=item["evaluated"])
    except GoldUnparseable:
        return "gold_unparseable"
    return "match" if same else "mismatch"


def warm_up() -> None:
    """Fill the parser's and sympy's caches before workers are forked: a cold parser takes ten times as long."""
    samples = [
        r"2k+2",
        r" 3k-2",
        r" 3\sqrt{13}",
        r" 5\sqrt{2}",
        r" 6-5i",
        r" 6+5i",
        r" \frac{\sqrt{3}}{3}",
        r" \frac{1}{\sqrt{3}}",
        r" 7\pi",
        r" \pi r^2",
        r" (a+5)(b+2)",
        r"ab+10",
        r" x^2+5x+6",
        r" (x+2)(x+3)",
        r" 2\cos x",
        r" \sin x",
        r" e^{2x}",
        r" \ln 2",
        r" \frac{x+1}{2}",
        r" \frac{x}{2}",
        r" -\frac{2\pi}{3}",
        r" |x|",
        r"\sqrt[3]{4}",
        r" 2^{n+1}",
        r" \log_2 3",
        r" x_1",
    ]
    for gold, answer in zip(samples[::2], samples[1::2], strict=True):
        compare({"gold": gold, "answer": answer, "tolerance": 0.0, "evaluated": True})


@lru_cache(maxsize=1024)
def _expression(text: str) -> sympy.Basic | None:
    """The expression a text stands for, decimals as exact fractions; `None` if it cannot be read."""
    value = rational(text)
    if value is not None:
        return sympy.Rational(value.numerator, value.denominator)
    if not _balanced(text):
        return None
    try:
        parsed = latex2sympy(
            _DEGREES.sub(r"(\\frac{\1\\pi}{180})", text),
            is_real=None,
            normalization_config=_NORMALISE,
            conversion_config=_CONVERT,
        )
    except (MemoryError, RecursionError):
        raise
    except Exception:  # the process boundary: the parser raises bare exceptions for text it cannot read
        return None
    return _canonical(parsed) if isinstance(parsed, sympy.Basic | sympy.MatrixBase) else None


def _canonical(expression: Any) -> Any:
    """Exact decimals, the imaginary unit, one symbol for each name."""
    exact = {f: sympy.Rational(str(f)) for f in expression.atoms(sympy.Float)}
    symbols = {s: sympy.I if s.name == "i" else sympy.Symbol(s.name) for s in expression.atoms(sympy.Symbol)}
    return expression.xreplace(exact | symbols)


def _balanced(text: str) -> bool:
    bare = re.sub(r"\\[{}]", "", text)
    return bare.count("{") == bare.count("}") and "{}" not in bare


def _same_value(gold: sympy.Basic, answer: sympy.Basic, tolerance: float) -> bool:
    if gold == answer:
        return True
    values = [_values(gold, answer, point) for point in _POINTS]
    if any(pair is None for pair in values[:2]):
        return bool(math_verify.verify([gold], [answer], float_rounding=15, numeric_precision=30, timeout_seconds=None))
    margin = max(AGREE, sympy.Rational(tolerance))
    if not all(_agree(*pair, margin) for pair in values[:2] if pair is not None):
        return _both_vanish(gold, answer, values[0])
    if any(abs(value) > HUGE for pair in values[:2] if pair is not None for value in pair):
        return sympy.simplify(gold - answer) == 0
    mixed = values[2]
    return mixed is None or not (mixed[0].is_real and mixed[1].is_real) or _agree(*mixed, margin)


def _values(gold: Any, answer: Any, point: tuple[str, ...]) -> tuple[Any, Any] | None:
    """Both expressions at a point, `None` if one has no finite value there."""
    if not all(isinstance(e, sympy.Expr) for e in (gold, answer)):
        return None
    symbols = sorted(gold.free_symbols | answer.free_symbols, key=str)
    if len(symbols) > len(point):
        return None
    at = {symbol: sympy.Rational(value) for symbol, value in zip(symbols, point, strict=False)}
    pair = tuple(sympy.N(e.subs(at), DIGITS) for e in (gold, answer))
    if any(not value.is_number or not value.is_finite for value in pair):
        return None
    return pair[0], pair[1]


def _agree(a: Any, b: Any, margin: Any) -> bool:
    return bool(abs(a - b) <= margin * max(abs(a), abs(b)))


def _both_vanish(gold: Any, answer: Any, pair: tuple[Any, Any] | None) -> bool:
    """Rounding noise has no relative precision: where both are 0 to all digits, the difference is simplified."""
    if pair is None or max(abs(pair[0]), abs(pair[1])) > sympy.Float(10) ** -40:
        return False
    return sympy.simplify(gold - answer) == 0


def _proportional(gold: sympy.Basic, answer: sympy.Basic) -> bool:
    if gold.free_symbols != answer.free_symbols:
        return False
    ratios = []
    for point in _POINTS:
        pair = _values(gold, answer, point)
        if pair is None or pair[0] == 0 or pair[1] == 0:
            return False
        ratios.append(pair[0] / pair[1])
    return all(_agree(ratios[0], ratio, AGREE) for ratio in ratios[1:])
