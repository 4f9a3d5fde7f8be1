"""The program in a completion: the last closed fenced block of Python after the reasoning."""

from __future__ import annotations

import textwrap

REASONING_START, REASONING_END = "<think>", "</think>"
MIN_FENCE = 3
_PYTHON_LABELS = ("", "python", "python3", "py", "py3")


def extract_code(text: str | None) -> str | None:
    """Take the program from a completion.

    Blocks labelled with another language are passed over, and so is a block that was never closed: the
    completion was cut off. Text before `</think>` is reasoning; where `<think>` is never closed, all is.

    Args:
        text: the completion.

    Returns:
        Source text, or `None` where there is no such block or it is empty.

    Example:
        >>> extract_code("<think>```python\\n1\\n```</think>So:\\n```python\\nprint(2)\\n```")
        'print(2)\\n'
    """
    if not text:
        return None
    _, ended, answer = text.rpartition(REASONING_END)
    if not ended and REASONING_START in text:
        return None
    programs = _python_blocks(answer)
    return programs[-1] if programs and programs[-1].strip() else None


def _python_blocks(text: str) -> list[str]:
    blocks: list[str] = []
    opening, label, indented, lines = "", "", False, []  # type: str, str, bool, list[str]
    for line in text.replace("\r\n", "\n").split("\n"):
        fence, rest = _fence(line)
        if not opening:
            if fence and "`" not in rest:
                label = rest.split()[0].lower() if rest else ""
                opening, indented, lines = fence, line[0] in " \t", []
        elif fence.startswith(opening) and not rest:
            if label in _PYTHON_LABELS:
                program = "\n".join([*lines, ""])
                blocks.append(textwrap.dedent(program) if indented else program)
            opening = ""
        else:
            lines.append(line)
    return blocks


def _fence(line: str) -> tuple[str, str]:
    """The backticks or tildes a line starts with, and what follows them; empty where it is no fence."""
    content = line.strip()
    for mark in "`~":
        rest = content.lstrip(mark)
        if len(content) - len(rest) >= MIN_FENCE:
            return mark * (len(content) - len(rest)), rest.strip()
    return "", content
