"""The fields of a stage's file, overrides on the command line, and the record in the stage's folder.

Promises: every command has the same grammar; errors name the field and the closest known one; a folder belongs to one
run. Reads settings and the data, tokenizer and model configuration that they name, but never weights. Running a stage
and judging its settings is left to `commands`, `pipeline` and `doctor`.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
