"""The code blocks of a Markdown page: language, text, place, and the mark of those that are not run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(
    r"^(?P<indent> *)(?P<fence>`{3,})(?P<language>[^\n`]*)\n(?P<text>.*?)^(?P=indent)(?P=fence) *$", re.M | re.S
)
MARK = re.compile(r"<!-- not run: (.+?) -->\s*\Z", re.S)
INDENTED = re.compile(r"(?:\A|\n\n)(?: {4}|\t)(?!\s*[-*\d])")
COMMAND = re.compile(r"`(?:rlsp|python -m trl_rlsp) ([a-z]+)")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Args:
        page: the file.
        line: number of its first line of code, from 1.
        language: what stands after the fence; empty if nothing does.
        text: the code.
        not_run: the reason that `<!-- not run: REASON -->` before it gives, if it does.
    """

    page: Path
    line: int
    language: str
    text: str
    not_run: str | None

    @property
    def place(self) -> str:
        """`file:line`, for messages."""
        return f"{self.page}:{self.line}"


def blocks_in(page: Path, text: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    found = []
    for match in FENCE.finditer(text):
        mark = MARK.search(text[: match.start()])
        line = text.count("\n", 0, match.start("text")) + 1
        code = re.sub(rf"^{match['indent']}", "", match["text"], flags=re.M)
        found.append(Block(page, line, match["language"].strip(), code, mark[1] if mark else None))
    return found


def prose_of(text: str) -> str:
    """A page without its fenced blocks."""
    return FENCE.sub("", text)


def indented_code(text: str) -> list[int]:
    """Lines at which code begins that is marked by four spaces only, so that nothing says what it is."""
    blank = FENCE.sub(lambda match: "-" + "\n" * match[0].count("\n"), text)
    return [blank.count("\n", 0, match.end()) + 1 for match in INDENTED.finditer(blank)]


def commands_named(text: str) -> set[str]:
    """The commands of `rlsp` that prose names in code spans."""
    return set(COMMAND.findall(prose_of(text)))
