"""Tests that are Python source, read as calls of a program's functions and what is asserted about the answers.

`assert f(1) == 2`, `assert f(1) is None`, `assert f(1)` and `assert not f(1)` with literals are read outright; any
other statement is kept and run in the sandbox, apart from the program, once the answers are known. Nothing runs here.
"""

from __future__ import annotations

import ast
import builtins
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from trl_rlsp.verification.code._harness import MODULES, TEST_NAMES, to_data

_KNOWN = {*dir(builtins), *MODULES, *TEST_NAMES, "__name__"}
_DEFINITIONS = ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign


@dataclass(frozen=True)
class CodeTest:
    """What a program is given and what must come back: text, a value, or the truth of statements about values.

    Attributes:
        expected: the text to be written, or the data (`_harness.to_data`) of the value to be returned.
        stdin: what a program reads; `None` where functions are called.
        function: the function that is called, `name`, `Class.name` or `Class().name`.
        arguments: data of its arguments, `[list, dict of keywords]`.
        exact: compare as Python's `==` does, not as JSON values.
        relation: of the value to the expected one: `==`, `is`, or `true` and `false` for its truth alone.
        statements: Python statements that must hold, in place of a call.
        functions: JSON object, the function behind each name that the statements call.
    """

    expected: str
    stdin: str | None = None
    function: str = ""
    arguments: str = '[[],{"dict":[]}]'
    exact: bool = False
    relation: str = "=="
    statements: str = ""
    functions: str = "{}"


def read_source(source: str, entry_point: str = "", prompt: str = "") -> Iterator[CodeTest]:
    """The tests in asserts, `check(candidate)` and `test_...()`: one for each assert, or for a body with loops.

    What `candidate` stands for says `entry_point` (`name` or `Class().name`), else the source's own `check(...)`, else
    the last function that `prompt` starts to define. Functions that the prompt defines and the tests use, such as
    HumanEval's `poly`, are taken from it. `ValueError` where it is not known which function is tested.
    """
    module = ast.parse(source).body
    module = [node for node in module if not (isinstance(node, ast.ImportFrom) and node.module == "solution")]
    setup: list[ast.stmt] = [node for node in module if isinstance(node, _DEFINITIONS) and not _is_test(node)]
    calls = [node.value for node in module if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)]
    for call in calls:
        if isinstance(call.func, ast.Name) and call.func.id == "check" and len(call.args) == 1:
            entry_point = entry_point or ast.unparse(call.args[0])
    tested = entry_point or _defined_last(prompt)
    named = {tested: tested} if tested.isidentifier() else {}
    loose = [node for node in module if node not in setup and not _is_test(node) and not _is_main(node)]
    setup += _prompt_functions(prompt, _names(module))
    for function in module:
        if _is_test(function):
            assert isinstance(function, ast.FunctionDef)
            candidate = [argument.arg for argument in function.args.args][:1]
            yield from _body(function.body, setup, named | dict.fromkeys(candidate, tested))
    yield from _body([node for node in loose if getattr(node, "value", None) not in calls], setup, named)


def _is_test(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef) and (node.name == "check" or node.name.startswith("test"))


def _is_main(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and "__name__" in ast.unparse(node.test)


def _body(body: Sequence[ast.stmt], setup: list[ast.stmt], tested: dict[str, str]) -> Iterator[CodeTest]:
    """The tests of one body, in which `tested` says what the parameter stands for."""
    others = [node for node in body if not isinstance(node, ast.Assert | ast.Pass | _DEFINITIONS)]
    if any(not isinstance(node, ast.Expr) or isinstance(node.value, ast.Call) for node in others):
        yield _kept([*setup, *body], body, tested)
        return
    local = [*setup, *(node for node in body if isinstance(node, _DEFINITIONS))]
    for node in body:
        if isinstance(node, ast.Assert):
            names = _names([node.test])
            test = None if _bound(local) & names else _outright(node.test, tested)
            if test is None and names <= _KNOWN - tested.keys():
                continue  # `assert True` tests nothing
            yield test or _kept([*local, ast.Assert(node.test)], [node], tested)


def _outright(test: ast.expr, tested: dict[str, str]) -> CodeTest | None:
    """The test that an assert of literals is."""
    call, relation, expected = test, "true", "null"
    try:
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            call, relation = test.operand, "false"
        elif isinstance(test, ast.Compare) and len(test.ops) == 1:
            sides = [test.left, test.comparators[0]]
            call, value = sides if isinstance(test.left, ast.Call) else reversed(sides)
            relation = {ast.Eq: "==", ast.Is: "is"}[type(test.ops[0])]  # type: ignore[index]
            expected = to_data(ast.literal_eval(value))
        if not isinstance(call, ast.Call) or (relation == "is" and expected not in ("null", "true", "false")):
            return None
        name = ast.unparse(call.func)
        function = tested[name] if name in tested else _function_path(name)
        if not function:
            return None
        positional = [ast.literal_eval(argument) for argument in call.args]
        keywords = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords}
        return CodeTest(expected, None, function, to_data([positional, keywords]), exact=True, relation=relation)
    except (ValueError, KeyError, TypeError):
        return None


