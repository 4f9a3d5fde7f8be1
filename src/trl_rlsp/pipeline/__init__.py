"""A recipe from data to report: its steps in order, each in processes of its own, resumed where it was cut off.

Promises that a step is skipped when it is complete, goes on from its checkpoint when it was cut off, and is refused
when its settings have changed. Knows what each step depends on and how many processes it takes; what a step does is
for the commands.
"""

from trl_rlsp.pipeline._launch import Launcher, StageError, StoppedError, execute, stopped_by_signals
from trl_rlsp.pipeline._shipped import companion_names, copy_recipe, find_recipe, recipe_names, recipes_folder, said_of
from trl_rlsp.pipeline._steps import (
    RoundSettings,
    Run,
    Step,
    parse_run,
    plan,
    plan_rounds,
    refuse_changed,
    round_settings,
)
