from ._curve import (
    Bench as Bench,
    Point as Point,
    Rule as Rule,
    RuleResult as RuleResult,
    adaptive_consistency as adaptive_consistency,
    draw_until_agreement as draw_until_agreement,
    last_agree as last_agree,
    markdown as markdown,
    plot_curves as plot_curves,
    try_rule as try_rule,
    unbeatable as unbeatable,
)
from ._thinking import ThinkingBudget as ThinkingBudget, Thought as Thought, draw_within as draw_within
