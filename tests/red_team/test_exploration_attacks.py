"""Exploration without exploring: what counted loops, identities and split words earn; how long any text can take."""

from __future__ import annotations

import time

import pytest

from trl_rlsp import (
    BehaviourExploration,
    CalculationExploration,
    DiversityExploration,
    LengthExploration,
    NoveltyExploration,
    RLSPRewards,
)
from trl_rlsp.text import calculations, novel_words

PROMPT = "Find the area of the triangle with base 10 and height 5."
HONEST = "The area is half of the base times the height. So it is 10 * 5 / 2 = 25."
NUMBERS = "22 7 3 4 : 24"


@pytest.mark.parametrize(
    ("padding", "most"),
    [
        ("".join(f"Look at it {i} times. " for i in range(100)), 1),
        ("".join(f" Step {i} is done {i}." for i in range(30)), 1),
        (" ".join(f"x_{i}" for i in range(100)), 0),
        ("".join(f"p{i}q, " for i in range(150)), 0),
        (" ".join(f"base{i} height{i} area{i}" for i in range(40)), 0),
        (" ".join("thebaseandtheheightofthetriangle"), 0),
        (" t.h.e b.a.s.e t.i.m.e.s h.e.i.g.h.t", 0),
        (" ".join("\\text{" + word + "}" for word in HONEST.split()), 1),
        # open: new words to a counter, whatever they are; bounded by their number
        ("the-ba-se of th-e tri-an-gle is te-n an-d he-ig-ht fi-ve so th-e ar-ea", 38),
        ("'the' \"base\" (times) [the] {height} <is> |area| /half/ *of* ~so~ ^we^ get", 36),
        (" ".join(word[::-1] for word in HONEST.split()), 22),
    ],
)
def test_padding_beside_honest_reasoning(padding, most):
    """The last two words may belong to an n-gram that the padding breaks."""
    honest = novel_words(HONEST, ngram=6, before=PROMPT)
    assert novel_words(f"{HONEST} {padding}", ngram=6, before=PROMPT) <= honest + most


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("3+0=3 | 3*1=3 | 3-0=3 | 3/1=3 | 3^1=3 | 3*0=0 | 3-3=0 | 3/3=1 | 3^0=1 | 4+0=4 | 4*1=4 | 4/4=1", set()),
        ("3+4=7 | 3+4=7.0 | 3.0+4=7 | 03+4=7 | (3)+(4)=7 | 4+3=7 | 3+4+0=7 | 3*1+4=7 | 3^1+4=7", {"3+4=7"}),
        ("22/7 = 3 | 22/7 = 3.1 | 22/7 = 3.14 | 22/7 = 3.143 | 22/7 = 3.1429", {"22/7=22/7"}),
    ],
)
def test_one_calculation_written_in_many_ways(text, found):
    assert calculations(text, given=NUMBERS) == found


WRONG_17 = ["17", "17.0", "017", "$17$", "x = 17", "\\frac{34}{2}", "17\\text{ cm}", "10 + 7"]
OPEN_17 = ["17", "\\sqrt{289}", "seventeen", "XVII", "17^1 \\cdot 1", "0x11", "17, 17", "10001_2"]
RANDOM = ["864", "394776", "-911", "430525", "41905", "9.3", "265434", "\\frac{7}{8}"]
OUTSIDE = ["10^9", "-5", "0.001", "\\pi", "\\infty", "no solution", "2^{64}", "x"]
ANSWERS = {  # eight answers to a problem whose answer is 72: mean novelty by batch, and over the run so far
    "one wrong answer": (["17"] * 8, 0, 0.354),
    "it in eight forms": (WRONG_17, 0, 0.354),
    "open: it in forms that differ by value or in words": (OPEN_17, 0.964, 0.927),
    "open: random numbers": (RANDOM, 1, 1),
    "open: answers that the problem excludes": (OUTSIDE, 1, 1),
    "answers without reasoning": ([f"bare {number}" for number in RANDOM], 0, 0),
    "several answers": ([f"{number} or" for number in RANDOM], 0, 0),
}


@pytest.mark.parametrize("form", ["batch", "historical"])
@pytest.mark.parametrize(("answers", "batch", "historical"), ANSWERS.values(), ids=ANSWERS)
def test_new_answers(answers, batch, historical, form):
    """What docs/attacks.md says; a wrong answer, however new, earns less than a right one, if no other is right."""
    texts = [f"It may be \\boxed{{{answer}}}" for answer in answers]
    if answers[0].startswith("bare"):
        texts = [f"\\boxed{{{answer.removeprefix('bare ')}}}" for answer in answers]
    if answers[0].endswith("or"):
        texts = [f"It may be \\boxed{{{answer.removesuffix(' or')}}} or \\boxed{{1}}" for answer in answers]
    reward = NoveltyExploration(form)
    found = reward(prompts=[NUMBERS] * 8, completions=texts)
    assert sum(found) / 8 == pytest.approx({"batch": batch, "historical": historical}[form], abs=1e-3)
    texts[-1] = "\\boxed{72}"
    suite = RLSPRewards(ByBox(), [reward], alpha=0.8, gate="adaptive")
    *wrong, right = suite(prompts=[NUMBERS] * 8, completions=texts)
    assert max(wrong) <= 0.25 * 7 / 8 < 1 <= right


class ByBox:
    __name__ = "outcome_verifier"

    def __call__(self, *, completions, **_):
        return [float("{72}" in text) for text in completions]


TEXTS = {
    **{
        repr(unit): (unit * 400_000)[:400_000]
        for unit in ("…", "中", "−.", "a.b,", "!\n", "й ", "x_1 ", "1+", "(", "=1+1")
    },
    "equations": " | ".join(f"{n} + {n + 1} = {2 * n + 1}" for n in range(20_000))[:400_000],
    "sums": " | ".join(f"( {n} + {n + 1} ) * 2 - {n % 7} = {4 * n + 2 - n % 7}" for n in range(20_000))[:400_000],
    "numbered": " ".join(f"Wait, let me check {n} again with a{n} b{n} c{n} d{n}." for n in range(20_000))[:400_000],
    "search": ("6 + 3 = 9 ? 18 no | " * 20_000)[:400_000],
    "cues": ("Wait, let me check that again. " * 15_000)[:400_000],
}


@pytest.mark.slow
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize(
    "reward",
    [
        LengthExploration(),
        CalculationExploration(),
        DiversityExploration(),
        BehaviourExploration(),
        NoveltyExploration(),
    ],
    ids=str,
)
def test_no_text_holds_up_the_trainer(reward, text):
    """Measured on one core: under 0.5 s each; the rest is for a busy machine."""
    start = time.process_time()
    reward(prompts=[PROMPT], completions=[f"{text}\n\\boxed{{25}}"])
    assert time.process_time() - start < 5
