"""The commands of `rlsp`: each reads its arguments, calls what does the work, and prints.

Promises that whatever is wrong with settings or data is said before a model is loaded. Knows no method of its own;
nothing but `trl_rlsp.cli` is above it.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
