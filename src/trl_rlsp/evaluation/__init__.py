"""Measuring a model: completions drawn and kept on disk, scored by the verifier, metrics with intervals over problems.

Promises: what could not be scored is `None` and counted, never a number; a run that was killed goes on; two models
are compared problem by problem; the answers and the difficulty of a dataset are checked before it is trained on.
Knows nothing of training runs, stages and commands. Budgets of thinking and of votes are in `budget`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trl_rlsp.lazy import attach

if TYPE_CHECKING:
    from trl_rlsp.evaluation._compare import (
        Difference,
        Vote,
        compare,
        compare_folders,
        efficiency_curve,
        equal_budget,
        load_curves,
        paired,
    )
    from trl_rlsp.evaluation._dataset import Band, CheckReport, check_dataset, gold_completion, keep_band, print_report
    from trl_rlsp.evaluation._metrics import (
        Estimate,
        Evaluation,
        ScoredSample,
        Slice,
        bootstrap_mean,
        by_problem,
        check_ks,
        known_mean,
        maj_at_k,
        majority_curve,
        natural,
        pass_at_k,
        summarize,
    )
    from trl_rlsp.evaluation._scoring import draw, evaluate, evaluate_samples, score_samples
    from trl_rlsp.evaluation._shown import (
        Chart,
        Line,
        can_draw,
        difference_table,
        efficiency_tables,
        evaluation_table,
        first_samples,
        markdown_table,
        plot_efficiency,
        save_plot,
        slice_tables,
        svg,
        terminal_table,
    )
    from trl_rlsp.evaluation._store import (
        SampleStore,
        load_evaluation,
        load_scored,
        load_settings,
        model_hash,
        problems_hash,
        prompts_hash,
        read_metrics,
        read_problems,
        read_samples,
        save_evaluation,
        write_problems,
    )

__getattr__, __all__ = attach(__name__, __file__)
