"""Parse tests of programs from the formats of data sets, and the other columns of such data sets.

This is the only parser of tests; `docs/code_sandbox.md` lists the formats. Nothing here runs code. In Python source,
`assert f(1) == 2` with literals is parsed directly; other statements are kept and run in the sandbox, separately from
the program, once the answers are known.
"""

from __future__ import annotations

import ast
import builtins
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import Any

from trl_rlsp.errors import DataError
from trl_rlsp.verification.code._harness import MODULES, TEST_NAMES, from_data, to_data

MAX_TESTS = 64  # a few problems of CodeContests have hundreds of generated tests, which would only take time
_CONTEST_COLUMNS = ("public_tests", "private_tests", "generated_tests")
_SOURCE_COLUMNS = ("test", "tests", "test_list", "challenge_test_list")
_SETUP_COLUMNS = ("test_imports", "test_setup_code")
_BESIDE = ("entry_point", *_SETUP_COLUMNS, "challenge_test_list")  # belong to the tests of HumanEval, LeetCode, MBPP
_PYTHON3 = 3  # language code of Python 3 in the solutions of CodeContests
_KNOWN = {*dir(builtins), *MODULES, *TEST_NAMES, "__name__"}
_DEFINITIONS = ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign


@dataclass(frozen=True)
class CodeTest:
    """A program's input and the expected result: text, a value, or statements about values that must hold."""

    expected: str  # the output text, or the data (`_harness.to_data`) of the return value
    stdin: str | None = None  # standard input; `None` if functions are called
    function: str = ""  # the function to call: `name`, `Class.name` or `Class().name`
    arguments: str = '[[],{"dict":[]}]'  # data of its arguments, `[list, dict of keywords]`
    exact: bool = False  # compare with Python's `==`, not as JSON values
    statements: str = ""  # statements that must hold, instead of a call
    functions: str = "{}"  # JSON object: the function for each name that the statements call


def read_tests(tests: Any, prompt: str = "") -> list[CodeTest]:
    """Parse the tests of a row (a list, a mapping, or JSON or Python text) into one form, in the given order.

    If the tests do not name the function, the name is taken from `prompt`, the problem. `DataError` if there are no
    tests or any of them cannot be parsed: the remaining tests could accept a program that all of them would reject.
    """
    try:
        found = list(_read(tests, prompt))
    except (ValueError, TypeError, SyntaxError, KeyError, AttributeError, RecursionError, MemoryError) as error:
        raise DataError(f"the tests cannot be read: {type(error).__name__}: {error}") from error
    if not found:
        raise DataError("the row has no tests")
    return found


def hidden_tests(tests: list[CodeTest], prompt: str) -> list[CodeTest]:
    """The tests that count: those that the prompt does not show, or all tests if it shows all (MBPP).

    An input is shown on separate lines or after a colon; a call as `name(arguments)`, or as `name = value` for each.
    """
    lines = f"\n{_single_spaced(prompt)}\n"
    packed = re.sub(r"[ \t]", "", prompt)
    return [test for test in tests if not _is_shown(test, lines, packed)] or tests


def _read(tests: Any, prompt: str) -> Iterator[CodeTest]:
    if isinstance(tests, str):
        try:
            tests = json.loads(tests)
        except json.JSONDecodeError:
            tests = [tests]
    if isinstance(tests, Mapping):
        yield from _from_mapping(tests, prompt)
        return
    for test in tests:
        yield from _read_source(test, prompt=prompt) if isinstance(test, str) else [_one(test)]


def _from_mapping(tests: Mapping[str, Any], prompt: str) -> Iterator[CodeTest]:
    sources = [tests[name] for name in _SOURCE_COLUMNS if tests.get(name)]
    columns = [tests[name] for name in _CONTEST_COLUMNS if tests.get(name)]
    if sources:
        setup = "\n".join(_lines(tests.get(name) or "") for name in _SETUP_COLUMNS)
        for source in sources:
            yield from _read_source(f"{setup}\n{_lines(source)}", tests.get("entry_point") or "", prompt)
    elif columns:
        yield from chain.from_iterable(_from_mapping(column, prompt) for column in columns)
    elif tests.get("input_output"):
        yield from _read(tests["input_output"], prompt)
    elif isinstance(tests.get("input"), str) or not {"inputs", "input"} & tests.keys() or tests.get("function"):
        yield _one(tests)
    else:
        yield from _parallel(tests, tests.get("fn_name"))


def _one(test: Mapping[str, Any]) -> CodeTest:
    if test.get("function"):
        return _call(test["function"], test.get("arguments") or [], test["output"])
    if test.get("input") is None or "output" not in test:
        raise DataError(f"a test needs {{input, output}} or {{function, arguments, output}}, got {str(test)[:80]!r}")
    if test.get("testtype") == "functional":
        arguments = [json.loads(line) for line in test["input"].splitlines()]
        return _call(test.get("fn_name") or test["metadata"]["func_name"], arguments, json.loads(test["output"]))
    return CodeTest(_lines(test["output"]), _lines(test["input"]))


