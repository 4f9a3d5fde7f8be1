"""LaTeX as text: one spelling for each answer, brackets, splitting."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trl_rlsp.text import normalize, rational, split_top, too_complex
from trl_rlsp.text._latex import to_latex
from trl_rlsp.verification.math._structure import shape_of


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
        ("81, 256", "81, 256"),  # two numbers
        ("1,234, 5", "1234,5"),
        (r"11,\! 111", "11111"),
        (r"\frac\pi2", r"\frac{\pi}{2}"),
        (r"\sqrt\frac12", r"\sqrt{\frac{1}{2}}"),
        (r"\\frac{1}{2}", r"\frac{1}{2}"),
        (r"\[ 7 \]", "7"),
        ("v^2_0", "v_0^2"),
        ("1e-5", r"1\cdot10^{-5}"),
        ("2*pi", r"2\cdot\pi"),
        (r"{1\over 2}", r"\frac{1}{2}"),
        (r"{\over 2}", r"\frac{}{2}"),  # nothing above the line, not `None`
        ("2.5 million", r"2.5\cdot1000000"),
        (r"x=1 or x=2", r"x=1\text{or}x=2"),
        (r"\left[\begin{array}{c}1\\2\end{array}\right]", r"\begin{pmatrix}1\cr2\end{pmatrix}"),
    ],
)
def test_normal_form(text, normal):
    assert normalize(text) == normal


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


def test_split_outside_brackets_only():
    assert split_top(r"1,(2,3),\{4,5\},\begin{a}6,7\end{a}", ",") == ["1", "(2,3)", r"\{4,5\}", r"\begin{a}6,7\end{a}"]
