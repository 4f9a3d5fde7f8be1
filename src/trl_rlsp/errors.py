"""All errors that this package raises on purpose.

Each message states the rule, the value received, and how to fix it.
"""

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The closest known name, as a question to append to a message; empty if none is close."""
    return "".join(f" (did you mean {near!r}?)" for near in difflib.get_close_matches(name, sorted(known), n=1))


class RLSPError(Exception):
    """Base class of all errors raised by `trl_rlsp`."""


class ConfigError(RLSPError, ValueError):
    """An invalid argument or recipe value."""


class DataError(RLSPError, ValueError):
    """A row, column or file with invalid content."""


class MissingColumnError(DataError):
    """A required column that is missing."""


class SourceError(RLSPError, FileNotFoundError):
    """A data source or file that does not exist."""


class MissingDependencyError(RLSPError, ImportError):
    """An optional package that is not installed."""


class ServerError(RLSPError, ConnectionError):
    """A model server that does not respond, or whose response cannot be used."""


class WorkerError(RLSPError, RuntimeError):
    """Worker processes that cannot be started."""
