"""Every error this package raises on purpose.

A message states the rule, the value received, and the way out.
"""

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The nearest of the known names, as a question to append to a message; empty if none is near."""
    return "".join(f" (did you mean {near!r}?)" for near in difflib.get_close_matches(name, sorted(known), n=1))


class RLSPError(Exception):
    """Base of all errors raised by `trl_rlsp`."""


class ConfigError(RLSPError, ValueError):
    """An argument or a recipe value that cannot work."""


class DataError(RLSPError, ValueError):
    """A row, a column or a file with the wrong content."""


class MissingColumnError(DataError):
    """A column that is needed and absent."""


class SourceError(RLSPError, FileNotFoundError):
    """A data source or a file that does not exist."""


class MissingDependencyError(RLSPError, ImportError):
    """An optional package that is not installed."""


class ServerError(RLSPError, ConnectionError):
    """A model server that does not answer, or not as needed."""


class WorkerError(RLSPError, RuntimeError):
    """Worker processes that cannot be started."""
