"""Self-play: what a model found out in RL becomes the demonstrations of its next round.

Promises: every logged completion is either kept or dropped for one reason that is counted; no problem of an evaluation
set gets in; the result does not depend on the order of the log. Does not know how a stage is trained.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
