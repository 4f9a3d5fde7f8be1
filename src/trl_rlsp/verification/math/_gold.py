r"""What is compared: the gold answer of a row, however the data set gives it, and the completion's answer, which must
say more than its prompt.

`Compute $99^2+99+1$.` answered by `\boxed{99^2+99+1}` is equal to the gold 9901, and is no answer. An answer
restates the prompt if it consists of the same numbers, letters and operators as an expression there, in whatever
order and beside parts that change nothing (`+0`, `\cdot 1`). A number written out does only where the prompt asks
for another form of it.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from functools import lru_cache
from numbers import Integral, Real

from trl_rlsp.text import balanced, find_boxes, normalize, rational, read, too_complex
from trl_rlsp.verification.math._structure import shape_of

FLOAT_TOLERANCE = 1e-9  # relative, where gold itself is a float: its last digits are not the data set's
_ENDS_IN_BOX = re.compile(
    r"(?s)(?:.*(?:=|:|\\approx|\\in))?[\s$]*(?:\\[(\[])?\s*\\f?boxed\s*\{(.*)\}\s*\.?\s*(?:\\[)\]])?[\s$.]*"
)
_LONG = 300  # characters; a longer gold is prose with an answer somewhere in it
MAX_PROMPT = 20_000
_MATH = re.compile(r"(?s)\$\$(.+?)\$\$|\$(.+?)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]|((?:\d|\()[\d\s+*/^().×·⋅÷−-]*[\d)])")
_OPERATOR = re.compile(r"[+*/^×·⋅÷−-]")
_RELATIONS = re.compile(r"=|<|>|\\(?:le|ge|ne|approx|equiv)(?![a-z])|,")
_PART = re.compile(r"\\[A-Za-z]+|[A-Za-z]|\d+(?:\.\d+)?|[-/^!%]")
_CONVERSION = re.compile(r"(?i)\b(?:decimal|fraction|mixed number)")
_NEUTRAL = {"0", "1", "\\cdot"}
_LITERAL = re.compile(r"-?(?:\d[\d,]*(?:\.\d+)?%?|\d*\\frac\{\d+\}\{\d+\}|\d+/\d+)")


def gold_text(gold: object) -> str | None:
    """The gold answer as LaTeX text, `None` if there is nothing to compare with.

    >>> gold_text("$\\\\boxed{7}$"), gold_text(4.0), gold_text("#### 1,200"), gold_text(float("nan"))
    ('7', '4', '1,200', None)
    """
    if isinstance(gold, str):
        return _from_text(gold)
    if isinstance(gold, list | tuple):
        parts = [gold_text(part) or "" for part in gold]
        return ", ".join(parts) if all(parts) else None
    if isinstance(gold, bool) or not isinstance(gold, Real):
        return None
    if isinstance(gold, Integral):
        return str(int(gold))
    value = float(gold)
    if not math.isfinite(value):
        return None
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else format(Decimal(repr(value)), "f")


def gold_tolerance(gold: object) -> float:
    """`FLOAT_TOLERANCE` for a float, 0 for everything else."""
    return FLOAT_TOLERANCE if isinstance(gold, Real) and not isinstance(gold, Integral) else 0.0


@lru_cache(maxsize=8192)
def _from_text(gold: str) -> str | None:
    boxes, _ = find_boxes(gold)
    if boxes:
        text = ", ".join(dict.fromkeys(box.answer for box in boxes))
    else:
        text = (read(gold, end_of_thinking=None).answer if len(gold) > _LONG or "####" in gold else None) or gold
    text = text.strip()
    return text if text and normalize(text) and balanced(text) else None


def unboxed(answer: str) -> str:
    """An answer that ends in a box of its own says what that box says; one with words beside it does not."""
    inner = _ENDS_IN_BOX.fullmatch(answer) if "boxed" in answer and not too_complex(answer) else None
    return inner[1].strip() if inner and balanced(inner[1]) else answer


def restates(prompt: str, answer: str) -> bool:
    """Whether the answer, as written without box, is an expression of the prompt.

    >>> restates("Compute $2^3 + 1$.", "1 + 2^{3}"), restates("Compute $2^3 + 1$.", "9")
    (True, False)
    """
    text = shape_of(answer).text
    value = rational(text) if _LITERAL.fullmatch(text) else None
    lowest = value is not None and (not re.search("/|frac", text) or str(value.denominator) in re.findall(r"\d+", text))
    if lowest and not _CONVERSION.search(prompt):  # a number written out
        return False
    return _parts(text) in _prompt_expressions(prompt[:MAX_PROMPT])


@lru_cache(maxsize=1024)
def _prompt_expressions(prompt: str) -> frozenset[tuple[str, ...]]:
    found = [(match[match.lastindex or 0], match.lastindex == 5) for match in _MATH.finditer(prompt)]
    segments = [text for text, plain in found if not plain or _OPERATOR.search(text)]  # "8 12 2" lists numbers
    sides = [side for segment in segments for side in (segment, *_RELATIONS.split(normalize(segment)))]
    return frozenset(map(_parts, sides)) - {()}


def _parts(text: str) -> tuple[str, ...]:
    """What an expression consists of, in alphabetical order, without 0, 1 and signs of products and sums."""
    return tuple(sorted(part for part in _PART.findall(normalize(text)) if part not in _NEUTRAL))
