"""Verify answers: mathematics, programs and generated tasks.

Promises: a model's code and expressions are evaluated only in confined processes, without the trainer's files, network
or secrets; a call returns by its deadline; an answer that cannot be scored gets `None` and a reason, never a number.
Does not depend on rewards, problems or training, and queries no model.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
