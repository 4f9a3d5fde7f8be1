"""Exact values of plain arithmetic; calculations: what is read from a text, whatever its notation, and what is not."""

import time
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from trl_rlsp.text import approach, calculations, normalize, rational


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


SMALL = st.integers(0, 50)


class TestNotation:
    @pytest.mark.parametrize(
        "text",
        [
            "6 + 3 = 9 | 9 * 2 = 18 ? 18 yes",
            "( 6 + 3 ) * 2 = 18 yes",
            "2 * ( 3 + 6 ) = 18",
            "First 3+6=9, then 2×9=18.",
            r"$(6 + 3) \times 2 = 18$",
            r"\left( 6 + 3 \right) \cdot 2 = 18",
            "2(6 + 3) = 18",
            "3 + 6 = 9 and 9 * 2 = 18 = 18",
        ],
    )
    def test_one_approach_is_one_set_however_it_is_written(self, text):
        assert calculations(text) == {"3+6=9", "2*9=18"}

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            (r"\frac{48}{2} = 24", {"48/2=24"}),
            ("1,000 + 2,000 = 3,000", {"1000+2000=3000"}),
            ("2^10 = 1024", {"2^10=1024"}),
            ("2 ** 3 ** 2 = 512", {"3^2=9", "2^9=512"}),  # powers from the right
            ("5 - 3 - 1 = 1", {"5-3=2", "2-1=1"}),  # the others from the left
            ("1 + 2 * 3 = 7", {"2*3=6", "1+6=7"}),
            ("-3 + 10 = 7", {"10-3=7"}),
            ("3 - 10 = -7 | -10 + 3 = -7", {"3-10=-7"}),
            ("3 + 4 = 7 | 3 - (-4) = 7 | -3 - 4 = -7 | -3 + (-4) = -7", {"3+4=7"}),  # whatever the signs
            ("7 - 3 = 4 | -3 + 7 = 4 | 7 + (-3) = 4", {"7-3=4"}),
            ("3 * 4 = 12 | -3 * 4 = -12 | (-3) * (-4) = 12 | 4 * (-3) = -12", {"3*4=12"}),
            ("12 / 4 = 3 | -12 / 4 = -3 | (-2) ^ 3 = -8 | 2 ^ 3 = 8", {"12/4=3", "2^3=8"}),
            ("-3 + 3 = 0 | -1 * 3 = -3 | 3 / (-1) = -3 | 3 / (-3) = -1 | (-1) ^ 2 = 1", set()),
            ("0.5 * 3 = 1.5", {"1/2*3=3/2"}),
            ("10 / 3 = 3.33", {"10/3=10/3"}),  # 3.333... is 3.33 to two places
            (r"10 / 3 \approx 3.3", {"10/3=10/3"}),
            ("Step 1. 3 + 4 = 7.", {"3+4=7"}),
            ("(so 3 + 4 = 7)", {"3+4=7"}),
            ("3 * 4 = 12 cm", {"3*4=12"}),
            ("6 + 3 = 9 - no", {"3+6=9"}),
            ("3 + 4 = 7\n- 2 apples", {"3+4=7"}),
        ],
    )
    def test_read(self, text, expected):
        assert calculations(text) == expected

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "no numbers",
            "3 + 4 = 8",  # does not hold
            "10 / 3 = 3",
            "10 / 3 = 3.34",
            "7 = 7",  # no operation
            "-7 = -7",
            "x - 3 + 10 = 7",  # starts with a variable
            "2x + 3 = 7",
            "3 * 4 = 12x",
            "3 + 4 = 5 + 2",  # the right side is not a result
            "3 / 0 = 1",
            "0 ^ -1 = 0",
            ") 3 + ) 4 = 7",
            "3 + = 3",
            "3 4 + = 7",
            "9 ^ 9 ^ 9 = 1",
            "three plus four = 7",
            # operations that change nothing
            *("3 + 0 = 3", "3 - 0 = 3", "0 + 3 = 3", "3 - 3 = 0", "3 * 1 = 3", "1 * 3 = 3", "3 * 0 = 0"),
            *("3 / 1 = 3", "3 / 3 = 1", "0 / 3 = 0", "3 ^ 1 = 3", "3 ^ 0 = 1", "1 ^ 3 = 1"),
        ],
    )
    def test_not_read(self, text):
        assert calculations(text) == frozenset()

    @given(SMALL, SMALL, SMALL)
    def test_whatever_holds_is_read(self, a, b, c):
        assume(a and b)
        assert calculations(f"({a} + {b}) * {c} - {a} = {(a + b) * c - a}")
        assert not calculations(f"({a} + {b}) * {c} - {a} = {(a + b) * c - a + 1}")

    @given(SMALL, st.integers(1, 50))
    def test_rounded_as_far_as_written(self, a, b):
        assume(a and b > 1 and a != b)
        assert calculations(f"{a} / {b} = {float(Fraction(a, b)):.4f}")

    @given(st.text("0123456789+-*/^()=. |$\\{}frac", max_size=200))
    def test_any_text_gives_equations_or_nothing(self, text):
        assert all("=" in found for found in calculations(text))


