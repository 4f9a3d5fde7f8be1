"""Countdown: how hard a problem is, and when two answers are the same."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import Any

from trl_rlsp.countdown import LARGEST_NUMBER
from trl_rlsp.countdown.search import Term, countdown_of, steps

DIFFICULTY = "the expected attempts of a search in random order"
"""What `difficulty` measures, for the report."""

_OPERATORS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}


def outcomes(numbers: Iterable[int], limit: int = LARGEST_NUMBER) -> list[int]:
    """The value at every leaf of the depth-first search over `numbers`.

    Args:
        numbers: two or more positive integers.
        limit: largest intermediate result considered.

    >>> sorted(outcomes([6, 3]))
    [2, 3, 9, 18]
    """
    return _outcomes(tuple(map(Term.given, numbers)), limit)


def _outcomes(terms: tuple[Term, ...], limit: int) -> list[int]:
    options = steps(terms, limit)
    if len(terms) == 2:
        return [step.result.value for step in options]
    return [value for step in options for value in _outcomes((step.result, *step.rest), limit)]


def difficulty(row: dict[str, Any]) -> float:
    """Attempts that a search in random order, without repetition, needs on average: (leaves + 1) / (hits + 1).

    Args:
        row: a countdown row of `load_problems`.
    """
    numbers, target = countdown_of(row)
    values = outcomes(numbers)
    return (len(values) + 1) / (values.count(target) + 1)


def canonical(answer: str) -> str:
    """One text for expressions that differ only in the order of sums and products, so that their votes add up.

    >>> canonical("2 * ( 6 + 3 )") == canonical("(3 + 6) * 2")
    True
    """
    try:
        return _ordered(ast.parse(answer.strip(), mode="eval").body)
    except (SyntaxError, ValueError, RecursionError):
        return "".join(answer.split())


def _ordered(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if not isinstance(node, ast.BinOp) or type(node.op) not in _OPERATORS:
        raise ValueError("not an expression of the four operations")
    operator = _OPERATORS[type(node.op)]
    parts = _operands(node, type(node.op)) if operator in "+*" else [node.left, node.right]
    written = [_ordered(part) for part in parts]
    return f"({operator.join(sorted(written) if operator in '+*' else written)})"


def _operands(node: ast.expr, operator: type) -> list[ast.expr]:
    if isinstance(node, ast.BinOp) and type(node.op) is operator:
        return [*_operands(node.left, operator), *_operands(node.right, operator)]
    return [node]
