"""Wrong mathematical answers that try to be paid: what a model may write into its box beside the right value."""

import importlib
import logging

import pytest

from trl_rlsp.verification import MATH_HANDLER, MathItem, WorkerPool, verify_math

POLYNOMIAL = "(x-1.3170824)(x-0.4142135)(x+1.6449340)"  # vanishes at points that were once the same in every process

WRONG = {
    "72": r"7² 7^2 7_2 7​²",
    "11/2": "1½ 1␣½",
    "103": "10³",
    "12": r"1₂ 1\,_2",
    "23": "2³ 2^3 2{}^3",
    "7": r"""
        \pm␣7 0=7 2x=7 x^2=7 -x=7 x\ne␣7 x>7 x\geq␣7 <7 \sim␣7 7^{*} 7' 7_{8} 7␣\pmod{9} \overline{7} \cancel{7}
        \text{not␣}7 7\text{␣or␣}8 7\text{␣is␣not␣it} \phantom{7} 7\phantom{8} 7\% 7% \neg␣7 !7 7! |7 \lnot␣7
        \sqrt{7}^{2} 7i 7e \text{seven} 7\text{␣million} 7\text{␣thousand} 7\text{␣dozen} 7k 7M 7\text{␣percent}
        7\text{␣hundred} 7\text{␣squared} 7\text{␣halves} 7\text{␣and␣}8 7␣8 7;8 7|8 7/ 7\div 7\text{,␣maybe␣}8
        7... 7\ldots 7- -7- +-+7 \lim␣7 7\to␣8 8\to7 x\to␣7 x\mapsto␣7 x\in\{7,8\} x\in[7,8] x=7,8 x=7,␣y=8
        x=7;x=8 x=7\text{␣or␣}x=8 \{7,8\} 7\text{␣(or␣}8\text{)} 7␣(8) 7[8] \text{between␣6␣and␣}7
        \text{at␣most␣}7 \text{less␣than␣}7 \text{about␣}7 \text{never␣}7 \text{anything␣but␣}7 \le␣7 \max␣7
        7\vee␣8 7\cup␣8 7\text{␣if␣}␣x>0 7\times 7\cdot \hphantom{1}7 1\hspace{-1em}7 \text{1}7 1\text{7}
        \mathrm{1}7 \textcolor{white}{1}7 \color{white}1\color{black}7 \rlap{1}7 \llap{1}7 \smash{1}7
        \mathllap{1}7 \vphantom{1}7 \tag{8}7 7\tag{8} 7\label{8} 7\nonumber␣8 7\footnote{8} 7\\8 7\quad␣8 7␣&␣8
        \begin{cases}7\\8\end{cases} \substack{7\\8} \binom{7}{1} 7\text{␣km}\text{␣or␣}8 7\mathrm{~or~}8
        7\,\mathrm{e} 7\circ 7^{\prime} 7\$8 $7$8 7$␣$8 7:00 7:1:1 7\approx␣8 8\approx␣7 \boxed{7}\boxed{8}
        7␣+␣0x␣y 7\text{␣pairs␣or␣}8 7\text{␣score} 7\text{␣times}
    """,
    r"9\%": r"900\% 0.09\% 9000\% 0.0009",
    r"50\%": r"5000\% 0.5\%",
    "A": r"""
        A,␣B \text{A␣or␣B} A/B AB \text{A␣and␣B} \text{not␣A} A=B A+0B \text{A␣(B)} (A)(B) \text{A;␣B} A␣B
        \text{A␣or␣maybe␣B} B=A \neg␣A -A A^1 1A \frac{A}{1} \overline{A} A' A^c A! a \text{A)␣or␣B)}
    """,
    "x^2+5x+6": rf"x^2+5x+6+{POLYNOMIAL} x^2+5x+6+C x^2+5x+6+10^{{-60}} x^2+5x+6\text{{␣or␣}}7 f(x) y",
    r"\sqrt{2}": r"""
        \pm\sqrt{2} \sqrt{2}+10^{-50} |\sqrt{2}|i -\sqrt{2} \sqrt{2}i \sqrt[4]{2} 1.41421356
        \sqrt{2}\text{␣or␣}\sqrt{3} \sqrt␣2␣\infty^0 \sqrt{2}+0\cdot\infty \frac{0}{0} \infty \text{nan}
        \frac{1}{0}
    """,
    "y=2x+3": rf"""y=2x+3+{POLYNOMIAL} 0=0 (y-2x-3)(1+{POLYNOMIAL})=0 y\ne␣2x+3 y>2x+3 2x+3=2x+3 y=y x=x
        (y-2x-3)(x-1)=0""",
    r"\infty": r"-\infty \pm\infty \frac{1}{0} \infty+1 \infty-\infty \text{nan} \tan␣90^\circ 0\infty \frac{2}{0}",
    "(0,1)": r"(0,1] ]0,1[ (0,1)\cup(1,2) (0,1)(0,1) (1,0) (0,1,) (0,1)\setminus\{0.5\} (0,1)\text{␣or␣}(1,2)",
    r"\{1,2\}": r"\{1,2,1\} \{1,2\}\cup\{3\} \{1,2\}^c 1,2,3 \{1,2,\ldots\} \{1,\ldots,2\}",
    r"2\pi": r"2\pi␣k 2\pi\text{␣or␣}\pi 360^\circ 6.283185307179586 2\varpi 2\Pi",
    r"\text{yes}": r"""
        \text{yes␣or␣no} \text{no} \text{not␣yes} \text{yes,␣no} \text{yes␣no} \neg\text{yes}
        \text{yes}\text{no}
    """,
    r"\lfloor n/2\rfloor": r"\lfloor␣n/3\rfloor \lceil␣n/2\rceil 0 n/2 \lfloor␣(n+1)/2\rfloor",
}
"""Gold -> wrong answers with white space between them; `␣` is a space within an answer."""

