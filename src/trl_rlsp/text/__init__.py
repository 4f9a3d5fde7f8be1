"""Parse what a model wrote: its final answer, its reasoning, how much of that is novel; and display it safely.

Promises: time linear in the length of any text, no state between calls but small caches, no heavy imports. Only `read`
decides what a final answer is. Whether an answer is right, and whether two that differ as text are equal, is decided in
`trl_rlsp.verification`.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
