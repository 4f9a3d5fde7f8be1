"""The commands of `rlsp`: each reads its arguments, calls what does the work, and prints.

Promises that whatever is wrong with settings or data is said before a model is loaded. Knows no method of its own;
nothing but `trl_rlsp.cli` is above it.
"""

from typing import TYPE_CHECKING

from trl_rlsp.lazy import attach

if TYPE_CHECKING:
    from trl_rlsp.commands._command import COMMANDS, Completion, command_class, usage
    from trl_rlsp.commands._look import Behaviours, Compare, Efficiency, Report
    from trl_rlsp.commands._measure import Budget, Eval, parse_eval
    from trl_rlsp.commands._prepare import Check, Doctor, Filter, Init, Plan, Recipes
    from trl_rlsp.commands._train import Grpo, Harvest, Merge, Run, Sft, model_arguments, train

__getattr__, __all__ = attach(__name__, __file__)
