"""Whether an answer only restates an expression of its prompt.

`Compute $99^2+99+1$.` answered by `\\boxed{99^2+99+1}` is equal to the gold 9901, and is no answer. An answer
restates the prompt if its normal form occurs there, also with its terms or factors in another order, or with parts
that change nothing (`+0`, `\\cdot 1`) added.
"""

from __future__ import annotations

import re
from functools import lru_cache

from trl_rlsp.verification.math.normalize import normalise
from trl_rlsp.verification.math.structure import shape_of

MAX_PROMPT = 20_000
_MATH = re.compile(r"\$\$(.+?)\$\$|\$(.+?)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL)
_NEUTRAL = re.compile(
    r"(?<![\d.])0\+|[-+]0(?![\d.])|(?<![\d.])1(?:\\cdot ?|\*)|(?:\\cdot ?|\*|/)1(?![\d.])|\^\{?1(?![\d.])\}?"
)
_RELATIONS = re.compile(r"=|<|>|\\(?:le|ge|ne|approx|equiv)(?![a-z])|,")


def restates(prompt: str, answer: str) -> bool:
    """Whether the answer is an expression of the prompt.

    Args:
        prompt: the user's text.
        answer: as written, without box.

    >>> restates("Compute $2^3 + 1$.", "1 + 2^{3}"), restates("Compute $2^3 + 1$.", "9")
    (True, False)
    """
    text = _reduced(shape_of(answer).text)
    if not text:
        return False
    whole, expressions = _prompt_expressions(prompt[:MAX_PROMPT])
    return _sorted_terms(text) in expressions or _occurs(text, whole)


def _occurs(text: str, whole: str) -> bool:
    """`text` in `whole`, not inside a longer number or word."""
    at = whole.find(text)
    while at >= 0:
        before, after = whole[at - 1 : at], whole[at + len(text) : at + len(text) + 1]
        cut_left = text[0].isalnum() and (before.isalnum() or (before in ("\\", ".") and before != ""))
        cut_right = text[-1].isalnum() and (after.isalnum() or after == "^")
        if not cut_left and not cut_right:
            return True
        at = whole.find(text, at + 1)
    return False


def _reduced(text: str) -> str:
    """The normal form without parts that change nothing, with one sign for products."""
    text = normalise(text)
    for _ in range(4):
        shorter = normalise(_NEUTRAL.sub("", text))
        if shorter == text:
            break
        text = shorter
    return _one_product_sign(text)


@lru_cache(maxsize=1024)
def _prompt_expressions(prompt: str) -> tuple[str, frozenset[str]]:
    expressions = set()
    for match in _MATH.finditer(prompt):
        segment = next(group for group in match.groups() if group is not None)
        for side in [segment, *_RELATIONS.split(normalise(segment))]:
            expressions.add(_sorted_terms(_reduced(side)))
    return _one_product_sign(normalise(prompt)), frozenset(expressions - {""})


def _one_product_sign(text: str) -> str:
    return re.sub(r"\\cdot ?|\*", "*", text)


def _sorted_terms(text: str) -> str:
    """Terms of the sum in alphabetical order, factors of each term likewise."""
    terms = _split_signed(text)
    return "".join(sorted(sign + "*".join(sorted(term.split("*"))) for sign, term in terms))


def _split_signed(text: str) -> list[tuple[str, str]]:
    terms, depth, sign, start = [], 0, "+", 0
    for i, char in enumerate(text):
        depth += (char in "({[") - (char in ")}]")
        if depth == 0 and char in "+-" and i > start:
            terms.append((sign, text[start:i]))
            sign, start = char, i + 1
        elif depth == 0 and char in "+-":
            sign, start = char, i + 1
    return [*terms, (sign, text[start:])]
