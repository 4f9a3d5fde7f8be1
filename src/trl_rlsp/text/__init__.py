"""Reading what a model wrote: its final answer, its reasoning, how much of that is new, how to show it safely.

Promises: time linear in the text whatever it holds, nothing kept between calls, no heavy import. `read` is the only
place that knows what a final answer is. Knows nothing of right and wrong: whether an answer is right, and whether two
that differ as text are equal, is decided in `trl_rlsp.verification`.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
