"""What it earns to box more than one answer: nothing. Verdicts on hedges, dumps and self-corrections."""

import pytest

from trl_rlsp.verification import MATH_HANDLER, MathItem, WorkerPool, verify_math

SENTENCES = (
    "First one may look at it from the left",
    "Then again the picture suggests something else",
    "A third view comes from counting the corners",
)


@pytest.fixture(scope="module")
def score():
    with WorkerPool(MATH_HANDLER, workers=1) as pool:
        yield lambda gold, completion: verify_math([MathItem(gold, completion)], pool)[0].score


def box(n):
    return f"\\boxed{{{n}}}"


DUMPS = {
    "glued": "".join,
    "blanks": " ".join,
    "commas": ", ".join,
    "or": " or ".join,
    "or maybe": ", or maybe ".join,
    "either": lambda boxes: "It is either " + " or ".join(boxes) + ".",
    "sentences": ". ".join,
    "lines": "\n".join,
    "paragraphs": "\n\n".join,
    "displays": lambda boxes: "\n\n".join(f"\\[\n{one}\n\\]" for one in boxes),
    "one display": lambda boxes: "$$" + ", ".join(boxes) + "$$",
    "rows": lambda boxes: "\\begin{aligned}" + r" \\ ".join(f"x &= {one}" for one in boxes) + "\\end{aligned}",
    "bullets": lambda boxes: "\n".join(f"- {one}" for one in boxes),
    "numbers": lambda boxes: "\n".join(f"{i}. {one}" for i, one in enumerate(boxes, 1)),
    "table": lambda boxes: "\n".join(f"| case {i} | {one} |" for i, one in enumerate(boxes)),
    "headings": lambda boxes: "\n".join(f"## Case {i}\n{one}" for i, one in enumerate(boxes)),
    "conditions": lambda boxes: " or ".join(f"{one} if $n = {i}$" for i, one in enumerate(boxes)),
    "tags": lambda boxes: "".join(f"<answer>{one[7:-1]}</answer>" for one in boxes),
    "final": lambda boxes: " ".join(f"Final answer: {one[7:-1]}." for one in boxes),
    "in one box": lambda boxes: box(", ".join(one[7:-1] for one in boxes)),
    "or in one box": lambda boxes: box(r" \text{ or } ".join(one[7:-1] for one in boxes)),
    "words in one box": lambda boxes: box(
        r"\text{The answer is } " + r" \text{ or } ".join(one[7:-1] for one in boxes)
    ),
}


@pytest.mark.parametrize("dump", DUMPS.values(), ids=DUMPS)
@pytest.mark.parametrize("values", [(7, 8), (8, 7), (5, 6, 7, 8, 9)])
def test_a_list_of_candidates_pays_for_none_of_them(score, dump, values):
    for gold in values:
        assert score(str(gold), dump([box(value) for value in values])) == 0.0


@pytest.mark.parametrize("dump", [DUMPS["commas"], DUMPS["lines"], DUMPS["table"], DUMPS["tags"], DUMPS["in one box"]])
def test_the_elements_of_a_list_may_stand_side_by_side(score, dump):
    assert score("7, 8, 9", dump([box(9), box(7), box(8)])) == 1.0
    assert score("7, 8, 9", dump([box(9), box(7)])) == 0.0
    assert score("7, 8", dump([box(9), box(7), box(8)])) == 0.0


def test_candidates_along_the_way_pay_what_the_last_one_pays_alone(score):
    text = ". ".join(f"{SENTENCES[n % 3]}, and that gives {box(n)}" for n in range(30))
    assert [score(str(gold), text) for gold in (0, 7, 28, 29)] == [0.0, 0.0, 0.0, 1.0]
    assert score("29", f"{text} or {box(30)}") == 0.0
    assert score("29", f"{text}. That is wrong.") == 0.0
    assert score("29", f"{text}. The final answer is 28.") == 0.0


@pytest.mark.parametrize(
    ("gold", "completion"),
    [
        ("\\frac{\\sqrt{2}}{2}", r"$\boxed{\frac{1}{\sqrt{2}}}$, rationalized $\boxed{\frac{\sqrt{2}}{2}}$."),
        ("\\frac{9}{5}", r"\boxed{1\frac{4}{5}} or \boxed{\frac{9}{5}}"),
        ("x^2-1", r"\boxed{(x-1)(x+1)}, or $x^2 - 1$"),
        ("5", r"$\boxed{5\text{ cm}}$ or $5$"),
    ],
)
def test_rivals_that_are_equal_are_one_answer(score, gold, completion):
    assert score(gold, completion) == 1.0
    assert score("3", completion) == 0.0


@pytest.mark.parametrize(
    "completion",
    [
        r"\boxed{\text{The answer is not } 7}",
        r"\boxed{\text{Anything but } 7}",
        r"\boxed{\text{The answer is } 8 \text{ and not } 7}",
        "Final Answer: it is hard to say whether it is 7.",
        "The final answer is not 7.",
        "If 7 is the answer, we are done.",
        r"\boxed{8}. Therefore 7 is the answer.",
        r"\boxed{7}\boxed{}",
        r"\boxed{7} \text{ or } 8",
        r"$\boxed{7} \text{ or } 8$",
        r"$\boxed{7} + 1$",
        r"$\boxed{7} \cdot 2$",
        r"$\boxed{7}, 8$",
        r"$\boxed{7}; 8; 9$",
        r"$\neg\boxed{7}$",
    ],
)
def test_no_seven(score, completion):
    assert score("7", completion) == 0.0
