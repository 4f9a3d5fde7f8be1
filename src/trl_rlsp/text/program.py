"""The program in a completion: the last closed fenced block of Python after the reasoning."""

from __future__ import annotations

import textwrap

from trl_rlsp.text.found import Found

MIN_FENCE = 3
_PYTHON_LABELS = ("", "python", "python3", "py", "py3")


def last_program(text: str, start: int = 0) -> tuple[int, str | None]:
    """The last program of `text` from `start` on, and where its fence begins.

    Blocks labelled with another language are passed over, and so is a block that was never closed: the completion
    was cut off.

    Returns:
        (index of the fence's line, source text); (length of `text`, `None`) where there is no program or it is empty.

    >>> last_program("So:\\n```python\\nprint(2)\\n```")
    (4, 'print(2)\\n')
    """
    last = (len(text), "")
    opening, label, indented, begin, lines = "", "", False, 0, []  # type: str, str, bool, int, list[str]
    position = start
    for raw in text[start:].split("\n"):
        line = raw.removesuffix("\r")
        fence, rest = _fence(line)
        if not opening:
            if fence and "`" not in rest:
                label = rest.split()[0].lower() if rest else ""
                opening, indented, begin, lines = fence, line[0] in " \t", position, []
        elif fence.startswith(opening) and not rest:
            if label in _PYTHON_LABELS:
                program = "\n".join([*lines, ""])
                last = begin, textwrap.dedent(program) if indented else program
            opening = ""
        else:
            lines.append(line)
        position += len(raw) + 1
    return (last[0], last[1]) if last[1].strip() else (len(text), None)


def _fence(line: str) -> tuple[str, str]:
    """The backticks or tildes a line starts with, and what follows them; empty where it is no fence."""
    content = line.strip()
    for mark in "`~":
        rest = content.lstrip(mark)
        if len(content) - len(rest) >= MIN_FENCE:
            return mark * (len(content) - len(rest)), rest.strip()
    return "", content


def find_program(text: str, start: int) -> Found:
    """The last program of `text` from `start` on as its final answer."""
    at, program = last_program(text, start)
    return Found(at, program, None if program else "no_answer")