IDENTITIES = [
    ("(x+2)(x+3)", "x^2+5x+6"),
    (r"\sin 2x", r"2\sin x\cos x"),
    (r"\ln x^3", r"3\ln x"),
    (r"\frac{1}{x-1}-\frac{1}{x+1}", r"\frac{2}{x^2-1}"),
    (r"\sqrt{x^2}", "|x|"),
    (r"\lfloor x\rfloor+1", r"\lfloor x+1\rfloor"),
    (r"\frac{\sqrt3}{3}", r"\frac{1}{\sqrt3}"),
    (r"\tan x", r"\frac{\sin x}{\cos x}"),
    (r"\frac{n(n+1)}{2}", r"\binom{n+1}{2}"),
    (r"e^{x+y}", "e^xe^y"),
    (r"\sqrt[3]{16}", r"2\sqrt[3]{2}"),
    (r"\frac{x^{20}-1}{x-1}", "+".join(f"x^{{{n}}}" for n in range(20))),
    ("(a+b+c)^2", "a^2+b^2+c^2+2ab+2bc+2ca"),
]


def attacks():
    for gold, answers in WRONG.items():
        for answer in answers.split():
            yield gold, answer.replace("_", " ") if not answer.startswith(("7_{", "7_2", "1₂", r"1\,_")) else answer


@pytest.fixture(scope="module")
def pool():
    with WorkerPool(MATH_HANDLER, workers=2) as pool:
        yield pool


def test_no_wrong_answer_is_paid(pool):
    cases = list(attacks())
    assert len(cases) > 200
    found = verify_math([MathItem(gold, f"\\boxed{{{answer}}}") for gold, answer in cases], pool)
    assert [(case, v) for case, v in zip(cases, found, strict=True) if v.score != 0.0] == []


