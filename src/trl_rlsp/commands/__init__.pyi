from ._command import COMMANDS as COMMANDS, Completion as Completion, command_class as command_class, usage as usage
from ._look import (
    Behaviours as Behaviours,
    Compare as Compare,
    Efficiency as Efficiency,
    Forecast as Forecast,
    Report as Report,
)
from ._measure import Budget as Budget, Eval as Eval, parse_eval as parse_eval
from ._plan import Plan as Plan
from ._prepare import Check as Check, Doctor as Doctor, Filter as Filter, Init as Init, Recipes as Recipes
from ._train import (
    Grpo as Grpo,
    Harvest as Harvest,
    Merge as Merge,
    Run as Run,
    Sft as Sft,
    model_arguments as model_arguments,
    train as train,
)
