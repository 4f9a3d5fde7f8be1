"""Self-play: what a model found out in RL becomes the demonstrations of its next round.

Promises: every logged completion is either kept or dropped for one reason that is counted; no problem of an evaluation
set gets in; the result does not depend on the order of the log. Does not know how a stage is trained.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trl_rlsp.lazy import attach

if TYPE_CHECKING:
    from trl_rlsp.selfplay._harvest import Demonstrated, Harvest, HeldOut, harvest, judge, select, solve_rates, verify
    from trl_rlsp.selfplay._run import (
        MIXTURE_FILE,
        NEUTRAL_TEMPLATE,
        PROBLEMS_FILE,
        Selection,
        harvest_run,
        mixed,
        next_problems,
    )

__getattr__, __all__ = attach(__name__, __file__)
