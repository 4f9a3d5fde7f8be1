"""Comparing outputs and values, worked out by hand, and taking the program from a completion."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trl_rlsp.text import read
from trl_rlsp.verification.code._compare import same_output, same_value
from trl_rlsp.verification.code._harness import to_data

OUTPUTS = [
    (b"6\n2\n", "6\n2", True),
    (b"6  \r\n2\n\n\n", "6\n2\n", True),
    (b"6 2\n", "6\n2\n", True),
    (b"62\n", "6\n2\n", False),
    (b"2\n6\n", "6\n2\n", False),
    (b"6\n2\nmore\n", "6\n2\n", False),
    (b"\n6\n2\n", "6\n2\n", True),
    (b"  *\n ***\n", "  *\n ***", True),
    (b"*\n***\n", "  *\n ***", False),
    (b"a b\n", "a   b\n", False),
    (b" 1.50   x\n", " 1.5   x\n", True),
    (b"", "", True),
    (b"", "0", False),
    (b"\xff6", "6", False),
    (b"0.3333333333\n", "0.333333333", True),
    (b"0.3334\n", "0.3333\n", False),
    (b"x 1 2\n", "x 1.0 2\n", True),
    (b"6.0\n", "6\n", False),  # the expected word is an integer, so the text must agree
    (b"1e-9\n", "0.0\n", False),
    (b"-0.0\n", "0.0\n", True),
    (b"nan\n", "0.5\n", False),
    (b"inf\n", "1e999\n", False),
    (b"yes\n", "YES\n", False),
]


@pytest.mark.parametrize(("stdout", "expected", "same"), OUTPUTS)
def test_outputs(stdout: bytes, expected: str, same: bool) -> None:
    assert same_output(stdout, expected) is same


VALUES = [  # (returned, expected, equal as JSON values, equal in Python)
    (6.0, 6, True, True),
    (6.0000001, 6, False, False),  # tolerance only where a decimal point is expected
    (0.30000000000000004, 0.3, True, False),
    (1e-12, 0.0, False, False),
    (float("nan"), 0.5, False, False),
    (True, 1, True, True),
    ("6", 6, False, False),
    (None, 0, False, False),
    ([1, [2]], [1, [2]], True, True),
    ([1], [1, 2], False, False),
    ((1, 2), [1, 2], True, False),
    ([1, 2], (1, 2), True, False),
    ((1, (2,)), (1, (2,)), True, True),
    ({"a": 1.0}, {"a": 1}, True, True),
    ({"b": 2, "a": 1}, {"a": 1, "b": 2}, True, True),
    ({"a": 1}, {"a": 1, "b": 2}, False, False),
    ({1: "x"}, {"1": "x"}, True, False),
    ({(1, 2): 3}, {(1, 2): 3}, True, True),
    ({1.0: 2}, {True: 2}, False, True),
    (10**400, 1.5, False, False),
    ({2, 1}, {1, 2}, True, True),
    ({1, 2, 3}, {1, 2}, False, False),
    (frozenset([1.0]), {1}, True, True),
    ({(1, 2)}, {(1, 2)}, True, True),
    ([1, 2], {1, 2}, False, False),
    (iter([1]), [1], False, False),
    (b"a", b"a", True, True),
]


@pytest.mark.parametrize(("actual", "expected", "same", "equal"), VALUES)
def test_values(actual: Any, expected: Any, same: bool, equal: bool) -> None:
    actual, expected = json.loads(to_data(actual)), json.loads(to_data(expected))
    assert same_value(actual, expected) is same
    assert same_value(actual, expected, exact=True) is equal


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(), inner, max_size=4)
    ),
    max_leaves=10,
)


@given(PLAIN, PLAIN)
def test_values_are_compared_as_python_does(one: Any, other: Any) -> None:
    data, others = json.loads(to_data(one)), json.loads(to_data(other))
    assert same_value(data, data, exact=True)
    assert same_value(data, data)
    assert same_value(data, others, exact=True) is (one == other)


@given(st.sets(st.integers(0, 3) | st.booleans() | st.sampled_from([1.0, 0.5, (1, 2), (1.0, 2)])))
def test_sets_are_compared_as_python_does(one: set[Any]) -> None:
    other = {1, (1, 2), 0.5}
    assert same_value(json.loads(to_data(one)), json.loads(to_data(other)), exact=True) is (one == other)


COMPLETIONS = [
    ("```python\nprint(1)\n```", "print(1)\n"),
    ("```\na\n```\ntext\n```py\nb\n```\n", "b\n"),
    ("```python\na\n```\nOutput:\n```text\n6\n```", "a\n"),
    ("<think>\n```python\na\n```\n</think>\n```python\nb\n```", "b\n"),
    ("<think>\n```python\na\n```\n</think>\nNo code.", None),
    ("<think>\n```python\na\n```\n", None),
    ("```python\na\n```\n```python\nb", "a\n"),
    ("```python\nb", None),
    ("```python\n\n```", None),
    ("1. So\n   ```python\n   if x:\n     y\n   ```", "if x:\n  y\n"),
    ("~~~~python\n~~~\nx\n~~~~", "~~~\nx\n"),
    ("```Python3 title=x\r\na\r\n```", "a\n"),
    ("use ```x``` here", None),
    ("", None),
    (None, None),
]


@pytest.mark.parametrize(("text", "program"), COMPLETIONS)
def test_the_program_of_a_completion(text: str | None, program: str | None) -> None:
    assert read(text, "code").answer == program


@pytest.mark.parametrize("text", ["```" * 10**6, "``` " + " " * 10**6 + "x", "```\n" * 10**6, " " * 10**6 + "`"])
def test_extraction_takes_no_time_on_hostile_text(text: str) -> None:
    start = time.process_time()
    read(text, "code")
    assert time.process_time() - start < 5.0
