"""Assert statements read as a call and its expected value; nothing is run.

Read are `assert f(1) == 2`, the same the other way round, with `is`, `assert f(1)`, `assert not f(1)`,
`assert math.isclose(f(1), 2.0, ...)`, `assert abs(f(1) - 2.0) < 1e-6` and `assert set(f(1)) == set(...)`.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, replace
from typing import Any

_ISCLOSE_REL_TOL = 1e-9  # the default of `math.isclose`


@dataclass(frozen=True)
class AssertedCall:
    """What an assert statement says.

    Attributes:
        function: name of the function.
        arguments: list of arguments, or dict of keyword arguments.
        expected: the value it must return.
        rel_tol: relative tolerance, where the statement gives one.
        abs_tol: absolute tolerance, where the statement gives one.
        unordered: whether sets are compared.
    """

    function: str
    arguments: list[Any] | dict[str, Any]
    expected: Any
    rel_tol: float | None = None
    abs_tol: float = 0.0
    unordered: bool = False


def split_asserts(text: str) -> list[str]:
    """The assert statements of a test program.

    Args:
        text: statements, or a function `check(candidate)` made of them.

    Returns:
        Their source, in order.

    Raises:
        ValueError: the text has other statements that could matter, or is no Python.
    """
    body = ast.parse(text).body
    statements: list[str] = []
    for node in body:
        inside = node.body if isinstance(node, ast.FunctionDef) else [node]
        for statement in inside:
            if isinstance(statement, ast.Assert):
                statements.append(ast.unparse(statement))
            elif not _without_effect(statement):
                raise ValueError(f"only assert statements can be converted, got {ast.unparse(statement)[:60]!r}")
    return statements


def read_assert(statement: str) -> AssertedCall:
    """Read one assert statement.

    Args:
        statement: its source.

    Returns:
        The call and what it must return.

    Raises:
        ValueError: a form that is not known, or values that are no literals.
        SyntaxError: no Python.
    """
    body = ast.parse(statement.strip()).body
    if len(body) != 1 or not isinstance(body[0], ast.Assert):
        raise ValueError(f"not one assert statement: {statement[:80]!r}")
    test = body[0].test
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        return _comparison(test.left, test.ops[0], test.comparators[0])
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return _call(test.operand, False)
    if isinstance(test, ast.Call) and ast.unparse(test.func) in ("math.isclose", "isclose"):
        return _isclose(test)
    return _call(test, True)


def _without_effect(node: ast.stmt) -> bool:
    """Imports, documentation, metadata, `pass`, and the call `check(f)` at the end."""
    if isinstance(node, ast.Import | ast.ImportFrom | ast.Pass):
        return True
    if isinstance(node, ast.Assign):
        return all(isinstance(target, ast.Name) and target.id == "METADATA" for target in node.targets)
    return isinstance(node, ast.Expr) and (
        isinstance(node.value, ast.Constant)
        or (isinstance(node.value, ast.Call) and ast.unparse(node.value.func) == "check")
    )


def _comparison(left: ast.expr, operator: ast.cmpop, right: ast.expr) -> AssertedCall:
    if isinstance(operator, ast.Lt | ast.LtE):
        return _absolute_error(left, right)
    if not isinstance(operator, ast.Eq | ast.Is):
        raise ValueError(f"the comparison {type(operator).__name__} cannot be converted")
    inner, wanted = _inside_set(left), _inside_set(right)
    if inner is not None and wanted is not None:
        return replace(_call(inner, set(ast.literal_eval(wanted))), unordered=True)
    for call, value in ((left, right), (right, left)):
        try:
            expected = ast.literal_eval(value)
        except ValueError:
            continue
        return _call(call, expected)
    raise ValueError(f"neither side of {ast.unparse(left)} == {ast.unparse(right)} is a literal")


def _inside_set(node: ast.expr) -> ast.expr | None:
    is_set = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "set"
    return node.args[0] if is_set and len(node.args) == 1 else None  # type: ignore[attr-defined]


def _absolute_error(left: ast.expr, right: ast.expr) -> AssertedCall:
    """`abs(f(1) - 2.0) < 1e-6`"""
    if not (isinstance(left, ast.Call) and ast.unparse(left.func) in ("abs", "math.fabs") and len(left.args) == 1):
        raise ValueError("only abs(f(...) - value) < tolerance can be converted")
    difference = left.args[0]
    if not (isinstance(difference, ast.BinOp) and isinstance(difference.op, ast.Sub)):
        raise ValueError("only abs(f(...) - value) < tolerance can be converted")
    expected = float(ast.literal_eval(difference.right))
    return replace(_call(difference.left, expected), rel_tol=0.0, abs_tol=float(ast.literal_eval(right)))


def _isclose(test: ast.Call) -> AssertedCall:
    options = {keyword.arg: float(ast.literal_eval(keyword.value)) for keyword in test.keywords}
    call = _call(test.args[0], float(ast.literal_eval(test.args[1])))
    return replace(call, rel_tol=options.get("rel_tol", _ISCLOSE_REL_TOL), abs_tol=options.get("abs_tol", 0.0))


def _call(node: ast.expr, expected: Any) -> AssertedCall:
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
        raise ValueError(f"not a plain call: {ast.unparse(node)[:80]}")
    positional = [ast.literal_eval(argument) for argument in node.args]
    keywords = {keyword.arg: ast.literal_eval(keyword.value) for keyword in node.keywords if keyword.arg}
    if node.keywords and (positional or len(keywords) < len(node.keywords)):
        raise ValueError("positional and keyword arguments together cannot be converted")
    return AssertedCall(node.func.id, keywords or positional, expected)
