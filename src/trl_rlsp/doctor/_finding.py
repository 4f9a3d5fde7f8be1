"""What the doctor has to say about one setting of a stage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "not checked"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "not checked")


@dataclass(frozen=True)
class Finding:
    """Something in a stage's settings that a person should look at before a GPU is paid for.

    Attributes:
        check: name of the check, stable between versions.
        severity: "error" cannot work or trains nothing, "warning" works but costs, "not checked" could not be told.
        what: what is found, in one sentence.
        why: what comes of it; for "not checked" what was in the way.
        change: the YAML line, or what to do where no line mends it; empty for "not checked".
    """

    check: str
    severity: Severity
    what: str
    why: str
    change: str = ""

    @property
    def field(self) -> str | None:
        """The YAML field that `change` sets, if it is a line.

        Example:
            >>> Finding("bf16", "error", "", "", "bf16: false").field
            'bf16'
            >>> Finding("disk", "error", "", "", "free some space").field
        """
        name, colon, _ = self.change.partition(":")
        return name if colon and name.isidentifier() else None


def error(what: str, why: str, change: str) -> Finding:
    """What cannot work or trains nothing; `examine` writes down whose finding it is."""
    return Finding("", "error", what, why, change)


def warning(what: str, why: str, change: str) -> Finding:
    """What works but costs."""
    return Finding("", "warning", what, why, change)


def unchecked(what: str, why: str) -> Finding:
    """What could not be told."""
    return Finding("", "not checked", what, why)
