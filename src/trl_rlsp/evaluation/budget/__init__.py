"""Search at run time: how long a model may think, how often it is asked, and what both are worth.

`thinking` cuts or continues completions to a budget of reasoning tokens, over any engine and through the sample store;
`agreement` stops repeated sampling when the votes agree; `curve` measures, tabulates and draws. Knows no model, no
tokenizer and no answer: those are the engine's and the verifier's.
"""

from trl_rlsp.evaluation.budget.agreement import (
    AdaptiveConsistency,
    LastAgree,
    Rule,
    RuleResult,
    Unbeatable,
    draw_until_agreement,
    try_rule,
)
from trl_rlsp.evaluation.budget.thinking import ThinkingBudget, Thought, draw_within

__all__ = [
    "AdaptiveConsistency",
    "LastAgree",
    "Rule",
    "RuleResult",
    "ThinkingBudget",
    "Thought",
    "Unbeatable",
    "draw_until_agreement",
    "draw_within",
    "try_rule",
]
