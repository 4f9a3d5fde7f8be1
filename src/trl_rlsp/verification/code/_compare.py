"""Compare a program's output with the expected one; runs outside the sandbox, on data only.

The rules are in `docs/code_sandbox.md`. Values are compared without constructing them, because a program can craft sets
and dicts whose hashes collide. Tolerance is relative, never absolute: 1e-9 is not 0.
"""

from __future__ import annotations

import json
import math
import re
from contextlib import suppress
from typing import Any

_RELATIVE_TOLERANCE = 1e-6
_DECIMAL = re.compile(r"[+-]?(?:\d+\.\d*|\.\d+|\d+(?=[eE]))(?:[eE][+-]?\d+)?")
_SETS = ("set", "frozenset")
_MAX_WORD = 400  # characters; longer words are not parsed as numbers


def same_output(stdout: bytes, expected: str) -> bool:
    """Whether a program's output is the expected text; output that is not UTF-8 never is."""
    try:
        text = stdout.decode("utf-8")
    except UnicodeDecodeError:
        return False
    written, wanted = _lines(text), _lines(expected)
    if not any(line[:1] in (" ", "\t") or "  " in line for line in wanted if line):
        return _same_words(text, expected)
    return len(written) == len(wanted) and all(map(_same_line, written, wanted))  # spaces are part of the answer


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.replace("\r\n", "\n").rstrip().split("\n")]


def _same_line(written: str, wanted: str) -> bool:
    indents = {line[: len(line) - len(line.lstrip())] for line in (written, wanted)}
    decimals = any(map(_is_decimal, wanted.split()))
    return written == wanted or (decimals and len(indents) == 1 and _same_words(written, wanted))


def _same_words(written: str, wanted: str) -> bool:
    words, wanted_words = written.split(), wanted.split()
    return len(words) == len(wanted_words) and all(map(_same_word, words, wanted_words))


def _same_word(written: str, wanted: str) -> bool:
    if written == wanted:
        return True
    if not _is_decimal(wanted) or not (_is_decimal(written) or re.fullmatch(r"[+-]?\d{1,300}", written)):
        return False
    return math.isclose(float(written), float(wanted), rel_tol=_RELATIVE_TOLERANCE)


def _is_decimal(word: str) -> bool:
    return len(word) <= _MAX_WORD and _DECIMAL.fullmatch(word) is not None


def same_value(actual: Any, expected: Any, *, exact: bool = False) -> bool:
    """Whether two values, encoded as data (see `_harness.to_data`), are equal: with `exact` by Python's `==`.

    Otherwise as in JSON: tuples are lists, keys of dicts are text; numbers with decimals have a relative tolerance.
    """
    if exact:
        return _text(actual) == _text(expected)
    actual, expected = (data.get("tuple", data) if isinstance(data, dict) else data for data in (actual, expected))
    if isinstance(expected, list):
        return isinstance(actual, list) and len(actual) == len(expected) and all(map(same_value, actual, expected))
    if isinstance(expected, float) and isinstance(actual, int | float):
        with suppress(OverflowError):  # an integer too large for a float
            return math.isclose(actual, expected, rel_tol=_RELATIVE_TOLERANCE)
        return False
    if isinstance(expected, dict) and isinstance(actual, dict) and "dict" in expected.keys() & actual.keys():
        found, wanted = ({_key(k): v for k, v in data["dict"]} for data in (actual, expected))
        return found.keys() == wanted.keys() and all(same_value(found[key], wanted[key]) for key in wanted)
    return _text(actual) == _text(expected)


def _key(data: Any) -> str:
    return data if isinstance(data, str) else json.dumps(data)


def _text(value: Any) -> str:
    """Text that is the same for equal values: sets sorted, whole numbers without a decimal point."""
    if isinstance(value, list):
        return f"[{','.join(map(_text, value))}]"
    if isinstance(value, dict):
        [(kind, items)] = value.items()
        texts = list(map(_text, items))
        return f"{'set' if kind in _SETS else kind}:[{','.join(sorted(texts) if kind in (*_SETS, 'dict') else texts)}]"
    if isinstance(value, bool) or (isinstance(value, float) and value.is_integer()):
        value = int(value)
    return json.dumps(value)
