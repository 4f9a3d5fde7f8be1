"""Verdicts on reasoning-gym tasks, by each task's own scorer, in confined worker processes.

Ten scorers evaluate the model's text. Therefore each answer gets a process of its own, and is rejected unless its
syntax tree only states a value. Six scorers accept wrong answers (NaN, any four numbers, an absolute tolerance on small
values, sorted numbers off by up to 1); that is checked here. A scorer that accepts nonsense gives no verdict.
"""

from __future__ import annotations

import ast
import json
import logging
import math
import re
import time
import unicodedata
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any

from trl_rlsp.text import Completion, Reading, rational, read
from trl_rlsp.verification.verdict import Reason, Verdict
from trl_rlsp.verification.workers.pool import Reply, WorkerPool

GYM_HANDLER = "trl_rlsp.verification.gym._worker:score"
_MAX_PROBED = 20_000
_MAX_ANSWER = 20_000
_MAX_EVALUATED = 2_000
_MAX_EXPONENT = 999
_TOLERANCE = 0.01  # relative; the scorers' 0.0001 and 0.001 are absolute, so that 0 is accepted for small answers

_LITERAL_TASKS = frozenset(["string_insertion", "spiral_matrix", "number_sorting", "binary_matrix", "n_queens"])
_ALGEBRA_TASKS = frozenset(["polynomial_multiplication", "simple_integration", "intermediate_integration"])
EVALUATING_TASKS = _LITERAL_TASKS | _ALGEBRA_TASKS | {"puzzle24", "countdown"}
"""Tasks whose scorer evaluates the answer (source: reasoning-gym 0.1.25)."""

_LITERALS = (ast.Expression, ast.List, ast.Tuple, ast.Constant, ast.Name, ast.Load, ast.UnaryOp, ast.USub)
_PLAIN_DATA = re.compile(r"[\w\s.,\[\]'\"-]*", re.ASCII)  # no call parentheses, no operators
_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div)
_ARITHMETIC = (ast.Expression, ast.Constant, ast.BinOp, ast.UnaryOp, ast.USub, *_OPERATORS)
_FUNCTIONS = frozenset("sin cos tan cot sec csc asin acos atan sinh cosh tanh exp log ln sqrt abs Abs".split())  # noqa: SIM905
_NON_FINITE = re.compile(r"(?<![^\W\d_])s?(?:nan|inf|infinity)\d*[ij]?(?![^\W\d_])", re.IGNORECASE)
_FLOAT = re.compile(r"(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)e[+-]?\d[\d_]*", re.IGNORECASE)
_NUMBER = re.compile(r"-?\d*\.?\d+|-?\d+\.")

_LATEX_TEXT = re.compile(r"\\text\s*\{([^{}]*)\}")
_LATEX_FRAC = re.compile(r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}")
_LATEX_SIGN = re.compile(r"\\times|\\cdot|\\div|\\left|\\right|\\[,;:{}_]|[×·÷−$]")
_PLAIN_SIGNS = {r"\times": "*", r"\cdot": "*", "×": "*", "·": "*", r"\div": "/", "÷": "/", "−": "-"}
_PLAIN_SIGNS |= {r"\,": " ", r"\;": " ", r"\:": " ", r"\{": "{", r"\}": "}", r"\_": "_"}

_logger = logging.getLogger(__name__)
_probes: dict[str, str | bool] = {}  # what is wrong with a row, or whether its scorer needs tuples


