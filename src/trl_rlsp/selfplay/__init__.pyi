from ._harvest import (
    Demonstrated as Demonstrated,
    Harvest as Harvest,
    HeldOut as HeldOut,
    harvest as harvest,
    judge as judge,
    select as select,
    solve_rates as solve_rates,
    verify as verify,
)
from ._run import (
    MIXTURE_FILE as MIXTURE_FILE,
    NEUTRAL_TEMPLATE as NEUTRAL_TEMPLATE,
    PROBLEMS_FILE as PROBLEMS_FILE,
    Selection as Selection,
    harvest_run as harvest_run,
    mixed as mixed,
    next_problems as next_problems,
)
