"""The bounded exploration rewards that every general promise is tested for."""

from __future__ import annotations

import importlib

from trl_rlsp import CalculationExploration, DiversityExploration, LengthExploration

BOUNDED = [LengthExploration(C=20), CalculationExploration(K=2), DiversityExploration(K=2)]
"""One of each, with constants small enough for short texts to differ."""

RELATIVE = LengthExploration("relative")
"""Bounded too; it bears the name of the other form, so that one suite cannot hold both."""

try:
    BOUNDED.append(importlib.import_module("trl_rlsp.rewards.behaviour").BehaviourExploration())
except ModuleNotFoundError as missing:
    if missing.name != "trl_rlsp.rewards.behaviour":
        raise
