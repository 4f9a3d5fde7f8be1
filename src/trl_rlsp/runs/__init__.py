"""What a run left on disk: its completions, its evaluations and the history of its metrics.

Promises one reader and one record for completions, whether TRL's trainer or `rlsp eval` logged them; that files are
only read; and that a file that cannot be read is an error that names it. Does not know how a run was made: its stages
and their settings are `trl_rlsp.stages` and `trl_rlsp.pipeline`.
"""

from trl_rlsp.runs.completion import Completion, question
from trl_rlsp.runs.reading import completion_files, read_completions, rl_stage
from trl_rlsp.runs.run import Evaluated, Run, read_run

__all__ = [
    "Completion",
    "Evaluated",
    "Run",
    "completion_files",
    "question",
    "read_completions",
    "read_run",
    "rl_stage",
]
