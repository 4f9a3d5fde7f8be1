"""Whether an answer is right: mathematics, programs and generated tasks.

Promises: code and symbols of a model are worked on in confined processes only, without files, network and secrets of
the trainer; a call returns by its deadline; what cannot be scored is `None` with a reason, never a number. Knows
nothing of rewards, problems and training, and asks no model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trl_rlsp.lazy import attach

if TYPE_CHECKING:
    from trl_rlsp.verification.code.sandbox import (
        Limits,
        LocalSandbox,
        RunResult,
        available_backend,
        find_sandbox,
        require_sandbox,
    )
    from trl_rlsp.verification.code.tests import (
        has_test_columns,
        read_tests,
        reference_program,
        shown_problem,
        tests_json,
    )
    from trl_rlsp.verification.code.verifier import verify_code
    from trl_rlsp.verification.gym.verifier import GYM_HANDLER, verify_gym
    from trl_rlsp.verification.math._verifier import MATH_HANDLER, MathItem, MathRules, gold_text, is_list, verify_math
    from trl_rlsp.verification.verdict import Reason, Verdict
    from trl_rlsp.verification.workers.pool import Reply, WorkerPool

__getattr__, __all__ = attach(__name__, __file__)
