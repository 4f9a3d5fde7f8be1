"""Sampling completions for a list of prompts: one interface, three engines (transformers, vLLM, a server).

Promises: a completion is drawn from the distribution that `Sampling` describes, whatever the checkpoint's own settings
and whatever else is in its batch. Also the one client of OpenAI-compatible servers. Knows nothing of rewards, verdicts
or files.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
