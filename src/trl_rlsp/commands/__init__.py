"""The commands of `rlsp`: each reads its arguments, calls what does the work, and prints.

Promises that whatever is wrong with settings or data is said before a model is loaded. Knows no method of its own;
nothing but `trl_rlsp.cli` is above it.
"""

from trl_rlsp.lazy import attach

__getattr__, __all__ = attach(
    __name__,
    {
        "_completion": "run_completion",
        "_init": "run_init",
        "_look": (
            "BehavioursArguments ReportArguments parse_efficiency run_behaviours run_compare run_efficiency run_report"
        ),
        "_measure": (
            "BudgetArguments check_budget opens_thinking parse_eval read_settings run_budget run_eval verifier_of"
        ),
        "_prepare": "parse_doctor parse_filter parse_plan run_check run_doctor run_filter run_plan run_recipes",
        "_run": "check_settings run_run show_batches",
        "_train": (
            "MergeArguments model_arguments parse_harvest progress_line rank_errors run_grpo run_harvest run_merge "
            "run_sft train"
        ),
    },
)
