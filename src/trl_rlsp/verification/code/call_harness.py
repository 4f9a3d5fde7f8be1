"""The program that calls one function of a completion's program; runs inside the sandbox, alone.

Its source text is sent to the sandbox as it is, so it imports nothing of this package. It reads one line of
JSON from standard input (program, function, arguments, marker) and writes the marker and the returned value
as JSON. It knows no expected value: a program that writes the frame itself gains what it would by returning.
"""

import ast
import json
import os
import sys
import types
from collections.abc import Iterable
from json.encoder import encode_basestring_ascii as quote

SET_KEY = "__set__"


def to_json(value: object) -> str:
    """JSON text of a value made of plain types; tuples become arrays and sets are marked.

    Args:
        value: what a function returned. Only the methods of the plain types are called, not overridden ones.

    Returns:
        JSON in ASCII.

    Raises:
        TypeError: a value of another type.
    """
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
    if isinstance(value, tuple):
        return _array(tuple.__getitem__(value, slice(None)))
    if isinstance(value, dict):
        return "{" + ",".join([f"{_key(key)}:{to_json(item)}" for key, item in dict.items(value)]) + "}"
    if isinstance(value, set):
        return _marked_set(set.copy(value))
    if isinstance(value, frozenset):
        return _marked_set(frozenset.copy(value))
    raise TypeError(f"a {type(value).__name__} has no JSON form")


def _array(items: Iterable[object]) -> str:
    return "[" + ",".join([to_json(item) for item in items]) + "]"


def _marked_set(items: Iterable[object]) -> str:
    return f'{{"{SET_KEY}":[' + ",".join(sorted([to_json(item) for item in items])) + "]}"


def _key(key: object) -> str:
    """Keys as `json.dumps` writes them, tuples as their own JSON."""
    text = to_json(key)
    return text if text.startswith('"') else quote(text)


def _find(namespace: dict[str, object], name: str):  # type: ignore[no-untyped-def]
    if name not in namespace and isinstance(namespace.get("Solution"), type):
        return getattr(namespace["Solution"](), name)  # type: ignore[operator]
    return namespace[name]


def main() -> None:
    """Run the program, call its function, and write the frame to where standard output was."""
    request = json.loads(sys.stdin.readline())
    arguments = ast.literal_eval(request["arguments"])
    frame_fd = os.dup(1)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    module = types.ModuleType("solution")
    sys.modules["solution"] = module
    exec(compile(request["program"], "solution.py", "exec", dont_inherit=True), module.__dict__)
    function = _find(module.__dict__, request["function"])
    value = function(**arguments) if isinstance(arguments, dict) else function(*arguments)
    frame = f"\n{request['marker']}{to_json(value)}\n".encode()
    while frame:
        frame = frame[os.write(frame_fd, frame) :]


if __name__ == "__main__":
    main()
