"""What a run left on disk: its completions, its evaluations and the history of its metrics.

Promises one reader and one record for completions, whether TRL's trainer or `rlsp eval` logged them; that files are
only read; and that a file that cannot be read is an error that names it. Does not know how a run was made: its stages
and their settings are `trl_rlsp.stages` and `trl_rlsp.pipeline`.
"""

from trl_rlsp.runs._behaviours import StepMetrics, Summary, shown_steps, step_metrics, summarize
from trl_rlsp.runs._completions import Completion, completion_files, question, read_completions, rl_stage
from trl_rlsp.runs._run import (
    Evaluated,
    Run,
    accuracy_key,
    change,
    difference,
    last_mean,
    read_run,
    reward_parts,
    values_of,
)
