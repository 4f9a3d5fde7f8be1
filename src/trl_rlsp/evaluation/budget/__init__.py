"""Search at run time: how long a model may think, how often it is asked, and what both are worth.

`ThinkingBudget` cuts or continues completions to a budget of reasoning tokens, over any engine and through the sample
store; a `Rule` stops repeated sampling when the votes agree; a `Bench` measures both. Knows no model, no tokenizer and
no answer: those are the engine's and the verifier's.
"""

from trl_rlsp.evaluation.budget._curve import (
    Bench,
    Point,
    Rule,
    RuleResult,
    adaptive_consistency,
    draw_until_agreement,
    last_agree,
    markdown,
    plot_curves,
    try_rule,
    unbeatable,
)
from trl_rlsp.evaluation.budget._thinking import ThinkingBudget, Thought, draw_within
