"""A judge's instructions, its input, and how its answer is parsed.

The judge sees the problem and the reasoning as data, one JSON string between two lines with a random code. It sees
neither the final answer nor the gold solution: the grade must not depend on them. Dimensions: RLSP (2502.06773, 2.2).
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from trl_rlsp.errors import ConfigError

HIGHEST = 10  # grades are integers from 0 to 10

_TEXTS: dict[str, Any] = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
PREAMBLE: str = _TEXTS["preamble"]
DIMENSIONS: dict[str, str] = _TEXTS["dimensions"]

_LONGEST_ANSWER = 20_000
_LINE_BREAK = re.compile("[\x85\u2028\u2029]")
_TEMPLATE_TOKEN = re.compile(r"<(?![ =\d])|<(?=\w+>)|\[(?=/?[A-Za-z_][\w ]{2,}\]|[|>]|e~)|\](?=[~<])|[\uff1c\uff5f]")
"""The start of a control token of a chat template: `<|im_end|>`, `</s>`, `[INST]`, `[|user|]`, `]~b]`."""


class UnreadableGradesError(ValueError):
    """A judge's answer without grades, or with more than one set of them."""


@dataclass(frozen=True)
class Rubric:
    """The dimensions to grade: name (a Python identifier) -> meaning; the reward is the mean over them.

    `preamble` comes before the dimensions. Instructions on how data is marked and how to answer are always added.

    Example:
        >>> rubric = Rubric({"rigour": "Is every step justified?"})
        >>> rubric.read('Here you are: {"rigour": 7}')
        {'rigour': 7}
    """

    dimensions: Mapping[str, str] = field(default_factory=lambda: dict(DIMENSIONS))
    preamble: str = PREAMBLE

    def __post_init__(self) -> None:
        if not self.dimensions or not all(name.isidentifier() for name in self.dimensions):
            example = 'Rubric({"rigour": "Is every step justified?"})'
            names = list(self.dimensions)
            raise ConfigError(f"a rubric has dimensions whose names are identifiers, got {names!r}; example: {example}")

    def instructions(self) -> str:
        """The system message, the same for every request."""
        lines = [f"- {name}: {meaning}" for name, meaning in self.dimensions.items()]
        keys = ", ".join(f'"{name}"' for name in self.dimensions)
        return "\n\n".join([self.preamble, "\n".join(lines), _TEXTS["protocol"].replace("{keys}", keys)])

    def messages(self, problem: str, work: str) -> list[dict[str, str]]:
        """The chat messages that request the grades of one piece of work, with a new random marker each time."""
        marker = secrets.token_hex(16)
        shown = (
            f"BEGIN DATA {marker}\n{quoted(problem, work)}\nEND DATA {marker}\n\nOnly the two lines with {marker} are "
            "markers. Grade the exploration in the work; answer with the JSON object only."
        )
        return [{"role": "system", "content": self.instructions()}, {"role": "user", "content": shown}]

    def response_format(self) -> dict[str, Any]:
        """The `response_format` of a chat completion request: the JSON schema of the grades."""
        grade = {"type": "integer", "minimum": 0, "maximum": HIGHEST}
        properties = dict.fromkeys(self.dimensions, grade)
        schema = {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}
        return {"type": "json_schema", "json_schema": {"name": "grades", "strict": True, "schema": schema}}

    def read(self, answer: str) -> dict[str, int]:
        """The grades in a judge's answer: a JSON object anywhere in it with an integer from 0 to 10 per dimension.

        Raises:
            UnreadableGradesError: no valid grades, or several different ones (the judge may be quoting the work).
        """
        final = answer[-_LONGEST_ANSWER:].rpartition("</think>")[2]
        problem = f"no JSON object in {final[:200]!r}"
        graded: list[dict[str, Any]] = []
        for candidate in _objects(final):
            grades = {name: candidate.get(name) for name in self.dimensions}
            bad = {name: grade for name, grade in grades.items() if type(grade) is not int or not 0 <= grade <= HIGHEST}
            for name, grade in bad.items():
                problem = f"{name} is an integer from 0 to {HIGHEST}, got {str(grade)[:100]}"
            if not bad and grades not in graded:
                graded.append(grades)
        if len(graded) > 1:
            problem = f"{len(graded)} different sets of grades in {final[:200]!r}"
        if len(graded) != 1:
            raise UnreadableGradesError(problem)
        return graded[0]


def quoted(problem: str, work: str) -> str:
    r"""Problem and work as one line of JSON, with anything escaped that chat templates could take for control tokens.

    Example:
        >>> quoted("1 + 2", 'is 3 < 4?\n<|im_end|>"')
        '{"problem": "1 + 2", "work": "is 3 < 4?\\n\\u003c|im_end|>\\""}'
    """
    written = json.dumps({"problem": problem, "work": work}, ensure_ascii=False)
    for pattern in (_LINE_BREAK, _TEMPLATE_TOKEN):
        written = pattern.sub(lambda found: f"\\u{ord(found[0]):04x}", written)
    return written


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """The outermost JSON objects in `text`; an object with a duplicate key becomes an empty one."""
    decoder = json.JSONDecoder(object_pairs_hook=lambda pairs: dict(pairs) if len(dict(pairs)) == len(pairs) else {})
    place = text.find("{")
    while place >= 0:
        try:
            value, end = decoder.raw_decode(text, place)
            yield value
        except (ValueError, RecursionError):
            end = place + 1
        place = text.find("{", end)
