"""The memory that a stage needs on each GPU and its hours, computed from its settings and the model's configuration.

Promises: each part of the memory is tested against what torch, peft and bitsandbytes allocate, each assumption about
time is named, and no weights are loaded. Knows nothing about the data but the number of rows and of tokens it is given.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
