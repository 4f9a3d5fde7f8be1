"""A model whose `generate` keeps to a thinking budget, wherever a model is taken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trl_rlsp.evaluation.budget.processor import ThinkingBudget

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class BudgetedModel:
    """A causal model with a budget; everything but `generate` is the model's own.

    Args:
        model: a causal language model.
        budget: the budget; `budget.usage()` counts over all calls.
    """

    def __init__(self, model: PreTrainedModel, budget: ThinkingBudget) -> None:
        self.model = model
        self.budget = budget

    def generate(self, *args: Any, **kwargs: Any) -> Any:
        """The model's `generate`, with the budget before any other logits processor that is passed."""
        processors = [self.budget, *(kwargs.pop("logits_processor", None) or [])]
        model: Any = self.model
        return model.generate(*args, logits_processor=processors, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)


def end_tokens(model: PreTrainedModel) -> list[int]:
    """The end tokens of a model's generation configuration, which may be more than its tokenizer's."""
    configured = model.generation_config.eos_token_id
    return [] if configured is None else configured if isinstance(configured, list) else [configured]
