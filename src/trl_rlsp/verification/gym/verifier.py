"""Verdicts on reasoning-gym tasks, by each task's own scorer, in confined worker processes.

Some scorers evaluate the model's text as Python (`eval`, sympy's `parse_expr`). So they never run in this process,
and text that could do more than state an answer (call anything but a mathematical function, reach into an attribute) is
refused before such a scorer sees it: it could otherwise rewrite the scorer and pay itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from trl_rlsp.text.completion import Completion, read
from trl_rlsp.verification.math.verifier import (
    MATCH,
    MISMATCH,
    NO_ANSWER,
    SCORER_ERROR,
    SEVERAL_ANSWERS,
    TIMEOUT,
    WORKER_CRASH,
)
from trl_rlsp.verification.verdict import Verdict
from trl_rlsp.verification.workers.pool import Reply, WorkerPool

HANDLER = "trl_rlsp.verification.gym.worker:score"
MAX_ANSWER = 20_000

_EVALUATING = (
    "string_insertion spiral_matrix number_sorting binary_matrix n_queens puzzle24 countdown polynomial_multiplication "
    "simple_integration intermediate_integration"
)
EVALUATING_TASKS = frozenset(_EVALUATING.split())
"""Tasks whose scorer evaluates the answer (read in reasoning-gym 0.1.25)."""

_WORD = re.compile(r"[A-Za-z_]\w*")
_FUNCTION_NAMES = "sin cos tan cot sec csc asin acos atan sinh cosh tanh exp log ln sqrt abs Abs"
_FUNCTIONS = frozenset(_FUNCTION_NAMES.split())
_CALL = re.compile(r"([A-Za-z_]\w*|[)\]}\"'])\s*\(")
_ATTRIBUTE = re.compile(r"\.\s*[A-Za-z_]|__|[\\@;`]|:=|\b(?:lambda|import|yield|await|for)\b")
_BIG_POWER = re.compile(r"\*\*\s*\(?\s*-?\d{4,}|\*\*[^*]*\*\*[^*]*\*\*")
_LATEX_TEXT = re.compile(r"\\text\s*\{([^{}]*)\}")
_LATEX_FRAC = re.compile(r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}")
_LATEX_OF = {  # plain text and the signs it stands for
    "*": "\\times \\cdot × ·",
    "/": "\\div ÷",
    "-": "−",
    " ": "\\, \\; \\:",
    "": "\\left \\right $",
    "{": "\\{",
    "}": "\\}",
    "_": "\\_",
}
_LATEX_SIGNS = [(latex, plain) for plain, signs in _LATEX_OF.items() for latex in signs.split()]


@dataclass(frozen=True)
class GymItem:
    """One answer to score.

    Attributes:
        task: the row's `task` column, a JSON string `{"name": ..., "entry": {...}}`.
        completion: what the model wrote.
    """

    task: str
    completion: Completion | None


def verify_gym(
    items: Sequence[GymItem],
    pool: WorkerPool,
    *,
    end_of_thinking: str | None = "</think>",
    thinking_required: bool = False,
    limit: float = 2.0,
    deadline: float | None = None,
) -> list[Verdict]:
    """Score answers with the tasks' own scorers: 1.0 for a full score, else 0.0.

    Args:
        items: what to score.
        pool: runs `HANDLER`.
        end_of_thinking, thinking_required: where the reasoning ends, see `trl_rlsp.text.completion.read`.
        limit: wall-clock seconds for one answer.
        deadline: wall-clock seconds for all of them together.

    Returns:
        One verdict per item; `scorer_error` (score `None`) where the scorer cannot do its work for reasons other
        than the completion: unknown task, broken entry, deadline passed before the item's turn.
    """
    verdicts: list[Verdict | None] = [None] * len(items)
    pairs: dict[tuple[str, str], list[int]] = {}
    for i, item in enumerate(items):
        parsed = read(item.completion, "gym", end_of_thinking=end_of_thinking, thinking_required=thinking_required)
        if parsed.answer is None:
            verdicts[i] = SEVERAL_ANSWERS if parsed.reason == "several_answers" else NO_ANSWER
        elif refused(task_name(item.task), parsed.answer):
            verdicts[i] = MISMATCH
        else:
            pairs.setdefault((item.task, parsed.answer), []).append(i)
    for name in sorted({task_name(task) for task, _ in pairs}):
        pool.prepare(name)
    replies = pool.run([_request(*pair) for pair in pairs], limit=limit, deadline=deadline)
    for indices, reply in zip(pairs.values(), replies, strict=True):
        for i in indices:
            verdicts[i] = _from_reply(reply)
    return [verdict if verdict is not None else SCORER_ERROR for verdict in verdicts]


@lru_cache(maxsize=4096)
def task_name(task: str) -> str:
    """The name in a `task` string, `""` if there is none."""
    try:
        content: Any = json.loads(task)
    except (ValueError, RecursionError):
        return ""
    name = content.get("name") if isinstance(content, dict) else None
    return name if isinstance(name, str) else ""


def refused(task: str, answer: str) -> bool:
    """Whether an answer is too long, or holds code and is meant for a scorer that would run it.

    >>> refused("countdown", "(8 - 1) * 9"), refused("countdown", "exit()"), refused("family_relationships", "exit()")
    (False, True, False)
    """
    if len(answer) > MAX_ANSWER:
        return True
    if task not in EVALUATING_TASKS:
        return False
    text = plain_answer(answer)
    if len(text) > 2000 or _ATTRIBUTE.search(text) or _BIG_POWER.search(text.replace("^", "**")):
        return True
    names_only = all(len(word) == 1 and word.islower() for word in _WORD.findall(text) if word not in _FUNCTIONS)
    return any(called not in _FUNCTIONS and not (called == ")" and names_only) for called in _CALL.findall(text))


def plain_answer(answer: str) -> str:
    """An answer without the LaTeX that a scorer does not read.

    >>> plain_answer(r"(8 - 1) \\times \\frac{9}{3}")
    '(8 - 1) * (9)/(3)'
    """
    if answer.isascii() and "\\" not in answer and "$" not in answer:
        return answer
    answer = _LATEX_FRAC.sub(r"(\1)/(\2)", _LATEX_TEXT.sub(r"\1", answer))
    for latex, plain in _LATEX_SIGNS:
        answer = answer.replace(latex, plain)
    return answer.strip()


def _request(task: str, answer: str) -> dict[str, Any]:
    return {"task": task, "answers": list(dict.fromkeys([answer, plain_answer(answer)]))}


def _from_reply(reply: Reply) -> Verdict:
    if reply.outcome == "value":
        return {"full": MATCH, "less": MISMATCH}.get(str(reply.value), SCORER_ERROR)
    if reply.outcome == "timeout":
        return TIMEOUT
    return WORKER_CRASH if reply.outcome == "crash" else SCORER_ERROR
