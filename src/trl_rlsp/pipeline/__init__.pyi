from ._launch import (
    Launcher as Launcher,
    StageError as StageError,
    StoppedError as StoppedError,
    execute as execute,
    stopped_by_signals as stopped_by_signals,
)
from ._shipped import (
    companion_names as companion_names,
    copy_recipe as copy_recipe,
    find_recipe as find_recipe,
    recipe_names as recipe_names,
    recipes_folder as recipes_folder,
    description_of as description_of,
)
from ._steps import (
    RoundSettings as RoundSettings,
    Run as Run,
    Step as Step,
    parse_run as parse_run,
    plan as plan,
    plan_rounds as plan_rounds,
    refuse_changed as refuse_changed,
    round_settings as round_settings,
)