def _function_path(path: str) -> str:
    if not re.fullmatch(r"\w+|\w+(\(\))?\.\w+", path) or path.partition(".")[0] in MODULES:
        raise ValueError(f"{path} is no function of a program")
    return path


def _kept(statements: list[ast.stmt], asked: Sequence[ast.stmt], tested: dict[str, str]) -> CodeTest:
    """The test whose statements are run as they are, with the functions they call."""
    text = ast.unparse(ast.fix_missing_locations(ast.Module(statements, [])))
    used = _names(statements)
    functions = {name: path for name, path in tested.items() if path and name in used}
    for path in sorted(set(re.findall(r"\b\w+\(\)\.\w+(?=\()", text))):  # `Solution().f` becomes a name
        if path.partition("(")[0] not in _KNOWN:
            name = re.sub(r"\W+", "_", path)
            functions[name], text = path, text.replace(path, name)
    tree = ast.parse(text).body
    unknown = _names(tree) - _bound(tree) - _KNOWN - functions.keys()
    if not functions and len(unknown) == 1 and not unknown & tested.keys():
        functions = {name: name for name in unknown}
    elif unknown or not functions:
        shown = ", ".join(sorted(unknown)) or ast.unparse(asked[0])[:80]
        raise ValueError(f"it is not known which function is tested, or how to get it: {shown}")
    return CodeTest("null", None, statements=text, functions=json.dumps(functions))


def _names(nodes: Sequence[ast.AST]) -> set[str]:
    """Names that are used."""
    inner = (name for node in nodes for name in ast.walk(node) if isinstance(name, ast.Name))
    return {name.id for name in inner if isinstance(name.ctx, ast.Load)}


def _bound(statements: Sequence[ast.stmt]) -> set[str]:
    """Names that are defined."""
    found: set[str] = set()
    for node in (inner for statement in statements for inner in ast.walk(statement)):
        match node:
            case ast.Name(name, ast.Store() | ast.Del()) | ast.FunctionDef(name) | ast.ClassDef(name) | ast.arg(name):
                found.add(name)
            case ast.ExceptHandler(name=str(name)):
                found.add(name)
            case ast.alias(name, asname):
                found.add((asname or name).split(".")[0])
    return found


def _prompt_functions(prompt: str, used: set[str]) -> list[ast.stmt]:
    """Functions that the prompt defines whole and that are used: the last one, the program's own task, is not."""
    for text in [*re.findall(r"```(?:python)?\n(.*?)```", prompt, re.DOTALL), prompt]:
        try:
            body = ast.parse(text).body
        except (SyntaxError, ValueError):
            continue
        functions = [node for node in body if isinstance(node, ast.FunctionDef)][:-1]
        if helpers := [node for node in functions if node.name in used]:
            return [*(node for node in body if isinstance(node, ast.Import | ast.ImportFrom)), *helpers]
    return []


def _defined_last(prompt: str) -> str:
    """The function that a prompt starts to define: `name`, or `Class().name`; empty where there is none."""
    found = re.findall(r"^[ \t]*(?:async )?def (\w+)\((self\b)?", prompt, re.MULTILINE)
    owners = re.findall(r"^\s*class (\w+)", prompt, re.MULTILINE)
    name, is_method = found[-1] if found else ("", "")
    return f"{owners[-1]}().{name}" if is_method and owners else name
