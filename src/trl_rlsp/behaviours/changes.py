r"""Answers that change inside a completion: the most telling sign that search does something.

A model that says `wait` and keeps its answer has not searched. What counts here is whether an answer stated later is
better than the one before it: wrong to right, against right to wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from trl_rlsp.countdown import read_search
from trl_rlsp.text import MAX_CHARS, find_boxes

MAX_CANDIDATES = 64
"""Candidates of one completion that are looked at: the last ones."""

_STATED = re.compile(
    r"\b(?:answer|result|total)(?: (?:is|would be|should be|must be|becomes|comes to)|:)(?: then| now| simply)?[ \n]*"
    r"(?=(?P<answer>[^\n]{1,120}))",
    re.IGNORECASE,
)
_END = re.compile(r"[.;!?](?=\s|$)|,(?=\s)|\s(?:because|since|which|so|and|but|not|or)\b")
_WRAPPING = re.compile(r"^[\s$*`:]+|[\s$*`.,;:!?]+$|^\\[(\[]\s*|\s*\\[)\]]$")


@dataclass(frozen=True)
class AnswerChanges:
    """Answers stated in a completion, in order, and how they change.

    Attributes:
        candidates: the answers; one stated again right after itself stands once.
        scores: 1.0 right, 0.0 wrong, `None` not scorable, for each candidate.
        wrong_to_right: a wrong answer followed by a right one.
        right_to_wrong: a right answer followed by a wrong one.
        wrong_to_wrong: a wrong answer followed by another wrong one.
        not_scorable: pairs of which one is not scorable.
    """

    candidates: tuple[str, ...]
    scores: tuple[float | None, ...]
    wrong_to_right: int
    right_to_wrong: int
    wrong_to_wrong: int
    not_scorable: int


def candidate_answers(text: str) -> list[str]:
    r"""Answers that a completion states, in order: boxes, `the answer is ...`, hits claimed in a written-out search.

    Example:
        >>> candidate_answers("So the answer is 12. Wait, I forgot one: the total is 13. \\boxed{13}")
        ['12', '13']
    """
    text = text[:MAX_CHARS]
    boxes, _ = find_boxes(text)
    places = [(box.start, box.answer) for box in boxes]
    spans = [(box.start, box.end) for box in boxes]
    for match in _STATED.finditer(text):
        answer = _trimmed(match["answer"])
        if answer and any(c.isdigit() or c == "\\" for c in answer) and "boxed" not in answer:
            places.append((match.start("answer"), answer))
    places += [(step.start, _bare(step.expression)) for step in read_search(text).steps if step.claim]
    ordered = [answer for at, answer in sorted(places) if not any(a < at < b for a, b in spans)]
    distinct = [answer for i, answer in enumerate(ordered) if i == 0 or _plain(answer) != _plain(ordered[i - 1])]
    return distinct[-MAX_CANDIDATES:]


def _trimmed(answer: str) -> str:
    end = _END.search(answer)
    return _WRAPPING.sub("", answer[: end.start()] if end else answer)


def _bare(expression: str) -> str:
    """An expression of a search without the brackets around the whole of it."""
    inner = expression[2:-2] if expression.startswith("( ") and expression.endswith(" )") else expression
    depth = 0
    for char in inner:
        depth += (char == "(") - (char == ")")
        if depth < 0:
            return expression
    return inner


def _plain(answer: str) -> str:
    return re.sub(r"[\s$]+", "", answer)


def answer_changes(text: str, is_right: Callable[[list[str]], Sequence[float | None]]) -> AnswerChanges:
    r"""How the answers stated inside a completion change.

    Args:
        text: the completion.
        is_right: scores a list of answers: 1.0 right, less is wrong, `None` not scorable. Called once, and not at all
            with fewer than two different answers in a row.

    Example:
        >>> found = answer_changes("The answer is 12. No, wait. \\boxed{13}", lambda a: [float(x == "13") for x in a])
        >>> found.candidates, found.wrong_to_right, found.right_to_wrong
        (('12', '13'), 1, 0)
    """
    return changes_of(candidate_answers(text), is_right)


def changes_of(candidates: list[str], is_right: Callable[[list[str]], Sequence[float | None]]) -> AnswerChanges:
    """How `candidates`, as `candidate_answers` gives them, change; see `answer_changes`."""
    if len(candidates) < 2:
        return AnswerChanges(tuple(candidates), (None,) * len(candidates), 0, 0, 0, 0)
    scores = tuple(is_right(candidates))
    counts = {(False, True): 0, (True, False): 0, (False, False): 0, (True, True): 0}
    unknown = 0
    for first, second in pairwise(scores):
        if first is None or second is None:
            unknown += 1
        else:
            counts[first == 1.0, second == 1.0] += 1
    return AnswerChanges(
        tuple(candidates), scores, counts[False, True], counts[True, False], counts[False, False], unknown
    )
