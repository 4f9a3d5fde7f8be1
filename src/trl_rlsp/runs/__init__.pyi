from ._behaviours import (
    StepMetrics as StepMetrics,
    Summary as Summary,
    shown_steps as shown_steps,
    step_metrics as step_metrics,
    summarize as summarize,
)
from ._completions import (
    Completion as Completion,
    completion_files as completion_files,
    question as question,
    read_completions as read_completions,
    rl_stage as rl_stage,
)
from ._forecast import (
    Forecast as Forecast,
    Sigmoid as Sigmoid,
    forecast as forecast,
    solve_rate_curve as solve_rate_curve,
)
from ._run import (
    Evaluated as Evaluated,
    Run as Run,
    accuracy_key as accuracy_key,
    change as change,
    difference as difference,
    last_mean as last_mean,
    read_run as read_run,
    reward_parts as reward_parts,
    values_of as values_of,
)
