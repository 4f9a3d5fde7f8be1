"""A recipe from data to report: its steps in order, each in processes of its own, resumed where it was cut off.

Promises that a step is skipped when it is complete, goes on from its checkpoint when it was cut off, and is refused
when its settings have changed. Knows what each step depends on and how many processes it takes; what a step does is
for the commands.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
