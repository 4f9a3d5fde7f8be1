"""What a stage's file may say, how a command line overrides it, and what the stage's folder remembers.

Promises one grammar for every command, errors that name the field and the nearest one, and a folder that belongs to
one run. Reads settings and what they name (data, tokenizer, a model's configuration), never weights. Does not know how
a stage is run nor whether its settings are wise: that is for `commands`, `pipeline` and `doctor`.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
