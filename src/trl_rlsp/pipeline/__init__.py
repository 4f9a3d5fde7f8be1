"""A recipe from data to report: its steps in order, each in processes of its own, resumed where it was cut off.

It knows what each step depends on, how many processes it takes and what its folder holds; what a step does is for the
commands.
"""

from trl_rlsp.pipeline.launch import Launcher, StageError, StoppedError, execute
from trl_rlsp.pipeline.rounds import RoundSettings, plan_rounds, round_settings
from trl_rlsp.pipeline.run import Run, RunArguments, Step, parse_run, plan, refuse_changed

__all__ = [
    "Launcher",
    "RoundSettings",
    "Run",
    "RunArguments",
    "StageError",
    "Step",
    "StoppedError",
    "execute",
    "parse_run",
    "plan",
    "plan_rounds",
    "refuse_changed",
    "round_settings",
]
