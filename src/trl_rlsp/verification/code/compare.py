"""Whether a program's answer is the expected one; runs outside the sandbox, on data only.

Output is compared word by word, as contest judges do: how words are spread over lines does not count, unless the
expected text itself is drawn with spaces. Where the expected word is a decimal number the two are compared as
numbers. Values are compared as JSON values with Python's equality of numbers (6 == 6.0). Tolerance is relative,
never absolute: 1e-9 is not 0.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

from trl_rlsp.verification.code.call_harness import SET_KEY, to_json

RELATIVE_TOLERANCE = 1e-6
_DECIMAL = re.compile(r"[+-]?(?:\d+\.\d*|\.\d+|\d+(?=[eE]))(?:[eE][+-]?\d+)?")
_MAX_WORD = 400  # longer words are not read as numbers


def same_output(stdout: bytes, expected: str) -> bool:
    """Compare what a program wrote with what it should have written.

    Args:
        stdout: bytes of standard output; not UTF-8 is never equal.
        expected: the expected text.

    Returns:
        Whether they agree.
    """
    try:
        text = stdout.decode("utf-8")
    except UnicodeDecodeError:
        return False
    if not _is_drawn(expected):
        return _same_words(text, expected)
    written, wanted = _lines(text), _lines(expected)
    return len(written) == len(wanted) and all(map(_same_line, written, wanted))


def _is_drawn(expected: str) -> bool:
    """Whether a line starts with a space or has several in a row: then spaces are part of the answer."""
    return any(line[:1] in (" ", "\t") or "  " in line for line in _lines(expected) if line)


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.replace("\r\n", "\n").rstrip().split("\n")]


def _same_line(written: str, wanted: str) -> bool:
    same_start = written[: len(written) - len(written.lstrip())] == wanted[: len(wanted) - len(wanted.lstrip())]
    decimals = any(map(_is_decimal, wanted.split()))
    return written == wanted or (decimals and same_start and _same_words(written, wanted))


def _same_words(written: str, wanted: str) -> bool:
    words, wanted_words = written.split(), wanted.split()
    return len(words) == len(wanted_words) and all(map(_same_word, words, wanted_words))


def _is_decimal(word: str) -> bool:
    return len(word) <= _MAX_WORD and _DECIMAL.fullmatch(word) is not None


def _same_word(written: str, wanted: str) -> bool:
    if written == wanted:
        return True
    if not _is_decimal(wanted) or not (_is_decimal(written) or re.fullmatch(r"[+-]?\d{1,300}", written)):
        return False
    return math.isclose(float(written), float(wanted), rel_tol=RELATIVE_TOLERANCE)


def json_value(value: Any) -> Any:
    """The JSON value of an expected value: tuples become lists, sets are marked, keys become strings.

    Args:
        value: plain Python data.

    Returns:
        Data as `json.loads` gives it.

    Raises:
        TypeError, ValueError, RecursionError: no JSON form.
    """
    return json.loads(to_json(value))


def same_value(actual: Any, expected: Any, *, rel_tol: float = RELATIVE_TOLERANCE, abs_tol: float = 0.0) -> bool:
    """Compare two JSON values.

    Args:
        actual: what the function returned.
        expected: what it should have returned; tolerance applies where this is a number with a decimal point.
        rel_tol: relative tolerance.
        abs_tol: absolute tolerance, only where a test states one.

    Returns:
        Whether they agree.
    """
    if isinstance(expected, list):
        return (
            isinstance(actual, list)
            and len(actual) == len(expected)
            and all(same_value(a, e, rel_tol=rel_tol, abs_tol=abs_tol) for a, e in zip(actual, expected, strict=True))
        )
    if isinstance(expected, dict) and expected.keys() == {SET_KEY}:
        return isinstance(actual, dict) and actual.keys() == {SET_KEY} and _texts(actual) == _texts(expected)
    if isinstance(expected, dict):
        return (
            isinstance(actual, dict)
            and actual.keys() == expected.keys()
            and all(same_value(actual[key], expected[key], rel_tol=rel_tol, abs_tol=abs_tol) for key in expected)
        )
    if isinstance(expected, float) and isinstance(actual, int | float):
        return _close(actual, expected, rel_tol, abs_tol)
    return bool(actual == expected) if _comparable(actual, expected) else False


def as_set(value: Any) -> Any:
    """The JSON value of `set(value)`, for tests that compare sets of what was returned.

    Args:
        value: a JSON value.

    Returns:
        The marked set; other values as they are.
    """
    if not isinstance(value, list):
        return value
    return {SET_KEY: [json.loads(text) for text in {json.dumps(item) for item in value}]}


def _texts(marked: Any) -> list[str]:
    members = marked[SET_KEY]
    return sorted(map(json.dumps, members)) if isinstance(members, list) else []


def _close(actual: float, expected: float, rel_tol: float, abs_tol: float) -> bool:
    try:
        return math.isclose(actual, expected, rel_tol=rel_tol, abs_tol=abs_tol)
    except OverflowError:  # an integer too large for a float
        return False


def _comparable(actual: Any, expected: Any) -> bool:
    numbers = isinstance(actual, int | float) and isinstance(expected, int | float)
    return numbers or type(actual) is type(expected)
