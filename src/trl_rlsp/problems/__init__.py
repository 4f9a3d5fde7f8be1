"""Any source of problems or demonstrations, as rows that the trainers, the verifier and the evaluation read.

Promises: whatever is wrong with a source is an error that names the place, before a model is loaded. Knows how answers
stand in worked solutions; knows nothing of models, rewards and runs.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
