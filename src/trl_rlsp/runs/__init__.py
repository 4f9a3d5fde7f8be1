"""The files that a run left on disk: its completions, its evaluations and the history of its metrics.

Promises: completions have one reader and one record, whether TRL's trainer or `rlsp eval` logged them; files are never
changed; an unreadable file raises an error that names it. Knows nothing about how a run is made: stages and their
settings are in `trl_rlsp.stages` and `trl_rlsp.pipeline`.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