def verify_gym(
    items: Sequence[tuple[str, Completion | Reading | None]],
    pool: WorkerPool,
    *,
    end_of_thinking: str | None = "</think>",
    thinking_required: bool = False,
    limit: float = 2.0,
    deadline: float | None = None,
) -> list[Verdict]:
    """Score answers with the tasks' own scorers, in a pool that runs `GYM_HANDLER`: 1.0 for a full score, else 0.0.

    An item is a row's `task` column, a JSON string `{"name": ..., "entry": {...}}`, and a completion. `limit` and
    `deadline` are wall-clock seconds for one answer and for all of them. The verdict is `scorer_error` (score `None`)
    if scoring fails for reasons other than the completion: an unknown task, a broken entry, a scorer that accepts
    nonsense, a deadline that passed before the item was run. The reason is logged once.
    """
    ends = math.inf if deadline is None else time.monotonic() + deadline
    verdicts: list[Verdict] = [Verdict(None, "scorer_error")] * len(items)
    pairs: dict[tuple[str, str], list[int]] = {}
    for i, (task, completion) in enumerate(items):
        reading = read(completion, "gym", end_of_thinking=end_of_thinking, thinking_required=thinking_required)
        if reading.answer is None:
            verdicts[i] = Verdict(0.0, "several_answers" if reading.reason == "several_answers" else "no_answer")
        else:
            pairs.setdefault((task, reading.answer), []).append(i)
    trusted = _trusted_rows(list(dict.fromkeys(task for task, _ in pairs)), pool, limit, ends)
    texts = {pair: spellings(*content(pair[0]), pair[1]) for pair in pairs if pair[0] in trusted}
    asked = [pair for pair, found in texts.items() if found]
    requests = [{"row": pair[0], "tuples": trusted[pair[0]], "answers": texts[pair]} for pair in asked]
    replies = zip(asked, _run(pool, requests, limit, ends), strict=True)
    for pair, reply in [*((pair, Reply("value")) for pair in texts), *replies]:  # a refused answer is a mismatch
        for i in pairs[pair]:
            verdicts[i] = _from_reply(reply)
    return verdicts


@lru_cache(maxsize=1024)
def content(task: str) -> tuple[str, dict[str, Any]]:
    """Name and entry of a `task` string; `""` and `{}` if missing."""
    with suppress(ValueError, RecursionError, TypeError):
        match json.loads(task):
            case {"name": str(name), "entry": dict(entry)}:
                return name, entry
            case {"name": str(name)}:
                return name, {}
    return "", {}


def _trusted_rows(rows: list[str], pool: WorkerPool, limit: float, ends: float) -> dict[str, bool]:
    """Rows, of tasks that pass the same test, whose scorer accepts the gold answer and rejects nonsense.

    Each maps to whether its scorer needs tuples. Probes that could not run are repeated on the next call.
    """
    for name in dict.fromkeys(content(row)[0] for row in rows):
        pool.prepare(name)
    if len(_probes) + len(rows) > _MAX_PROBED:
        _probes.clear()
    unknown = [row for row in rows if row not in _probes]
    for row, reply in zip(unknown, _run(pool, [{"row": row} for row in unknown], limit, ends), strict=True):
        if reply.outcome == "value":
            _probes[row] = reply.value
        if not isinstance(reply.value, bool):
            _warn_once(content(row)[0], str(reply.value or f"a probe ended in {reply.outcome!r}"))
    return {row: tuples for row in rows if isinstance(tuples := _probes.get(row), bool)}


@lru_cache(maxsize=1024)
def _warn_once(name: str, why: str) -> None:
    _logger.warning("rows of the reasoning-gym task %r have no score: %s", name, why)


def _run(pool: WorkerPool, requests: list[dict[str, Any]], limit: float, ends: float) -> list[Reply]:
    deadline = None if ends == math.inf else max(0.0, ends - time.monotonic())
    return pool.run(requests, limit=limit, deadline=deadline, fresh=True)


def _from_reply(reply: Reply) -> Verdict:
    if reply.value is True:
        return Verdict(1.0, "match")
    wrong: dict[str, Reason] = {"value": "mismatch", "timeout": "timeout", "crash": "worker_crash"}
    return Verdict(0.0, wrong[reply.outcome]) if reply.outcome in wrong else Verdict(None, "scorer_error")


