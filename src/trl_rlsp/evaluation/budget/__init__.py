"""Search at run time: how long a model may think, how often it is asked, and what both are worth.

| file | holds |
|---|---|
| `token_strings.py` | texts as the token sequences that a tokenizer may write them with |
| `rows.py` | where each row of a batch stands in its budget |
| `processor.py` | `ThinkingBudget`, at least and at most N reasoning tokens |
| `budgeted.py` | `BudgetedModel`, a model whose `generate` keeps to a budget |
| `rules.py` | when repeated sampling has seen enough agreement |
| `agreement.py` | repeated sampling that stops by such a rule, against plain maj@n |
| `curve.py` | accuracy against tokens, one point a budget |
| `tables.py`, `plot.py` | the curve and the votes as Markdown and as a figure |
"""
