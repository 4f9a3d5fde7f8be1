"""Text rules of math answers: one spelling, exact arithmetic, structure, restated prompts. No process, no sympy."""

import time
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trl_rlsp.text.rational import rational
from trl_rlsp.verification.math.gold import gold_text, gold_tolerance
from trl_rlsp.verification.math.normalize import normalize, to_latex, too_complex
from trl_rlsp.verification.math.restated import restates
from trl_rlsp.verification.math.structure import shape_of, split_top


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        (r" $\dfrac{1}{2}$ ", r"\frac{1}{2}"),
        (r"\frac12", r"\frac{1}{2}"),
        (r"\frac1{72}", r"\frac{1}{72}"),
        (r"\sqrt3", r"\sqrt{3}"),
        (r"\left( 3, \frac{\pi}{2} \right)", r"(3,\frac{\pi}{2})"),
        (r"x \leq 3", r"x\le3"),
        ("7²", "7^2"),
        ("x₁", "x_1"),
        ("½", r"\frac{1}{2}"),
        ("1½", r"1\frac{1}{2}"),
        ("1 4/5", r"1\frac{4}{5}"),
        ("−7", "-7"),
        ("７", "7"),
        ("7\u200b", "7"),
        ("√2", r"\sqrt{2}"),
        ("2π", r"2\pi"),
        (".5", "0.5"),
        ("+5", "5"),
        ("10{,}080", "10080"),
        (r"10,\!080", "10080"),
        (r"\$18.90", "18.90"),
        (r"50 \%", "50%"),
        (r"50\text{ percent}", "50%"),
        (r"2+3\mathrm{i}", "2+3i"),
        (r"\mathrm{sin} x", r"\sin x"),
        ("{(7)}", "7"),
        ("(1,2)", "(1,2)"),
        (r"\text{ (C) }", r"\text{(C)}"),
        (r"3{:}30", "3:30"),
        ("7.", "7"),
        (r"90^{\circ}", r"90^\circ"),
        ("x^{2}", "x^2"),
        ("1 2", "1 2"),  # not 12
    ],
)
def test_normal_form(text, normal):
    assert normalize(text) == normal


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
    started = time.perf_counter()
    assert rational(text) is None
    assert time.perf_counter() - started < 0.5


@given(st.integers(-(10**9), 10**9), st.integers(1, 10**6))
def test_fractions_in_all_spellings(top, bottom):
    value = Fraction(top, bottom)
    assert rational(normalize(f"\\dfrac{{{top}}}{{{bottom}}}")) == value
    assert rational(normalize(f"{top}/{bottom}")) == value


@given(st.integers(0, 10**15))
def test_thousands(number):
    assert rational(normalize(f"{number:,}")) == number


@given(st.text(alphabet="\\frac{}()[]12+-^_x,.$ sqrtleft%²½π", max_size=60))
@settings(max_examples=300, deadline=None)
def test_normalize_is_total_and_stable(text):
    once = normalize(text)
    assert isinstance(once, str)
    assert normalize(once) is not None
    assert to_latex(once).isascii()
    rational(once)
    shape_of(text)


@pytest.mark.parametrize("text", ["(" * 50 + ")" * 50, "-" * 500 + "2", "|" * 100, "1" * 2001])
def test_too_complex(text):
    assert too_complex(text)
    assert not too_complex(r"\frac{1}{2}")


