"""The console of every command: text of data sets and models is shown as text, whatever it holds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from trl_rlsp.text.visible import visible_text


class Terminal(Console):
    """A `rich` console in which strings are no markup and control characters are shown by their number.

    A data set's level `[/x]` is not a closing tag, and an escape sequence in a completion does not reach the terminal.
    Styles are given as `style=...` or `rich.text.Text`.

    Example:
        >>> Terminal(width=40).print("level [/x] \\x1b[2J")
        level [/x] ⟨U+001B⟩[2J
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"markup": False, "highlight": False, "emoji": False, **options})

    def render_str(self, text: str, **options: Any) -> Text:
        """A string with its hidden characters made visible before its width is measured."""
        return super().render_str(visible_text(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Segments of a renderable, with hidden characters made visible."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else visible_text(text), style, control)
