r"""Verdicts on mathematical answers. `docs/verifier.md` lists the rules with examples.

`\boxed{99^2+99+1}` in reply to `Compute $99^2+99+1$.` equals the gold answer 9901 but counts as wrong, because it only
restates the prompt.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from numbers import Integral, Real
from typing import NamedTuple

from trl_rlsp.errors import ConfigError
from trl_rlsp.text import Completion, Reading, balanced, find_boxes, normalize, rational, read, too_complex
from trl_rlsp.verification.math._equivalence import Leaves, same_answer
from trl_rlsp.verification.math._structure import shape_of
from trl_rlsp.verification.verdict import MAX_SHOWN, Reason, Verdict
from trl_rlsp.verification.workers.pool import WorkerPool

MATH_HANDLER = "trl_rlsp.verification.math._sympy_worker:compare"

MAX_RIVALS = 64  # maximum number of answers side by side that are compared one by one
_PERCENT_ASKED = re.compile(
    r"(?i)(?:per ?cent|%)[^.?!]*\?"
    r"|\b(?:what|how|find|express|give|compute|determine|answer|write)\b[^.?!]*(?:per ?cent|%)"
)
_QUESTION = 2000  # characters at the end of a prompt that are searched for a question about percent
_NOT_SCORABLE = ("gold_unparseable", "scorer_error")
_FAILURES: dict[str, Reason] = {"timeout": "timeout", "crash": "worker_crash"}  # others are not the answer's fault
FLOAT_TOLERANCE = 1e-9  # relative, if gold is a float: its last digits are not from the data set
_LONG = 300  # characters; a longer gold is prose that contains an answer somewhere
MAX_PROMPT = 20_000
_MATH = re.compile(r"(?s)\$\$(.+?)\$\$|\$(.+?)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]|((?:\d|\()[\d\s+*/^().×·⋅÷−-]*[\d)])")
_OPERATOR = re.compile(r"[+*/^×·⋅÷−-]")
_RELATIONS = re.compile(r"=|<|>|\\(?:le|ge|ne|approx|equiv)(?![a-z])|,")
_PART = re.compile(r"\\[A-Za-z]+|[A-Za-z]|\d+(?:\.\d+)?|[-/^!%]")
_CONVERSION = re.compile(r"(?i)\b(?:decimal|fraction|mixed number)")
_NEUTRAL = {"0", "1", "\\cdot"}
_LITERAL = re.compile(r"-?(?:\d[\d,]*(?:\.\d+)?%?|\d*\\frac\{\d+\}\{\d+\}|\d+/\d+)")


@dataclass(frozen=True)
class MathRules:
    """Settings for rules on which reasonable people differ.

    Attributes:
        float_tolerance: relative tolerance between numbers; 0 compares exactly, so 0.33 is not 1/3 and 3.14159 is not
            pi. If gold is a Python float, the tolerance is at least 1e-9.
        evaluated: an answer must not contain an operator that gold does not have (`\\sum`, `\\int`, `\\gcd`,
            `\\binom`, `!`, ...), and if gold is a rational number, it must be a number or plain arithmetic.
        refuse_restated: an answer that only restates an expression of the prompt counts as wrong, unless it is
            identical to the gold string.
    """

    float_tolerance: float = 0.0
    evaluated: bool = True
    refuse_restated: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.float_tolerance < 1:
            raise ConfigError(f"float_tolerance is relative, 0 <= tolerance < 1; got {self.float_tolerance}")


@dataclass(frozen=True)
class MathItem:
    """One answer to check: a completion or its reading, and the row's gold answer in any form."""

    gold: object
    completion: Completion | Reading | None
    prompt: str = ""


class _Pair(NamedTuple):
    """Everything that a verdict depends on; equal pairs are checked once."""

    gold: str
    answer: str
    prompt: str
    percent: bool
    tolerance: float


def verify_math(
    items: Sequence[MathItem],
    pool: WorkerPool,
    *,
    rules: MathRules | None = None,
    end_of_thinking: str | None = "</think>",
    thinking_required: bool = False,
    limit: float = 2.0,
    deadline: float | None = None,
) -> list[Verdict]:
    """Check final answers against gold answers, one verdict per item; `scorer_error` for items not run in time.

    The pool runs `MATH_HANDLER` for pairs that text and rational numbers do not settle. `limit` is wall-clock seconds
    for one symbolic comparison, `deadline` for all of them. For the other arguments see `trl_rlsp.text.read`.
    """
    rules = rules or MathRules()
    found = [_pairs(item, rules, end_of_thinking, thinking_required) for item in items]
    distinct = dict.fromkeys(pair for pairs, _, _ in found for pair in pairs)
    decided = {pair: _quick_reason(pair, rules) for pair in distinct}
    open_pairs = [pair for pair, reason in decided.items() if reason is None]
    requests = [pair._asdict() | {"evaluated": rules.evaluated, "prompt": ""} for pair in open_pairs]
    replies = pool.run(requests, limit=limit, deadline=deadline)
    for pair, reply in zip(open_pairs, replies, strict=True):
        decided[pair] = reply.value if reply.outcome == "value" else _FAILURES.get(reply.outcome, "scorer_error")
    return [_joint(*entry, decided) for entry in found]


