"""Measuring a model: completions drawn and kept on disk, scored by the verifier, metrics with intervals over problems.

Promises: what could not be scored is `None` and counted, never a number; a run that was killed goes on; two models
are compared problem by problem. Knows nothing of training runs, stages and commands.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trl_rlsp.evaluation.bootstrap import Estimate, bootstrap_mean
    from trl_rlsp.evaluation.metrics import Evaluation, ScoredSample, summarize
    from trl_rlsp.evaluation.scoring import draw, evaluate, evaluate_samples, score_samples
    from trl_rlsp.evaluation.store import SampleStore, load_evaluation, load_scored, save_evaluation
    from trl_rlsp.evaluation.tables import markdown_table

_HOMES = {
    "bootstrap": ("Estimate", "bootstrap_mean"),
    "metrics": ("Evaluation", "ScoredSample", "summarize"),
    "scoring": ("draw", "evaluate", "evaluate_samples", "score_samples"),
    "store": ("SampleStore", "load_evaluation", "load_scored", "save_evaluation"),
    "tables": ("markdown_table",),
}

__all__ = [
    "Estimate",
    "Evaluation",
    "SampleStore",
    "ScoredSample",
    "bootstrap_mean",
    "draw",
    "evaluate",
    "evaluate_samples",
    "load_evaluation",
    "load_scored",
    "markdown_table",
    "save_evaluation",
    "score_samples",
    "summarize",
]


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
