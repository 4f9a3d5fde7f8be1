"""The program in a completion: the last closed fenced block of Python after the reasoning."""

from __future__ import annotations

import re
import textwrap

from trl_rlsp.text.found import Found

_FENCE = re.compile(r"^(?P<indent>[^\S\n]*)(?P<fence>`{3,}|~{3,})(?P<rest>[^\n]*)$", re.MULTILINE)
_PYTHON_LABELS = ("", "python", "python3", "py", "py3")


def find_program(text: str, start: int) -> Found:
    """The last program of `text` from `start` on, and where its fence begins.

    Blocks labeled with another language are passed over, and so is a block that was never closed: the completion
    was cut off.

    >>> find_program("So:\\n```python\\nprint(2)\\n```", 0).answer
    'print(2)\\n'
    """
    found = Found(None, None, "no_answer")
    answer = text[start:]
    opening: re.Match[str] | None = None
    for line in _FENCE.finditer(answer):
        rest = line["rest"].strip()
        if opening is None:
            opening = line if "`" not in rest else None
        elif line["fence"].startswith(opening["fence"]) and not rest:
            found = _program(answer, opening, line, start) or found
            opening = None
    return found


def _program(answer: str, opening: re.Match[str], closing: re.Match[str], start: int) -> Found | None:
    """What stands between two fences, if it is Python."""
    label = opening["rest"].split()
    if label and label[0].lower() not in _PYTHON_LABELS:
        return None
    program = answer[opening.end() + 1 : closing.start()].replace("\r\n", "\n")
    if not program.strip():
        return Found(None, None, "no_answer")
    return Found(start + opening.start(), textwrap.dedent(program) if opening["indent"] else program, None)