def _pairs(
    item: MathItem, rules: MathRules, end_of_thinking: str | None, thinking_required: bool
) -> tuple[list[_Pair], Reason, str | None]:
    """(pairs that must match: the answer, or each rival, as rivals may have equal values; reason if none; gold)."""
    if (gold := gold_text(item.gold)) is None:
        return [], "gold_unparseable", None
    reading = read(item.completion, end_of_thinking=end_of_thinking, thinking_required=thinking_required)
    answers = reading.rivals if reading.answer is None else (reading.answer,)
    if not 0 < len(answers) <= MAX_RIVALS:
        return [], "several_answers" if reading.reason == "several_answers" else "no_answer", gold
    if len(answers) > 1 and is_list(gold):
        answers = (", ".join(answers),)
    prompt = item.prompt if rules.refuse_restated else ""
    is_float = isinstance(item.gold, Real) and not isinstance(item.gold, Integral)
    tolerance = max(rules.float_tolerance, FLOAT_TOLERANCE if is_float else 0.0)
    percent = _PERCENT_ASKED.search(item.prompt[-_QUESTION:]) is not None
    return [_Pair(gold, answer, prompt, percent, tolerance) for answer in answers], "match", gold


def _joint(pairs: list[_Pair], reason: Reason, gold: str | None, decided: Mapping[_Pair, Reason | None]) -> Verdict:
    """The verdict, with the texts compared; answers side by side count as one if each of them is right."""
    reasons = [decided[pair] or "scorer_error" for pair in pairs]
    if len(pairs) == 1:
        reason = reasons[0]
    elif any(each != "match" for each in reasons):
        reason = next((each for each in reasons if each in _NOT_SCORABLE), "several_answers")
    score = None if reason in _NOT_SCORABLE else float(reason == "match")
    shown = [text and normalize(text)[:MAX_SHOWN] for text in (gold, ", ".join(pair.answer for pair in pairs))]
    return Verdict(score, reason, shown[0], shown[1] or None)


def is_list(gold: str) -> bool:
    """Whether a gold answer is a list or set, which a completion may give in several boxes."""
    return not too_complex(gold) and shape_of(gold).kind in ("list", "set")


def _quick_reason(pair: _Pair, rules: MathRules) -> Reason | None:
    """The reason of the verdict, if text and rational numbers settle it."""
    if pair.gold == pair.answer or normalize(pair.gold) == normalize(pair.answer):
        return "match"
    if too_complex(pair.answer) or too_complex(pair.gold) or (pair.prompt and restates(pair.prompt, pair.answer)):
        return "mismatch"
    leaves = Leaves(pair.tolerance)
    if same_answer(pair.gold, pair.answer, leaves, evaluated=rules.evaluated, percent=pair.percent):
        return "match"
    return None if leaves.undecided else "mismatch"


def gold_text(gold: object) -> str | None:
    """The gold answer as LaTeX text; `None` if there is nothing to compare with.

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
    return f"{Decimal(repr(float(gold) or 0.0)).normalize():f}" if math.isfinite(gold) else None


@lru_cache(maxsize=8192)
def _from_text(gold: str) -> str | None:
    boxes, _ = find_boxes(gold)
    if boxes:
        text = ", ".join(dict.fromkeys(box.answer for box in boxes))
    else:
        text = (read(gold, end_of_thinking=None).answer if len(gold) > _LONG or "####" in gold else None) or gold
    text = text.strip()
    return text if text and normalize(text) and balanced(text) else None


def restates(prompt: str, answer: str) -> bool:
    r"""Whether the answer, as written without box, is an expression of the prompt: the same numbers, letters and signs.

    Order does not matter, nor do parts without effect (`+0`, `\cdot 1`). A plain number counts as an expression only if
    the prompt asks for another form of it.

    >>> restates("Compute $2^3 + 1$.", "1 + 2^{3}"), restates("Compute $2^3 + 1$.", "9")
    (True, False)
    """
    text = shape_of(answer).text
    value = rational(text) if _LITERAL.fullmatch(text) else None
    lowest = value is not None and (not re.search("/|frac", text) or str(value.denominator) in re.findall(r"\d+", text))
    if lowest and not _CONVERSION.search(prompt):  # a plain number
        return False
    return _parts(text) in _prompt_expressions(prompt[:MAX_PROMPT])


@lru_cache(maxsize=1024)
def _prompt_expressions(prompt: str) -> frozenset[tuple[str, ...]]:
    found = [(match[match.lastindex or 0], match.lastindex == 5) for match in _MATH.finditer(prompt)]
    segments = [text for text, plain in found if not plain or _OPERATOR.search(text)]  # "8 12 2" lists numbers
    sides = [side for segment in segments for side in (segment, *_RELATIONS.split(normalize(segment)))]
    return frozenset(map(_parts, sides)) - {()}


def _parts(text: str) -> tuple[str, ...]:
    """The parts of an expression, sorted, without 0, 1 and the signs of products and sums."""
    return tuple(sorted(part for part in _PART.findall(normalize(text)) if part not in _NEUTRAL))
