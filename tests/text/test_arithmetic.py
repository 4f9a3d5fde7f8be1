"""Exact values of plain arithmetic."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trl_rlsp.text import normalize, rational


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7", Fraction(7)),
        ("007", Fraction(7)),
        ("-0.5", Fraction(-1, 2)),
        ("1,234", Fraction(1234)),
        (r"1\frac{4}{5}", Fraction(9, 5)),
        (r"-\frac{3}{4}", Fraction(-3, 4)),
        (r"\frac{-3}{4}", Fraction(-3, 4)),
        (r"\frac{\frac{1}{2}}{3}", Fraction(1, 6)),
        ("50%", Fraction(1, 2)),
        (r"1.2\cdot10^{-3}", Fraction(12, 10_000)),
        ("99^2+99+1", Fraction(9901)),  # 9801 + 99 + 1
        ("-3^2", Fraction(-9)),
        ("(-3)^2", Fraction(9)),
        ("2^{3^2}", Fraction(512)),  # 2^9
        ("3(4)", Fraction(12)),
        ("12/4/3", Fraction(1)),
        (r"0.\overline{3}", Fraction(1, 3)),
        (r"0.1\overline{6}", Fraction(1, 6)),  # (16 - 1) / 90
        (r"1.\overline{9}", Fraction(2)),
    ],
)
def test_exact_value(text, value):
    assert rational(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "1/0",
        "2^x",
        "2^{0.5}",
        "1 2",
        "5!",
        r"\sqrt{4}",
        "1e5",
        "0x7",
        "7 или 8",
        "1,2",
        "10^{10^{10}}",
        "9^{9^{9}}",
        "(",
        "(" * 100 + "1" + ")" * 100,
        "7" * 5000,
        "1+" * 400 + "1",
        "2^{" * 50 + "2" + "}" * 50,
    ],
    ids=lambda text: text[:16],
)
def test_not_plain_arithmetic_or_too_large(text):
    assert rational(text) is None


@given(st.integers(-(10**9), 10**9), st.integers(1, 10**6))
def test_fractions_in_all_spellings(top, bottom):
    value = Fraction(top, bottom)
    assert rational(normalize(f"\\dfrac{{{top}}}{{{bottom}}}")) == value
    assert rational(normalize(f"{top}/{bottom}")) == value


@given(st.integers(0, 10**15))
def test_thousands(number):
    assert rational(normalize(f"{number:,}")) == number
