"""Self-play: the solutions that a model found in RL become the demonstrations of its next round.

Promises: every logged completion is either kept, or dropped and counted under one reason; no problem of an evaluation
set is kept; the result does not depend on the order of the log. Knows nothing about how a stage is trained.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