class TestGiven:
    def test_starts_from_the_problems_numbers_or_a_result(self):
        # 5 + 5 starts from nothing known, 6 + 1 from the problem's 6, 7 * 5 from the result 7, 10 + 1 from nothing
        text = "5 + 5 = 10, 6 + 1 = 7, 7 * 5 = 35, 10 + 1 = 11"
        assert calculations(text, given="Use 6 3 2 to make 18") == {"1+6=7", "5*7=35"}

    def test_numbers_spelt_otherwise_are_the_same(self):
        assert calculations("1000 / 4 = 250", given="She has $1,000.00.") == {"1000/4=250"}

    def test_a_problem_without_numbers_asks_for_none(self):
        assert calculations("5 + 5 = 10", given="Add five and five.") == {"5+5=10"}

    def test_calculations_of_the_problem_do_not_count(self):
        assert calculations("1 + 2 = 3, 3 + 2 = 5", given="For example 2 + 1 = 3.") == {"2+3=5"}


class TestTime:
    @pytest.mark.parametrize(
        "text",
        [
            "1" * 200_000,
            "=" * 200_000,
            "( " * 100_000 + "=",
            "1 + " * 50_000 + "= 1",
            "9^" * 50_000 + "=1",
            "1=" * 100_000,
        ],
        ids=["digits", "equals", "parentheses", "sum", "powers", "chain"],
    )
    def test_is_linear_in_the_text(self, text):
        start = time.process_time()
        calculations(text)
        assert time.process_time() - start < 2  # under 0.1 s each on an idle core; quadratic would take minutes


@pytest.mark.parametrize(
    ("text", "answer", "expected"),
    [
        ("3 * 4 = 12 | 12 + 5 = 17", "17", {"3*4=12", "5+12=17"}),
        ("5 + 4 = 9 | 3 * 4 = 12 | 12 - 9 = 3 | 12 + 5 = 17", "17", {"3*4=12", "5+12=17"}),  # attempts that failed
        ("12 + 5 = 17 | 3 * 4 = 12", "17", {"3*4=12", "5+12=17"}),  # in any order
        ("(3 * 4) + 5 = 17", "17.0", {"3*4=12", "5+12=17"}),
        ("", "3 * 4 + 5", {"3*4=12", "5+12=17"}),
        ("16 + 1 = 17", "17", set()),  # where 16 is from is not said
        ("5 - 3 = 2 | 34 / 2 = 17", "17", set()),
        ("3 + 4 = 7 | 7 + 5 = 12 | 12 + 5 = 17 | 3 * 4 = 12", "17", {"3*4=12", "5+12=17"}),  # the shorter one
        ("3 - 5 = -2 | -2 * 4 = -8", "-8", {"3-5=-2", "2*4=8"}),
        ("3 / 4 = 0.75 | 3/4 + 5 = 5.75", "23/4", {"3/4=3/4", "3/4+5=23/4"}),
        ("17 - 1 = 16 | 16 + 1 = 17", "17", set()),  # a circle
        ("3 * 4 = 12", "twelve", set()),
    ],
)
def test_the_approach_is_the_shortest_derivation_of_the_answer(text, answer, expected):
    assert approach(text, answer, given="3 4 5 : 17") == expected
