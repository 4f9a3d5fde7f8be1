"""Sample completions for a list of prompts: one interface, three engines (transformers, vLLM, a server).

Promises: a completion is drawn from the distribution that `Sampling` describes, regardless of the checkpoint's own
generation settings and of the rest of its batch. Also contains the client for OpenAI-compatible servers. Does not
depend on rewards, verdicts or files.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