def spellings(task: str, entry: Mapping[str, Any], answer: str) -> list[str]:
    """The spellings of an answer that are passed to the task's scorer for the row's `entry`; empty if it is refused.

    >>> spellings("puzzle24", {"answer": "", "metadata": {"numbers": [2, 3, 4, 1]}}, r"2 \\times 3 \\times 4 \\times 1")
    ['2 * 3 * 4 * 1']
    >>> spellings("puzzle24", {"answer": "", "metadata": {"numbers": [2, 3, 4, 1]}}, "6*4*1*1")
    []
    """
    if len(answer) > _MAX_ANSWER or (non_finite(answer) and not non_finite(str(entry["answer"]))):
        return []
    found = list(dict.fromkeys([answer, plain_answer(answer)]))
    if task == "number_sorting":
        right, *numbers = ([*map(float, _NUMBER.findall(text))] for text in (str(entry["answer"]), *found))
        found = [text for text, given in zip(found, numbers, strict=True) if given == right]
    if task in ("coin_flip", "decimal_arithmetic"):
        found = [text for text in found if _near(text, str(entry["answer"]))]
    return [text for text in found if task not in EVALUATING_TASKS or _only_states_a_value(task, entry, text)]


def plain_answer(answer: str) -> str:
    """An answer without LaTeX that scorers cannot parse: `7 * (9)/(3)` for `7 \\times \\frac{9}{3}`."""
    if answer.isascii() and "\\" not in answer and "$" not in answer:
        return answer
    answer = _LATEX_FRAC.sub(r"(\1)/(\2)", _LATEX_TEXT.sub(r"\1", answer))
    return _LATEX_SIGN.sub(lambda sign: _PLAIN_SIGNS.get(sign.group(), ""), answer).strip()


def non_finite(text: str) -> bool:
    """Whether a text contains something that Python, JSON or sympy parses as NaN or infinity.

    >>> non_finite("(NaN, 2)") and non_finite("1e999") and non_finite("1 - infj"), non_finite("nana")
    (True, False)
    """
    text = unicodedata.normalize("NFKC", text)
    floats = (float(number.replace("_", "")) for number in _FLOAT.findall(text))
    return bool(_NON_FINITE.search(text)) or any(map(math.isinf, floats))


def _only_states_a_value(task: str, entry: Mapping[str, Any], text: str) -> bool:
    if len(text) > _MAX_EVALUATED or not text.isascii() or "#" in text:
        return False
    try:
        tree = ast.parse(text.strip(), mode="eval")
        if task in _ALGEBRA_TASKS:
            return _is_algebra(tree.body)
    except (SyntaxError, ValueError):  # not Python: can only be compared as text
        return task in _LITERAL_TASKS and _PLAIN_DATA.fullmatch(text) is not None
    except (MemoryError, RecursionError):
        return False
    nodes = list(ast.walk(tree))
    if task in _LITERAL_TASKS:
        return all(isinstance(node, _LITERALS) for node in nodes)
    target = 24 if task == "puzzle24" else entry["metadata"]["target"]
    numbers = sorted(str(node.value) for node in nodes if isinstance(node, ast.Constant))
    same_numbers = numbers == sorted(map(str, entry["metadata"]["numbers"]))
    return same_numbers and all(isinstance(node, _ARITHMETIC) for node in nodes) and rational(text) == target


def _is_algebra(node: ast.expr, in_exponent: bool = False) -> bool:
    """Whether an expression is made of numbers, one-letter names, arithmetic and mathematical functions."""
    match node:
        case ast.Constant(value):
            return type(value) in (int, float) and (not in_exponent or abs(value) <= _MAX_EXPONENT)  # type: ignore[arg-type]
        case ast.Name(name):
            return len(name) == 1 or name == "pi"
        case ast.UnaryOp(ast.USub() | ast.UAdd(), operand):
            return _is_algebra(operand, in_exponent)
        case ast.BinOp(left, ast.Pow(), right):
            return not in_exponent and _is_algebra(left, in_exponent) and _is_algebra(right, True)
        case ast.BinOp(left, kind, right):
            return isinstance(kind, _OPERATORS) and _is_algebra(left, in_exponent) and _is_algebra(right, in_exponent)
        case ast.Call(ast.Name(function), [argument], []):
            return function in _FUNCTIONS and _is_algebra(argument, in_exponent)
    return False


def _near(answer: str, gold: str) -> bool:
    with suppress(ValueError, OverflowError):  # not a number
        value, right = (float(rational(text) or text) for text in (answer, gold))
        return abs(value - right) <= _TOLERANCE * abs(right)
    return answer == gold
