"""What runs inside the sandbox: one process calls a program's functions, another judges what they returned.

Its source text is sent to the sandbox as it is, so it imports nothing of this package. It reads one line of JSON and
writes a marker and its answer, as JSON. `{program, calls}` asks what the program's functions return: it is told no
test, so that a program that writes the frame itself gains what it would by returning. `{statements, functions,
answers}` runs the statements of a test, without the program: each call of a function gets the next answer; it writes
whether they passed, or the calls that have no answer yet.

Data is JSON that keeps Python's types: lists and scalars as they are, other values as `{"tuple": [...]}` and so on.
"""

import builtins
import importlib
import json
import os
import sys
import types
from collections.abc import Callable, Iterable, Iterator
from json.encoder import encode_basestring_ascii as quote

MODULES = """
bisect collections copy datetime functools heapq itertools math operator random re string sys typing
""".split()  # noqa: SIM905
_STARRED = "typing functools collections itertools heapq bisect string operator math".split()  # noqa: SIM905
TEST_NAMES = {"isclose": "math", "inf": "math", "nan": "math", "Counter": "collections", "deque": "collections"}
"""What the statements of a test may use without importing it, besides `MODULES`."""

MAX_CALLS = 1000
_ITEMS: dict[type, Callable] = {  # type: ignore[type-arg]
    tuple: lambda value: tuple.__getitem__(value, slice(None)),
    dict: lambda value: [list(pair) for pair in dict.items(value)],
    set: set.copy,
    frozenset: frozenset.copy,
    complex: lambda value: [complex.real.__get__(value), complex.imag.__get__(value)],  # type: ignore[attr-defined]
    bytes: lambda value: bytes.__getitem__(value, slice(None)),
}
_MAKERS: dict[str, Callable] = {kind.__name__: kind for kind in _ITEMS}  # type: ignore[type-arg]
_MAKERS |= {"complex": lambda parts: complex(*parts), "iter": iter}


def to_data(value: object) -> str:
    """A value as JSON text of data, `TypeError` for one of another type. Overridden methods are not called."""
    if value is None or value is True or value is False:
        return {None: "null", True: "true", False: "false"}[value]  # type: ignore[index]
    if isinstance(value, str):
        return quote(str.__str__(value))
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float):
        return float.__repr__(value).replace("nan", "NaN").replace("inf", "Infinity")
    if isinstance(value, list):
        return _array(list.__getitem__(value, slice(None)))
    for kind, items in _ITEMS.items():
        if isinstance(value, kind):
            return f'{{"{kind.__name__}":{_array(items(value))}}}'
    if isinstance(value, Iterator | range | type({}.keys()) | type({}.values()) | type({}.items())):
        return f'{{"iter":{_array(value)}}}'
    raise TypeError(f"a {type(value).__name__} is no plain data")


def _array(items: Iterable[object]) -> str:
    return "[" + ",".join([to_data(item) for item in items]) + "]"


def from_data(data: object) -> object:
    """The value of data. Data of a program's making may raise anything."""
    if isinstance(data, list):
        return [from_data(item) for item in data]
    if not isinstance(data, dict):
        return data
    [(kind, items)] = data.items()
    return _MAKERS[kind]([from_data(item) for item in items])


def library_names() -> dict[str, object]:
    """What LeetCode puts before every program: common modules and their public names, save those of built-ins."""
    names: dict[str, object] = {name: importlib.import_module(name) for name in MODULES}
    for module in [names[name] for name in _STARRED]:
        public = getattr(module, "__all__", None) or [name for name in dir(module) if name[0] != "_"]
        names |= {name: getattr(module, name) for name in public if not hasattr(builtins, name)}
    return names


def call_functions(program: str, calls: list[list[str]]) -> str:
    """Run a program and call its functions: JSON list of what they returned, or `{"raise": [name of the exception]}`.

    A call is a function (`name`, `Class.name` or `Class().name`) and data of its arguments, `[list, dict]`.
    """
    module = types.ModuleType("solution")
    sys.modules["solution"] = module
    if "class Solution" in program:
        module.__dict__.update(library_names())
    exec(compile(program, "solution.py", "exec", dont_inherit=True), module.__dict__)
    return "[" + ",".join([_returned(module.__dict__, *call) for call in calls]) + "]"


