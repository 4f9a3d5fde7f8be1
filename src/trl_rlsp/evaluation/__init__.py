"""Evaluating a model: completions are sampled, kept on disk and scored; metrics have intervals over problems.

Promises: unscorable completions score `None` and are counted; a killed evaluation can be resumed; two models are
compared problem by problem; the answers and the difficulty of a dataset can be checked before training on it. Knows
nothing about training runs, stages or commands. Thinking budgets and voting budgets are in `budget`.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
