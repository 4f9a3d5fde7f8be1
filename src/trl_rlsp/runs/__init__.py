"""The files that a run left on disk: its completions, its evaluations and the history of its metrics.

Promises: completions have one reader and one record, whether TRL's trainer or `rlsp eval` logged them; files are never
changed; an unreadable file raises an error that names it. Knows nothing about how a run is made: stages and their
settings are in `trl_rlsp.stages` and `trl_rlsp.pipeline`.
"""

from trl_rlsp.runs._behaviours import StepMetrics, Summary, shown_steps, step_metrics, summarize
from trl_rlsp.runs._completions import Completion, completion_files, question, read_completions, rl_stage
from trl_rlsp.runs._forecast import Forecast, Sigmoid, forecast, solve_rate_curve
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