def _returned(names: dict[str, object], function: str, data: str) -> str:
    arguments, keywords = from_data(json.loads(data))  # type: ignore[misc]
    try:
        return to_data(_find(names, function)(*arguments, **keywords))  # type: ignore[has-type]
    except Exception as error:
        return f'{{"raise":[{quote(type(error).__name__)}]}}'


def _find(names: dict[str, object], path: str):  # type: ignore[no-untyped-def]
    owner, _, name = path.rpartition(".")
    if not owner and name not in names and isinstance(names.get("Solution"), type):
        owner = "Solution()"
    if not owner:
        return names[name]
    found = names[owner.removesuffix("()")]
    return getattr(found() if owner.endswith("()") else found, name)  # type: ignore[operator]


class Unknown:
    """Stands for an answer that is not known yet, so that the calls after it are found too."""

    def __getattr__(self, name: str) -> object:
        return self

    def _itself(self, *_: object, **__: object) -> object:
        return self

    __call__ = __getitem__ = __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __abs__ = __neg__ = _itself
    __truediv__ = __round__ = __mod__ = _itself
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __contains__ = lambda self, other: True  # type: ignore[assignment]
    __hash__ = __len__ = __int__ = __index__ = lambda self: 0  # type: ignore[assignment]
    __float__ = lambda self: 0.0  # noqa: E731
    __iter__ = lambda self: iter(())  # noqa: E731


class Judge:
    """One run of a test's statements."""

    def __init__(self, answers: list[list]) -> None:  # type: ignore[type-arg]
        self.answers = answers  # that are known, each with its call
        self.calls: list[list[str]] = []
        self.at = 0
        self.raised = False
        self.cannot_call = False

    def function(self, path: str) -> Callable[..., object]:
        """What the statements find under the name of a function."""

        def answer(*arguments: object, **keywords: object) -> object:
            try:
                call = [path, to_data([list(arguments), keywords])]
            except TypeError:
                self.cannot_call = True
                raise
            self.at += 1
            if self.at > len(self.answers):
                if len(self.calls) == MAX_CALLS:  # such as a loop that waits for the right answer
                    raise OverflowError
                self.calls.append(call)
                return Unknown()
            known, data = self.answers[self.at - 1]
            self.cannot_call = known != call  # the statements don't repeat themselves
            return self._value(data)

        return answer

    def _value(self, data: object) -> object:
        if isinstance(data, dict) and "raise" in data:
            self.raised = True
            error = getattr(builtins, str(data["raise"][0]), None)
            raise error if isinstance(error, type) and issubclass(error, Exception) else Exception
        return from_data(data)

    def run(self, statements: str, functions: dict[str, str]) -> dict[str, object]:
        """`{"calls": ...}` that lack an answer, or `{"passed": True, False, or None}` where that cannot be said."""
        library = library_names()
        names = {name: library[name] for name in [*MODULES, *TEST_NAMES]}
        names |= {name: self.function(path) for name, path in functions.items()}
        library["random"].seed(0)  # type: ignore[attr-defined]
        passed: bool | None = True
        try:
            exec(compile(statements, "test.py", "exec", dont_inherit=True), names)
        except (NameError, ImportError, SyntaxError):
            passed = False if self.raised else None
        except BaseException:
            passed = False
        if self.calls:
            return {"calls": self.calls}
        return {"passed": None if self.cannot_call else passed}


def main() -> None:
    """Do what the request says and write the frame to where standard output was."""
    request = json.loads(sys.stdin.readline())
    frame_fd = os.dup(1)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    if "program" in request:
        answer = call_functions(request["program"], request["calls"])
    else:
        answer = json.dumps(Judge(request["answers"]).run(request["statements"], request["functions"]))
    frame = f"\n{request['marker']}{answer}\n".encode()
    while frame:
        frame = frame[os.write(frame_fd, frame) :]


if __name__ == "__main__":
    main()
