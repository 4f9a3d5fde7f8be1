"""Load problems or demonstrations from any source as rows for the trainers, the verifier and the evaluation.

Promises: any fault of a source is an error that names the place, before a model is loaded. Extracts answers from worked
solutions; does not depend on models, rewards or runs.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
