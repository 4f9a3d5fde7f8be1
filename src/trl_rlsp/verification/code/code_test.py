"""One test of a program."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CodeTest:
    """What a program is given and what must come back: text, a value, or the truth of statements about values.

    Attributes:
        expected: the text to be written, or the data (`call_harness.to_data`) of the value to be returned.
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
