"""Formulas become MathML while the site is built, so that a page needs neither a script nor the network for them.

The two forms are those that GitHub renders too: a fenced block of the language `math`, and $`...`$ within a line.
"""

from __future__ import annotations

import re
from typing import Any
from xml.etree.ElementTree import Element

from latex2mathml.converter import convert, convert_to_element
from markdown import Markdown
from markdown.extensions import Extension
from markdown.inlinepatterns import InlineProcessor
from markdown.preprocessors import Preprocessor

BLOCK = re.compile(r"^```math\n(.*?)\n```$", re.MULTILINE | re.DOTALL)
INLINE = r"\$`([^`]+)`\$"


class Blocks(Preprocessor):
    """Formulas on lines of their own."""

    def run(self, lines: list[str]) -> list[str]:
        """The lines, with a placeholder for each formula."""

        def stash(match: re.Match[str]) -> str:
            html = f'<div class="formula">{convert(match[1], display="block")}</div>'
            return f"\n{self.md.htmlStash.store(html)}\n"

        return BLOCK.sub(stash, "\n".join(lines)).split("\n")


class Inline(InlineProcessor):
    """Formulas within a line."""

    def handleMatch(self, m: re.Match[str], data: str) -> tuple[Element, int, int]:
        """The formula's element and the place of what it replaces."""
        return convert_to_element(m[1]), m.start(0), m.end(0)


class MathML(Extension):
    """Both, before fenced code and code spans are looked for."""

    def extendMarkdown(self, md: Markdown) -> None:
        """Register with a Markdown converter."""
        md.preprocessors.register(Blocks(md), "mathml_blocks", 28)
        md.inlinePatterns.register(Inline(INLINE, md), "mathml_inline", 195)


def on_config(config: Any) -> Any:
    """MkDocs's hook: add the extension to those of `mkdocs.yml`."""
    config.markdown_extensions.append(MathML())
    return config
