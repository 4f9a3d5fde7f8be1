"""Every error this package raises on purpose.

A message states the rule, the value received, and the way out.
"""


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
