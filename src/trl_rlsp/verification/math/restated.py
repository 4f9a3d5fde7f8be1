"""Whether an answer only restates an expression of its prompt.

`Compute $99^2+99+1$.` answered by `\\boxed{99^2+99+1}` is equal to the gold 9901, and is no answer. An answer
restates the prompt if it consists of the same numbers, letters and operators as an expression there, in whatever
order and beside parts that change nothing (`+0`, `\\cdot 1`). A number written out does only where the prompt asks
for another form of it.
"""

from __future__ import annotations

import re
from functools import lru_cache

from trl_rlsp.text.latex import normalize
from trl_rlsp.text.rational import rational
from trl_rlsp.verification.math.structure import shape_of

MAX_PROMPT = 20_000
_MATH = re.compile(
    r"\$\$(.+?)\$\$|\$(.+?)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]|((?:\d|\()[\d\s+*/^().×·⋅÷−-]*[\d)])", re.DOTALL
)
_RELATIONS = re.compile(r"=|<|>|\\(?:le|ge|ne|approx|equiv)(?![a-z])|,")
_PART = re.compile(r"\\[A-Za-z]+|[A-Za-z]|\d+(?:\.\d+)?|[-/^!%]")
_CONVERSION = re.compile(r"\b(?:decimal|fraction|mixed number)", re.IGNORECASE)
_NEUTRAL = {"0", "1", "\\cdot"}
_LITERAL = re.compile(r"-?(?:\d[\d,]*(?:\.\d+)?%?|\d*\\frac\{\d+\}\{\d+\}|\d+/\d+)")


def restates(prompt: str, answer: str) -> bool:
    """Whether the answer is an expression of the prompt.

    Args:
        prompt: the user's text.
        answer: as written, without box.

    >>> restates("Compute $2^3 + 1$.", "1 + 2^{3}"), restates("Compute $2^3 + 1$.", "9")
    (True, False)
    """
    text = shape_of(answer).text
    if _is_literal(text) and not _CONVERSION.search(prompt):
        return False
    return _parts(text) in _prompt_expressions(prompt[:MAX_PROMPT])


def _is_literal(text: str) -> bool:
    """A number written out: an integer, a decimal, a fraction in lowest terms."""
    if not _LITERAL.fullmatch(text):
        return False
    value = rational(text)
    return not re.search(r"/|frac", text) or value is None or str(value.denominator) in re.findall(r"\d+", text)


@lru_cache(maxsize=1024)
def _prompt_expressions(prompt: str) -> frozenset[tuple[str, ...]]:
    expressions = set()
    for match in _MATH.finditer(prompt):
        segment = next(group for group in match.groups() if group is not None)
        expressions |= {_parts(side) for side in [segment, *_RELATIONS.split(normalize(segment))]}
    return frozenset(expressions - {()})


def _parts(text: str) -> tuple[str, ...]:
    """What an expression consists of, in alphabetical order, without 0, 1 and signs of products and sums."""
    return tuple(sorted(part for part in _PART.findall(normalize(text)) if part not in _NEUTRAL))
