"""Whether an answer is right: mathematics, programs and generated tasks.

Promises: code and symbols of a model are worked on in confined processes only, without files, network and secrets of
the trainer; a call returns by its deadline; what cannot be scored is `None` with a reason, never a number. Knows
nothing of rewards, problems and training, and asks no model.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
