"""A Griffe extension: the doctests under `Example:` of a docstring are shown as code."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object


class Examples(Extension):
    """`Example:` is what the docstrings say, `Examples:` the section that Griffe reads as doctests."""

    def on_object(self, *, obj: Object, **kwargs: Any) -> None:
        """Rename the section."""
        if obj.docstring:
            obj.docstring.value = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)
