"""Is a mathematical answer right: as text, as an exact rational number, then symbolically in a worker process.

Promises: nothing symbolic happens in the calling process; no answer is paid beside another one, nor for restating its
prompt. Knows nothing of rewards, and of completions only their `Reading`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trl_rlsp.lazy import attach

if TYPE_CHECKING:
    from trl_rlsp.verification.math._gold import gold_text
    from trl_rlsp.verification.math._verifier import HANDLER, MathItem, MathRules, is_list, verify_math

__getattr__, __all__ = attach(
    __name__, {"_gold": "gold_text", "_verifier": "HANDLER MathItem MathRules is_list verify_math"}
)
