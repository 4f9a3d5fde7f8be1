"""Verdicts on mathematical answers: normalized string, exact rational number, then symbolic in a worker process.

Nothing symbolic happens in this process. What each rule decides is listed, with examples, in `docs/verifier.md`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trl_rlsp.errors import ConfigError
from trl_rlsp.text import Completion, Reading, normalize, read, too_complex
from trl_rlsp.verification.math._equivalence import Leaves, Undecided, same_answer
from trl_rlsp.verification.math._gold import gold_text, gold_tolerance, restates, unboxed
from trl_rlsp.verification.math._structure import shape_of
from trl_rlsp.verification.verdict import MAX_SHOWN, Reason, Verdict
from trl_rlsp.verification.workers.pool import Reply, WorkerPool

_PERCENT_ASKED = re.compile(
    r"(?:per ?cent|%)[^.?!]*\?|\b(?:what|how|find|express|give|compute|determine|answer|write)\b[^.?!]*(?:per ?cent|%)",
    re.IGNORECASE,
)
_QUESTION = 2000  # characters at the end of a prompt in which it asks for percent
HANDLER = "trl_rlsp.verification.math._sympy_worker:compare"

MAX_RIVALS = 64
"""More answers than this side by side are not compared one by one."""

MATCH = Verdict(1.0, "match")
MISMATCH = Verdict(0.0, "mismatch")
NO_ANSWER = Verdict(0.0, "no_answer")
SEVERAL_ANSWERS = Verdict(0.0, "several_answers")
TIMEOUT = Verdict(0.0, "timeout")
WORKER_CRASH = Verdict(0.0, "worker_crash")
GOLD_UNPARSEABLE = Verdict(None, "gold_unparseable")
SCORER_ERROR = Verdict(None, "scorer_error")


@dataclass(frozen=True)
class MathRules:
    """Where reasonable people differ.

    Attributes:
        float_tolerance: relative tolerance between numbers; 0 compares exactly, so that 0.33 is not 1/3 and 3.14159
            is not pi. A gold answer given as a Python float always has at least 1e-9.
        evaluated: an answer must not contain an operator that gold does not have (`\\sum`, `\\int`, `\\gcd`,
            `\\binom`, `!`, ...), and where gold is a rational number it must be a number or plain arithmetic.
        refuse_restated: an answer that only restates an expression of the prompt counts as wrong, unless it is
            the gold string.
    """

    float_tolerance: float = 0.0
    evaluated: bool = True
    refuse_restated: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.float_tolerance < 1:
            raise ConfigError(f"float_tolerance is relative, 0 <= tolerance < 1; got {self.float_tolerance}")


@dataclass(frozen=True)
class MathItem:
    """One answer to check.

    Attributes:
        gold: the row's answer, in any form.
        completion: what the model wrote, or a reading of it.
        prompt: the user's text, `""` if unknown.
    """

    gold: object
    completion: Completion | Reading | None
    prompt: str = ""


@dataclass(frozen=True)
class _Pair:
    """What the verdict depends on: equal pairs are checked once."""

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
    """Check final answers against gold answers.

    Args:
        items: what to check.
        pool: runs `HANDLER`; used only for pairs that text and rational numbers do not settle.
        rules: documented choices.
        end_of_thinking: where the reasoning ends, see `trl_rlsp.text.read`.
        thinking_required: likewise.
        limit: wall-clock seconds for one symbolic comparison.
        deadline: wall-clock seconds for all of them together.

    Returns:
        One verdict per item; `scorer_error` (score `None`) for items whose turn never came.
    """
    rules = rules or MathRules()
    found = [_pairs_or_verdict(item, rules, end_of_thinking, thinking_required) for item in items]
    pairs = list(dict.fromkeys(pair for entry in found if not isinstance(entry, Verdict) for pair in entry))
    decided: dict[_Pair, Verdict] = {}
    for pair in pairs:
        verdict = _quick_verdict(pair, rules)
        if verdict is not None:
            decided[pair] = verdict
    open_pairs = [pair for pair in pairs if pair not in decided]
    requests = [_request(pair, rules) for pair in open_pairs]
    replies = pool.run(requests, limit=limit, deadline=deadline)
    decided |= {pair: _from_reply(pair, reply, rules) for pair, reply in zip(open_pairs, replies, strict=True)}
    return [entry if isinstance(entry, Verdict) else _joint(entry, decided) for entry in found]


def _joint(pairs: Sequence[_Pair], decided: Mapping[_Pair, Verdict]) -> Verdict:
    """The verdict together with what was compared; answers side by side are one answer if each of them is right."""
    verdicts = [decided[pair] for pair in pairs]
    answer = _shortened(", ".join(pair.answer for pair in pairs))
    if len(verdicts) == 1 or all(verdict.score == 1.0 for verdict in verdicts):
        score, reason = verdicts[0].score, verdicts[0].reason
    else:
        unknown = next((verdict for verdict in verdicts if verdict.score is None), SEVERAL_ANSWERS)
        score, reason = unknown.score, unknown.reason
    return Verdict(score, reason, _shortened(pairs[0].gold), answer)


def _shortened(text: str) -> str:
    return normalize(text)[:MAX_SHOWN]


def _pairs_or_verdict(
    item: MathItem, rules: MathRules, end_of_thinking: str | None, thinking_required: bool
) -> Sequence[_Pair] | Verdict:
    """What must match: the answer, or each of the rivals, which may be equal by value."""
    gold = gold_text(item.gold)
    if gold is None:
        return GOLD_UNPARSEABLE
    reading = item.completion
    if not isinstance(reading, Reading):
        reading = read(reading, end_of_thinking=end_of_thinking, thinking_required=thinking_required)
    answers = reading.rivals if reading.answer is None else (reading.answer,)
    if not 0 < len(answers) <= MAX_RIVALS:
        reason: Reason = "several_answers" if reading.reason == "several_answers" else "no_answer"
        return Verdict(0.0, reason, _shortened(gold))
    if len(answers) > 1 and is_list(gold):
        answers = (", ".join(answers),)
    prompt = item.prompt if rules.refuse_restated else ""
    tolerance = max(rules.float_tolerance, gold_tolerance(item.gold))
    percent = _PERCENT_ASKED.search(item.prompt[-_QUESTION:]) is not None
    return [_Pair(gold, unboxed(answer), prompt, percent, tolerance) for answer in answers]


def is_list(gold: str) -> bool:
    """Whether a gold answer is a list or a set, so that it may be given in several boxes.

    >>> is_list("1, 2"), is_list("(1, 2)"), is_list("7")
    (True, False, False)
    """
    return not too_complex(gold) and shape_of(gold).kind in ("list", "set")


def _quick_verdict(pair: _Pair, rules: MathRules) -> Verdict | None:
    """The verdict, if text and rational numbers settle it."""
    if pair.gold == pair.answer or normalize(pair.gold) == normalize(pair.answer):
        return MATCH
    if too_complex(pair.answer) or too_complex(pair.gold):
        return MISMATCH
    leaves = Leaves(pair.tolerance)
    try:
        same = same_answer(pair.gold, pair.answer, leaves, evaluated=rules.evaluated, percent=pair.percent)
    except Undecided:
        return None
    return _unless_restated(pair) if same else MISMATCH


def _unless_restated(pair: _Pair) -> Verdict:
    if not pair.prompt or not restates(pair.prompt, pair.answer):
        return MATCH
    return MISMATCH


def _request(pair: _Pair, rules: MathRules) -> dict[str, object]:
    options = {"tolerance": pair.tolerance, "evaluated": rules.evaluated, "percent": pair.percent}
    return {"gold": pair.gold, "answer": pair.answer, **options}


def _from_reply(pair: _Pair, reply: Reply, rules: MathRules) -> Verdict:
    if reply.outcome == "value":
        if reply.value == "match":
            return _unless_restated(pair)
        return GOLD_UNPARSEABLE if reply.value == "gold_unparseable" else MISMATCH
    if reply.outcome == "timeout":
        return TIMEOUT
    if reply.outcome == "crash":
        return WORKER_CRASH
    return SCORER_ERROR  # a failure of this side, or no turn: never a number
