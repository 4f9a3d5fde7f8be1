"""Search behaviors in completions: backtracking, verification, alternatives, self-correction, subgoals.

Promises linear time, and precision and recall that are measured on labeled snippets (`docs/behaviours.md`). Knows
nothing of rewards and runs; whether an answer is right it asks the caller.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