def _parallel(tests: Mapping[str, Any], function: str | None) -> Iterator[CodeTest]:
    inputs, outputs = tests.get("inputs", tests.get("input")) or (), tests.get("outputs", tests.get("output")) or ()
    if len(inputs) != len(outputs):
        raise DataError(f"tests need one output for each input, got {len(inputs)} and {len(outputs)}")
    listed = function and all(isinstance(wanted, list) and len(wanted) == 1 for wanted in outputs)  # APPS: all or none
    for given, wanted in zip(inputs, (output[0] for output in outputs) if listed else outputs, strict=True):
        yield _call(function, given, wanted) if function else CodeTest(_lines(wanted), _lines(given))


def _call(function: Any, arguments: Any, expected: Any) -> CodeTest:
    if not isinstance(function, str) or not re.fullmatch(r"[^\W\d]\w*(\(\))?(\.[^\W\d]\w*)?", function):
        raise DataError(f"the function of a test must be a name, got {function!r}")
    keywords = arguments if isinstance(arguments, dict) else {}
    return CodeTest(to_data(expected), None, function, to_data([[] if keywords else list(arguments), keywords]))


def _lines(value: Any) -> str:
    """Text of an input, output or source; some data sets have lists of lines."""
    return "\n".join(map(str, value)) if isinstance(value, list) else str(value)


def _single_spaced(text: str) -> str:
    return re.sub(r"[ \t]+", " ", re.sub(r"\s*\n\s*", "\n", text))


def _is_shown(test: CodeTest, lines: str, packed: str) -> bool:
    if test.stdin is not None:
        text = _single_spaced(test.stdin.strip())
        return bool(text) and any(form in lines for form in (f"\n{text}\n", f": {text}\n", f"`{text}`"))
    if test.statements:
        asserted = test.statements.rpartition("\n")[2].removeprefix("assert ")
        return re.sub(r"\s", "", asserted).replace('"', "'") in re.sub(r"\s", "", packed).replace('"', "'")
    positional, keywords = from_data(json.loads(test.arguments))
    for spell in (repr, json.dumps):
        with suppress(TypeError, ValueError):
            values = [re.sub(r"\s", "", spell(value)) for value in (*positional, *keywords.values())]
            named = r",?".join(rf"\w+={re.escape(value)}" for value in values)
            called = f"{test.function.rpartition('.')[2]}({','.join(values)})" in packed
            if called or (values and re.search(rf"{named}(?![\w.])", packed)):
                return True
    return False


def has_test_columns(columns: Iterable[str]) -> bool:
    """Whether there are columns of tests that need no role mapping, such as those of CodeContests."""
    return not set(columns).isdisjoint(_CONTEST_COLUMNS)


def tests_json(row: Mapping[str, Any], column: str | None, problem: str) -> str | None:
    """The tests of a raw row as JSON for `read_tests`, a form that Arrow stores unchanged for any arguments.

    At most `MAX_TESTS` inputs and outputs. `column=None` looks only for the columns of CodeContests and returns `None`
    if there are none. `DataError`: no test can be parsed.
    """
    if column is None and not has_test_columns(row):
        return None
    tests: Any = {name: row.get(name) for name in _CONTEST_COLUMNS} if column is None else row.get(column)
    beside = {name: row[name] for name in _BESIDE if row.get(name)}
    if beside and column not in beside:
        tests = {"tests": tests, **beside}
    found = read_tests(tests or (), problem)
    if isinstance(tests, str):
        tests = json.loads(tests) if tests.lstrip()[:1] in tuple("[{") else [tests]
    if all(test.stdin is not None for test in found):
        tests = [{"input": test.stdin, "output": test.expected} for test in found[:MAX_TESTS]]
    try:
        return json.dumps(tests, ensure_ascii=False)
    except TypeError as error:
        raise DataError(f"the tests (column {column!r}) have no JSON form: {error}") from error


def reference_program(row: Mapping[str, Any]) -> str:
    """A correct Python program from a raw row of CodeContests, APPS, MBPP or HumanEval; empty if it has none."""
    found = row.get("solutions")
    if isinstance(found, str):
        try:
            found = json.loads(found)
        except json.JSONDecodeError:
            return ""
    if isinstance(found, Mapping):
        pairs = zip(found.get("language") or (), found.get("solution") or (), strict=False)
        found = [program for language, program in pairs if language == _PYTHON3]
    found = [*(found or ()), row.get("code")]
    if row.get("entry_point") and isinstance(row.get("canonical_solution"), str):
        found.append(f"{row.get('prompt') or ''}{row['canonical_solution']}")
    return next((program for program in found if isinstance(program, str)), "")


