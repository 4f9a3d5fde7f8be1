"""The five search behaviours, and one occurrence of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["backtracking", "verification", "alternatives", "self_correction", "subgoals"]

KINDS: tuple[Kind, ...] = ("backtracking", "verification", "alternatives", "self_correction", "subgoals")
"""What is looked for, in the order of every table."""

MEANINGS: dict[Kind, str] = {
    "backtracking": "gives up the present line of attack and returns to an earlier point, or starts over",
    "verification": "checks a result or a step that it already has",
    "alternatives": "names another approach to what it is working on",
    "self_correction": "finds a mistake of its own and repairs it",
    "subgoals": "sets itself an intermediate goal, or splits the problem into parts",
}
"""What the author of a text does where a behaviour is found; the labels of the test snippets follow it."""


@dataclass(frozen=True, order=True)
class Behaviour:
    """One occurrence of a behaviour.

    Attributes:
        start: offset of its first character in the text.
        end: offset after its last character.
        kind: one of `KINDS`.
    """

    start: int
    end: int
    kind: Kind
