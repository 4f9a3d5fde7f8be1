"""Search at inference time: how long a model may think, how often it is sampled, and the accuracy that both buy.

`ThinkingBudget` cuts or continues completions to a budget of reasoning tokens, with any engine and a sample store; a
`Rule` stops repeated sampling when the votes agree; a `Bench` measures both. Models and tokenizers belong to the
engine, answers to the verifier.
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