def shown_problem(problem: Any, row: Mapping[str, Any], tests: str) -> Any:
    """The problem text with the interface that a program needs: the row's `starter_code`, or the function's name.

    Messages are returned unchanged; `tests` are the row's, from `tests_json`.
    """
    if not isinstance(problem, str):
        return problem
    if starter := str(row.get("starter_code") or "").strip():
        return f"{problem}\n\nStart from this code:\n```python\n{starter}\n```"
    test = read_tests(tests, problem)[0]
    function = test.function or next(iter(json.loads(test.functions).values()), "")
    if not function or function.rpartition(".")[2] in problem:
        return problem
    return f"{problem}\n\nName the {'method' if '.' in function else 'function'} `{function.replace('()', '')}`."


def _read_source(source: str, entry_point: str = "", prompt: str = "") -> Iterator[CodeTest]:
    """The tests in asserts, `check(candidate)` and `test_...()`: one per assert, or one per body with loops.

    `candidate` is `entry_point` (`name` or `Class().name`), else the argument of the source's own `check(...)`, else
    the last function that `prompt` starts to define.
    """
    functions: list[ast.FunctionDef] = []
    setup: list[ast.stmt] = []
    loose: list[ast.stmt] = []
    module = ast.parse(source).body
    for node in module:
        match node:
            case ast.FunctionDef(name) if name == "check" or name.startswith("test"):
                functions.append(node)
            case ast.Expr(ast.Call(ast.Name("check"), [argument])):
                entry_point = entry_point or ast.unparse(argument)
            case ast.ImportFrom("solution") | ast.Expr(ast.Call()):
                pass
            case ast.If(test) if "__name__" in ast.unparse(test):
                pass
            case _:
                (setup if isinstance(node, _DEFINITIONS) else loose).append(node)
    tested = entry_point or _defined_last(prompt)
    named = {tested: tested} if tested.isidentifier() else {}
    setup += _prompt_functions(prompt, _names(module))
    for function in functions:
        candidate = [argument.arg for argument in function.args.args][:1]
        yield from _body(function.body, setup, named | dict.fromkeys(candidate, tested))
    yield from _body(loose, setup, named)


def _body(body: Sequence[ast.stmt], setup: list[ast.stmt], tested: dict[str, str]) -> Iterator[CodeTest]:
    """The tests of one body; `tested` maps its parameter to the tested function."""
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
    """The test for an assert that compares a call with a literal; `None` for other expressions."""
    match test:
        case ast.Compare(ast.Call() as call, [ast.Eq()], [expected]):
            pass
        case ast.Compare(expected, [ast.Eq()], [ast.Call() as call]):
            pass
        case _:
            return None
    name = ast.unparse(call.func)
    is_path = re.fullmatch(r"\w+|\w+(\(\))?\.\w+", name) and name.partition(".")[0] not in MODULES
    function = tested.get(name, name if is_path else "")
    with suppress(ValueError, TypeError):  # not literals
        positional = list(map(ast.literal_eval, call.args))
        keywords = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords}
        data = to_data([positional, keywords])
        return CodeTest(to_data(ast.literal_eval(expected)), None, function, data, exact=True) if function else None
    return None


def _kept(statements: list[ast.stmt], asked: Sequence[ast.stmt], tested: dict[str, str]) -> CodeTest:
    """The test that runs the statements unchanged, with the functions they call."""
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
        raise ValueError(f"cannot determine which function is tested or how to call it: {shown}")
    return CodeTest("null", None, statements=text, functions=json.dumps(functions))


def _names(nodes: Sequence[ast.AST]) -> set[str]:
    """Names that are used."""
    inner = (name for name in chain.from_iterable(map(ast.walk, nodes)) if isinstance(name, ast.Name))
    return {name.id for name in inner if isinstance(name.ctx, ast.Load)}


def _bound(statements: Sequence[ast.stmt]) -> set[str]:
    """Names that are defined."""
    found: set[str] = set()
    for node in chain.from_iterable(map(ast.walk, statements)):
        match node:
            case ast.Name(name, ast.Store() | ast.Del()) | ast.FunctionDef(name) | ast.ClassDef(name) | ast.arg(name):
                found.add(name)
            case ast.ExceptHandler(name=str(name)):
                found.add(name)
            case ast.alias(name, asname):
                found.add((asname or name).split(".")[0])
    return found


def _prompt_functions(prompt: str, used: set[str]) -> list[ast.stmt]:
    """Functions that are used and that the prompt defines completely, except the last, which the program must write."""
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
    """The function that a prompt starts to define: `name` or `Class().name`; empty if there is none."""
    found = re.findall(r"^[ \t]*(?:async )?def (\w+)\((self\b)?", prompt, re.MULTILINE)
    owners = re.findall(r"^\s*class (\w+)", prompt, re.MULTILINE)
    name, is_method = found[-1] if found else ("", "")
    return f"{owners[-1]}().{name}" if is_method and owners else name
