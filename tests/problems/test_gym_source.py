"""Task and parameters out of a source string."""

from __future__ import annotations

import sys
from typing import Literal, Optional

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trl_rlsp.errors import ConfigError, MissingDependencyError
from trl_rlsp.problems.gym import _typed, parse_source


@pytest.mark.parametrize(
    ("text", "annotation", "value"),
    [
        ("3", int, 3),
        ("3", float, 3.0),
        ("a=b", str, "a=b"),
        ("True", bool, True),
        ("0", bool, False),
        ("none", Optional[int], None),  # noqa: UP045  (as reasoning-gym annotates)
        ("7", Optional[int], 7),  # noqa: UP045
        ("7", int | None, 7),
        ("x", int | str, "x"),
        ("1,2", list[int], [1, 2]),
        ("1,x", tuple[int, str], (1, "x")),
        ("+,-", tuple, ("+", "-")),
        ("0.5,1", tuple[float, ...], (0.5, 1.0)),
        ("a,b", list, ["a", "b"]),
        ("fast", Literal["fast", "slow"], "fast"),
        ('{"a": 1}', dict[str, int], {"a": 1}),
    ],
)
def test_typed(text, annotation, value):
    typed = _typed(text, annotation)
    assert typed == value
    assert type(typed) is type(value)


@settings(deadline=None)
@given(st.integers(), st.integers(min_value=2, max_value=9))
def test_numbers_survive(seed, numbers):
    task, params = parse_source(f"reasoning_gym:countdown?min_numbers={numbers}&seed={seed}")
    assert (task, params) == ("countdown", {"min_numbers": numbers, "seed": seed})


def test_percent_encoding_and_plain_plus():
    _, params = parse_source("reasoning_gym:countdown?operators=+,-&shuffle=false", seed=5)
    assert params == {"operators": ("+", "-"), "shuffle": False, "seed": 5}
    assert parse_source("reasoning_gym:countdown?operators=%2B,%2D")[1]["operators"] == ("+", "-")
    assert parse_source("reasoning_gym:countdown")[1] == {"seed": 0}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("countdwn", r"no task 'countdwn' \(did you mean 'countdown'\?\); it has .*chain_sum"),
        ("", "no task ''"),
        ("countdown?max_number=3", r"no parameter 'max_number' \(did you mean 'max_numbers'\?\).*min_target"),
        ("countdown?min_numbers=three", "requires min_numbers=int, got 'min_numbers=three'"),
        ("countdown?min_numbers", r"requires min_numbers=int, got 'min_numbers' \(no value\)"),
        ("countdown?shuffle=perhaps", "must be one of true, false, 1, 0, yes, no"),
        ("basic_arithmetic?format_style=long", "must be one of simple, natural"),
        ("composite?datasets=1", r"requires datasets=.*which a source string cannot hold"),
    ],
)
def test_errors(source, message):
    with pytest.raises(ConfigError, match=message):
        parse_source(f"reasoning_gym:{source}")


def test_missing_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "reasoning_gym", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "trl-rlsp\[gym\]"'):
        parse_source("reasoning_gym:countdown")
