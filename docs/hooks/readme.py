"""The first part of README.md on the site's first page, so that it is written once.

A line `<!-- readme: from "HEADING" to "HEADING" -->` becomes the lines of README.md from the first heading on, up to
the second. Links into `docs/` are made relative to it; of another link of the repository only what it says is kept.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError

MARK = re.compile(r'^<!-- readme: from "(.+)" to "(.+)" -->$', re.MULTILINE)
LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?://|#)([^)]+)\)")


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """MkDocs's hook: replace the mark."""
    readme = Path(config.config_file_path).parent / "README.md"
    return MARK.sub(lambda match: part(readme.read_text(encoding="utf-8"), match[1], match[2]), markdown)


def part(text: str, first: str, last: str) -> str:
    """The lines from one heading on, up to another.

    Raises:
        PluginError: a heading that README.md does not have.
    """
    lines = text.splitlines()
    for heading in (first, last):
        if heading not in lines:
            raise PluginError(f"README.md has no line {heading!r}, which docs/index.md asks for")
    return LINK.sub(relative, "\n".join(lines[lines.index(first) : lines.index(last)]))


def relative(match: re.Match[str]) -> str:
    """A link of README.md as one of the site."""
    image, said, target = match.groups()
    return f"{image}[{said}]({target.removeprefix('docs/')})" if target.startswith("docs/") else said
