"""The commands of `rlsp`: each reads its arguments, calls what does the work, and prints.

Promises that whatever is wrong with settings or data is said before a model is loaded. Knows no method of its own;
nothing but `trl_rlsp.cli` is above it.
"""

from typing import TYPE_CHECKING

from trl_rlsp.lazy import attach

if TYPE_CHECKING:
    from trl_rlsp.commands._init import InitArguments, run_init
    from trl_rlsp.commands._look import (
        BehavioursArguments,
        ReportArguments,
        parse_efficiency,
        run_behaviours,
        run_compare,
        run_efficiency,
        run_report,
    )
    from trl_rlsp.commands._measure import (
        BudgetArguments,
        check_budget,
        opens_thinking,
        parse_eval,
        read_settings,
        run_budget,
        run_eval,
        verifier_of,
    )
    from trl_rlsp.commands._prepare import (
        parse_doctor,
        parse_filter,
        parse_plan,
        run_check,
        run_doctor,
        run_filter,
        run_plan,
        run_recipes,
    )
    from trl_rlsp.commands._run import check_settings, run_run, show_batches
    from trl_rlsp.commands._train import (
        MergeArguments,
        model_arguments,
        parse_harvest,
        progress_line,
        rank_errors,
        run_grpo,
        run_harvest,
        run_merge,
        run_sft,
        train,
    )
    from trl_rlsp.commands._usage import COMMANDS, run_completion, usage

__getattr__, __all__ = attach(__name__, __file__)
