"""The commands of `rlsp`: each parses its arguments, calls the library, and prints the result.

Promises: invalid settings and data are reported before a model is loaded. Contains no method of its own; only
`trl_rlsp.cli` imports it.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
