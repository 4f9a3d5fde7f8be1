"""Measuring a model: completions drawn and kept on disk, scored by the verifier, metrics with intervals over problems.

Promises: what could not be scored is `None` and counted, never a number; a run that was killed goes on; two models
are compared problem by problem; the answers and the difficulty of a dataset are checked before it is trained on.
Knows nothing of training runs, stages and commands. Budgets of thinking and of votes are in `budget`.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
