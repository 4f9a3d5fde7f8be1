"""The bounded exploration rewards that every general promise is tested for."""

from __future__ import annotations

from trl_rlsp import (
    BehaviourExploration,
    CalculationExploration,
    DiversityExploration,
    LengthExploration,
    NoveltyExploration,
)

BOUNDED = [LengthExploration(C=20), CalculationExploration(K=2), DiversityExploration(K=2), BehaviourExploration()]
"""One of each, with constants small enough for short texts to differ."""

RELATIVE = LengthExploration("relative")
"""Bounded too; it bears the name of the other form, so that one suite cannot hold both."""

NOVEL = NoveltyExploration()
"""Bounded too; it compares answers, so that what is done to the reasoning concerns it little."""