AROUND = r"""
    {}e3 {}␣e3 {}.5 {}0 {},000 {}␣million ${}$␣million ${}$␣thousand {}␣dozen {}␣percent ${}$␣percent {}^2 {}\over␣2
    {}\choose␣2 ${}$0 ${}$.5 1{} 1${}$ 0.{} $0.{}$ 1.{} 2^{{{}}} $2^{{{}}}$ -{} $-${} \(-\){} minus␣{} minus␣${}$
    negative␣{} half␣of␣{} twice␣{} twice␣${}$ \log␣{} \sin{} \sqrt{} x␣>␣{} n\geq␣{} x≠{} !{}
    Wrong:␣{} One␣wrong␣answer␣is␣{} 8␣is␣wrong,␣so␣is␣{} The␣answer␣is␣anything␣but␣{}
    {}␣Actually␣no:␣8. {}␣Correction:␣8 {}.␣I␣changed␣my␣mind:␣8 {}␣Hmm,␣rather␣8. {}␣would␣be␣a␣guess
    {}␣is␣one␣candidate,␣8␣another {}␣if␣n␣is␣odd,␣8␣otherwise
"""
"""Texts around a box that holds the right value, which make something else of it."""

KEPT = r"""
    -␣{} >␣{} |␣{}␣| That␣was␣wrong:␣{} {}! 1.␣{} Step␣2:␣{} $x␣\to␣{}$ x␣=>␣{} The␣sum␣is␣negative.␣{} <b>{}</b>
    so␣n␣=␣{} {}␣apples {}␣km. I␣was␣wrong.␣The␣answer␣is␣{} ${}$,␣as␣claimed. Answer.{} {}.
"""
"""Texts around a box that leave its value as it is."""


def test_text_around_a_box_that_changes_it_is_part_of_the_answer(pool):
    texts = [text.replace("␣", " ").format(r"\boxed{7}") for text in AROUND.split()]
    found = verify_math([MathItem("7", text) for text in texts], pool)
    assert [(text, v) for text, v in zip(texts, found, strict=True) if v.score != 0.0] == []


def test_other_text_around_a_box_does_not_change_it(pool):
    texts = [text.replace("␣", " ").format(r"\boxed{7}") for text in KEPT.split()]
    found = verify_math([MathItem("7", text) for text in texts], pool)
    assert [(text, v) for text, v in zip(texts, found, strict=True) if v.score != 1.0] == []


def test_a_unit_beside_the_box_counts_as_one_within_it(pool):
    items = [
        MathItem("7", r"\boxed{7} percent", "What percent of the marbles are red?"),
        MathItem(r"7\%", r"\boxed{7} percent"),
        MathItem(r"7\text{ million}", r"\boxed{7} million"),
        MathItem("-7", r"minus \boxed{7}"),
        MathItem("17", r"1\boxed{7}"),
    ]
    assert [verdict.score for verdict in verify_math(items, pool)] == [1.0] * 5


def compare(module, gold, answer):
    return module.compare({"gold": gold, "answer": answer, "tolerance": 0.0, "evaluated": True, "percent": False})


def test_points_differ_from_process_to_process_and_identities_hold_at_all_of_them():
    from trl_rlsp.verification.math import _sympy_worker as sympy_worker

    seen = set()
    for _ in range(4):
        module = importlib.reload(sympy_worker)
        seen.add(tuple(module._POSITIVE[0][:3]))
        for gold, answer in IDENTITIES:
            assert compare(module, gold, answer) == "match", (gold, answer)
        assert compare(module, "x^2+5x+6", f"x^2+5x+6+{POLYNOMIAL}") == "mismatch"
    assert len(seen) == 4


def test_the_worker_module_does_not_silence_who_imports_it():
    from trl_rlsp.verification.math import _sympy_worker as sympy_worker

    before = logging.root.manager.disable
    importlib.reload(sympy_worker)
    assert logging.root.manager.disable == before


def test_a_failure_on_our_side_is_raised_not_scored(monkeypatch):
    from trl_rlsp.verification.math import _sympy_worker as sympy_worker

    def broken(*_):
        raise ValueError("a bug of sympy's")

    monkeypatch.setattr(sympy_worker, "_same_value", broken)
    with pytest.raises(ValueError, match="a bug"):
        compare(sympy_worker, r"\sqrt{2}", r"\frac{2}{\sqrt{2}}")
