"""Measuring a model: completions drawn and kept on disk, scored by the verifier, metrics with intervals over problems.

Promises: what could not be scored is `None` and counted, never a number; a run that was killed goes on; two models
are compared problem by problem. Knows nothing of training runs, stages and commands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trl_rlsp.lazy import attach

if TYPE_CHECKING:
    from trl_rlsp.evaluation.bootstrap import Estimate, bootstrap_mean
    from trl_rlsp.evaluation.metrics import Evaluation, ScoredSample, summarize
    from trl_rlsp.evaluation.scoring import draw, evaluate, evaluate_samples, score_samples
    from trl_rlsp.evaluation.store import SampleStore, load_evaluation, load_scored, save_evaluation
    from trl_rlsp.evaluation.tables import markdown_table

__getattr__, __all__ = attach(
    __name__,
    {
        "bootstrap": "Estimate bootstrap_mean",
        "metrics": "Evaluation ScoredSample summarize",
        "scoring": "draw evaluate evaluate_samples score_samples",
        "store": "SampleStore load_evaluation load_scored save_evaluation",
        "tables": "markdown_table",
    },
)
