"""A recipe from data to report: its steps in order, each in its own processes, resumed if they were interrupted.

Promises: a complete step is skipped, an interrupted one continues from its checkpoint, and one whose settings have
changed is refused. Knows the dependencies and the number of processes of each step; the commands do the work.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
