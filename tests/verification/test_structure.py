"""Outer structure of math answers, gold answers in any form, restated prompts. No process, no sympy."""

import pytest

from trl_rlsp.verification.math._structure import shape_of
from trl_rlsp.verification.math._verifier import gold_text, restates


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
        (r"2, \pm 3", "list", 3),
        ("12:05", "ratio", 2),
        (r"x \ne 3", "union", 2),
        (r"(0,9)\setminus\{4\}", "union", 2),
        (r"\{1\}\cup\{2\}", "set", 2),
        (r"\{x|x>2\}", "tuple", 2),
        ("p=5,q=2;p=7,q=2", "list", 2),
        ("3,000 feet", "scalar", 0),
        (r"\sqrt{2} \approx 1.41", "chain", 2),
        (r"\begin{cases}x=1\\y=2\end{cases}", "list", 2),
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
        (r"5\text{ cm}", ("5", "cm", "")),
        (r"864 \mbox{ inches}^2", ("864", "in^2", "")),
        (r"864\text{ square inches}", ("864", "in^2", "")),
        ("3 hours", ("3", "hour", "")),
        (r"60\text{ mph}", ("60", "mile per hour", "")),
        (r"90^\circ", ("90", "degree", "")),
        ("5g", ("5g", "", "")),  # a variable, not grams
        ("4210_{5}", ("4210_5", "", "")),
        (r"4210_{\text{five}}", ("4210_5", "", "")),
        ("12_{10}", ("12", "", "")),
        ("x=5", ("5", "", "x")),
        ("f(x)=2x", ("2x", "", "f(x)")),
        (r"\text{Area}=7", ("7", "", r"\text{Area}")),
        ("f(3)=7", ("7", "", "f(3)")),
        ("P(X=2)=0.3", ("0.3", "", "P(X=2)")),
        ("AB:CD=1:2", ("1:2", "", "AB:CD")),
        ("x(x+1)=6", ("x(x+1)=6", "", "")),
        ("20 km/h", ("20", "km per hour", "")),
        ("6:00 p.m.", ("6:00", "pm", "")),
    ],
)
def test_units_bases_and_names(text, parts):
    shape = shape_of(text)
    assert (shape.text, shape.unit, shape.name) == parts


def test_inequalities_are_intervals():
    assert shape_of("x>2").brackets == "()"
    assert [item.text for item in shape_of(r"5 \ge x").items] == ["-\\infty", "5"]
    assert shape_of(r"5 \ge x").brackets == "(]"
    assert [item.text for item in shape_of(r"3 > x \ge 1").items] == ["1", "3"]
    assert shape_of(r"3 > x \ge 1").brackets == "[)"


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


@pytest.mark.parametrize(
    ("prompt", "restated"),
    [
        ("8 12 2 : 98", False),
        ("Use 8, 12 and 2 to make 98.", False),
        ("What is 8 * 12 + 2?", True),
        ("$8 + 2 12$", True),
    ],
)
def test_numbers_in_a_row_are_no_expression(prompt, restated):
    assert restates(prompt, "( 8 * 12 ) + 2") is restated
