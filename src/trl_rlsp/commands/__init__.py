"""The commands of `rlsp`: each reads its arguments, calls what does the work, and prints.

Promises that whatever is wrong with settings or data is said before a model is loaded. Knows no method of its own;
nothing but `trl_rlsp.cli` is above it.
"""

from trl_rlsp.lazy import attach

__getattr__, __all__ = attach(
    __name__,
    {
        "_doctor": "parse_doctor parse_plan run_doctor run_plan",
        "_evaluating": "opens_thinking parse_eval read_settings run_check run_eval verifier_of",
        "_filter": "parse_filter run_filter",
        "_harvest": "parse_harvest run_harvest",
        "_reporting": "BehavioursArguments ReportArguments run_behaviours run_report",
        "_run": "check_settings run_recipes run_run show_batches",
        "_training": "MergeArguments model_arguments progress_line rank_errors run_grpo run_merge run_sft train",
        "budget": "run_budget",
        "comparing": "run_compare run_efficiency",
    },
)
