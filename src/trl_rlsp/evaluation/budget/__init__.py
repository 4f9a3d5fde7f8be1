"""Search at inference time: how long a model may think, how often it is sampled, and the accuracy that both buy.

`ThinkingBudget` cuts or continues completions to a budget of reasoning tokens, with any engine and a sample store; a
`Rule` stops repeated sampling when the votes agree; a `Bench` measures both. Models and tokenizers belong to the
engine, answers to the verifier.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
