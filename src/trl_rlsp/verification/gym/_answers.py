"""Which text may be handed to the scorer of a generated task.

Ten scorers of reasoning-gym evaluate the answer, as Python or through sympy. For these an answer passes only if its
syntax tree consists of listed nodes, names and functions; so it can state a value and do nothing else. Six scorers
accept what is wrong (NaN, any four numbers, an absolute tolerance on small values, sorted numbers that are off
by up to 1); that is checked here too.
"""

from __future__ import annotations

import ast
import math
import operator
import re
import unicodedata
from collections.abc import Callable, Mapping
from contextlib import suppress
from fractions import Fraction
from typing import Any

from trl_rlsp.text import rational

_MAX_ANSWER = 20_000
_MAX_EVALUATED = 2_000
_MAX_EXPONENT = 999
_TOLERANCE = 0.01  # relative; the scorers' are absolute, 0.0001 and 0.001, which 0 meets where the answer is small

_LITERAL_TASKS = frozenset(["string_insertion", "spiral_matrix", "number_sorting", "binary_matrix", "n_queens"])
_ALGEBRA_TASKS = frozenset(["polynomial_multiplication", "simple_integration", "intermediate_integration"])
EVALUATING_TASKS = _LITERAL_TASKS | _ALGEBRA_TASKS | {"puzzle24", "countdown"}
"""Tasks whose scorer evaluates the answer (read in reasoning-gym 0.1.25)."""

_LITERALS = (ast.Expression, ast.List, ast.Tuple, ast.Constant, ast.Name, ast.Load, ast.UnaryOp, ast.USub)
_PLAIN_DATA = re.compile(r"[\w\s.,\[\]'\"-]*", re.ASCII)  # no brackets of calls, no operators
_OPERATORS: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_FUNCTIONS = frozenset("sin cos tan cot sec csc asin acos atan sinh cosh tanh exp log ln sqrt abs Abs".split())  # noqa: SIM905
_NON_FINITE = re.compile(r"(?<![^\W\d_])s?(?:nan|inf|infinity)\d*[ij]?(?![^\W\d_])", re.IGNORECASE)
_FLOAT = re.compile(r"(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)e[+-]?\d[\d_]*", re.IGNORECASE)
_NUMBER = re.compile(r"-?\d*\.?\d+|-?\d+\.")

_LATEX_TEXT = re.compile(r"\\text\s*\{([^{}]*)\}")
_LATEX_FRAC = re.compile(r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}")
_LATEX_SIGN = re.compile(r"\\times|\\cdot|\\div|\\left|\\right|\\[,;:{}_]|[×·÷−$]")
_PLAIN_SIGNS = {r"\times": "*", r"\cdot": "*", "×": "*", "·": "*", r"\div": "/", "÷": "/", "−": "-"}
_PLAIN_SIGNS |= {r"\,": " ", r"\;": " ", r"\:": " ", r"\{": "{", r"\}": "}", r"\_": "_"}


def spellings(task: str, entry: Mapping[str, Any], answer: str) -> list[str]:
    """The spellings of an answer that the task's scorer may see for the row's `entry`; none if it is refused.

    >>> spellings("puzzle24", {"answer": "", "metadata": {"numbers": [2, 3, 4, 1]}}, r"2 \\times 3 \\times 4 \\times 1")
    ['2 * 3 * 4 * 1']
    >>> spellings("puzzle24", {"answer": "", "metadata": {"numbers": [2, 3, 4, 1]}}, "6*4*1*1")
    []
    """
    if len(answer) > _MAX_ANSWER or (non_finite(answer) and not non_finite(str(entry["answer"]))):
        return []
    found = list(dict.fromkeys([answer, plain_answer(answer)]))
    if task == "number_sorting":
        found = [text for text in found if _numbers(text) == _numbers(str(entry["answer"]))]
    if task in ("coin_flip", "decimal_arithmetic"):
        found = [text for text in found if _near(text, str(entry["answer"]))]
    return [text for text in found if task not in EVALUATING_TASKS or _only_states_a_value(task, entry, text)]


def plain_answer(answer: str) -> str:
    """An answer without the LaTeX that a scorer does not read.

    >>> plain_answer(r"(8 - 1) \\times \\frac{9}{3}")
    '(8 - 1) * (9)/(3)'
    """
    if answer.isascii() and "\\" not in answer and "$" not in answer:
        return answer
    answer = _LATEX_FRAC.sub(r"(\1)/(\2)", _LATEX_TEXT.sub(r"\1", answer))
    return _LATEX_SIGN.sub(lambda sign: _PLAIN_SIGNS.get(sign.group(), ""), answer).strip()


def non_finite(text: str) -> bool:
    """Whether a text holds what Python, JSON or sympy reads as NaN or as infinity.

    >>> [non_finite(text) for text in ("[NaN, 2]", "1e999", "1 - infj", "nana", "1e9")]
    [True, True, True, False, False]
    """
    text = unicodedata.normalize("NFKC", text)
    return bool(_NON_FINITE.search(text)) or any(math.isinf(_float(number) or 0.0) for number in _FLOAT.findall(text))


def _float(text: str) -> float | None:
    with suppress(ValueError):
        return float(text)
    return None


def _only_states_a_value(task: str, entry: Mapping[str, Any], text: str) -> bool:
    if len(text) > _MAX_EVALUATED or not text.isascii() or "#" in text:
        return False
    try:
        return _is_plain(task, entry, ast.parse(text.strip(), mode="eval"))
    except (SyntaxError, ValueError):  # no Python: can only be compared as text
        return task in _LITERAL_TASKS and _PLAIN_DATA.fullmatch(text) is not None
    except (MemoryError, RecursionError):
        return False


def _is_plain(task: str, entry: Mapping[str, Any], tree: ast.Expression) -> bool:
    if task in _LITERAL_TASKS:
        return all(isinstance(node, _LITERALS) for node in ast.walk(tree))
    if task in _ALGEBRA_TASKS:
        return _is_algebra(tree.body)
    target = 24 if task == "puzzle24" else entry["metadata"]["target"]
    numbers = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    return _value(tree.body) == target and sorted(map(str, numbers)) == sorted(map(str, entry["metadata"]["numbers"]))


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
            return type(kind) in _OPERATORS and _is_algebra(left, in_exponent) and _is_algebra(right, in_exponent)
        case ast.Call(ast.Name(function), [argument], []):
            return function in _FUNCTIONS and _is_algebra(argument, in_exponent)
    return False


def _value(node: ast.expr) -> Fraction | None:
    """The exact value of whole numbers under + - * /, `None` for anything else."""
    match node:
        case ast.Constant(value) if type(value) is int:
            return Fraction(value)
        case ast.UnaryOp(ast.USub(), operand):
            positive = _value(operand)
            return None if positive is None else -positive
        case ast.BinOp(left, kind, right) if type(kind) in _OPERATORS:
            a, b = _value(left), _value(right)
            if a is not None and b is not None and not (b == 0 and isinstance(kind, ast.Div)):
                return _OPERATORS[type(kind)](a, b)  # type: ignore[no-any-return]
    return None


def _numbers(text: str) -> list[float]:
    return [float(number) for number in _NUMBER.findall(text)]


def _near(answer: str, gold: str) -> bool:
    values = [rational(text) or _float(text) for text in (answer, gold)]
    if None in values:
        return answer == gold
    value, right = (float(value or 0) for value in values)
    return abs(value - right) <= _TOLERANCE * abs(right)