@pytest.mark.parametrize(
    ("text", "kind", "items"),
    [
        ("7", "scalar", 0),
        ("1,2,3", "list", 3),
        ("1;2", "list", 2),
        (r"1 \text{ and } 2", "list", 2),
        ("x=1, x=2", "list", 2),
        ("1,234", "scalar", 0),
        (r"\{1,2\}", "set", 2),
        ("(1,2)", "tuple", 2),
        ("[1,2)", "tuple", 2),
        ("x>2", "tuple", 2),
        (r"1 < x \le 3", "tuple", 2),
        (r"(0,1)\cup(2,3)", "union", 2),
        (r"x<1 \text{ or } x>3", "union", 2),
        (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", "matrix", 2),
        (r"1 \pm \sqrt{2}", "list", 2),
        ("2+2=4", "chain", 2),
        ("2x+2=4", "equation", 2),
        ("1=2=3", "chain", 3),
        (r"\text{even}", "text", 0),
        ("Navin", "text", 0),
    ],
)
def test_structure(text, kind, items):
    shape = shape_of(text)
    assert (shape.kind, len(shape.items)) == (kind, items)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (r"5\text{ cm}", ("5", "cm", "", "")),
        (r"864 \mbox{ inches}^2", ("864", "in^2", "", "")),
        (r"864\text{ square inches}", ("864", "in^2", "", "")),
        ("3 hours", ("3", "hour", "", "")),
        (r"60\text{ mph}", ("60", "mile per hour", "", "")),
        (r"90^\circ", ("90", "degree", "", "")),
        ("5g", ("5g", "", "", "")),  # a variable, not grams
        ("4210_{5}", ("4210", "", "5", "")),
        (r"4210_{\text{five}}", ("4210", "", "5", "")),
        ("12_{10}", ("12", "", "", "")),
        ("x=5", ("5", "", "", "x")),
        ("f(x)=2x", ("2x", "", "", "f(x)")),
        (r"\text{Area}=7", ("7", "", "", r"\text{Area}")),
    ],
)
def test_units_bases_and_names(text, parts):
    shape = shape_of(text)
    assert (shape.text, shape.unit, shape.base, shape.name) == parts


def test_inequalities_are_intervals():
    assert shape_of("x>2").brackets == "()"
    assert [item.text for item in shape_of(r"5 \ge x").items] == ["-\\infty", "5"]
    assert shape_of(r"5 \ge x").brackets == "(]"
    assert [item.text for item in shape_of(r"3 > x \ge 1").items] == ["1", "3"]
    assert shape_of(r"3 > x \ge 1").brackets == "[)"


def test_split_outside_brackets_only():
    assert split_top(r"1,(2,3),\{4,5\},\begin{a}6,7\end{a}", ",") == ["1", "(2,3)", r"\{4,5\}", r"\begin{a}6,7\end{a}"]


@pytest.mark.parametrize(
    ("gold", "text"),
    [
        ("7", "7"),
        (7, "7"),
        (7.0, "7"),
        (0.5, "0.5"),
        (1e-7, "0.0000001"),
        (r"$\boxed{\frac12}$", r"\frac12"),
        ("so it is #### 1,200", "1,200"),
        ("We add. " * 50 + r"So $\boxed{7}$ it is.", "7"),
        ([1, 2], "1, 2"),
        (None, None),
        (True, None),
        ("", None),
        ("  $ $ ", None),
        (float("nan"), None),
        (float("inf"), None),
        ({"a": 1}, None),
        (r"\frac{1}{", None),
    ],
)
def test_gold_in_any_form(gold, text):
    assert gold_text(gold) == text


def test_only_a_float_gold_has_a_tolerance():
    assert gold_tolerance(0.1 + 0.2) > 0
    assert gold_tolerance("0.3") == gold_tolerance(3) == 0


PROMPT = r"Compute $99^2+99+1$ if $x = \frac{1}{2}(a+b)$, and factor $ab + 5b + 2a + 10$. Is $0.125$ larger than $15$?"


@pytest.mark.parametrize(
    ("answer", "restated"),
    [
        ("99^2+99+1", True),
        ("99^{2} + 99 + 1", True),
        ("1+99+99^2", True),
        ("99^2+99+1+0", True),
        (r"1 \cdot (99^2+99+1)", True),
        ("x=99^2+99+1", True),
        ("2a+ab+5b+10", True),
        (r"\tfrac12(a+b)", True),
        ("0.125", False),  # a number written out
        ("9901", False),
        ("(a+5)(b+2)", False),
        ("5", False),  # the 5 of 15 and of 5b is not the expression 5
        ("99^2+99+2", False),
    ],
)
def test_restated(answer, restated):
    assert restates(PROMPT, answer) is restated
