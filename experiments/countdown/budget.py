"""Training that ends, and whose learning rate decays, by sampled tokens instead of steps.

Arms differ in how long their completions are; at an equal number of steps, the longer ones would have had more.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

if TYPE_CHECKING:
    import torch
    from torch.optim.lr_scheduler import LambdaLR


class TokenBudget(TrainerCallback):
    """Counts sampled completion tokens and stops training when a budget is spent.

    The step that crosses the budget is finished. Needs `logging_steps=1`; updates that learn from the
    completions of an earlier step log no lengths and count nothing. What reads the
    trainer's progress (`AlphaSchedule`) sees the share of the budget that is spent: `max_steps` is kept at the number
    of steps that the budget will last at the mean length so far, and never above the configured one.

    Args:
        budget: sampled completion tokens of the run.
        completions: completions of each generation, over all processes.
        updates: optimizer steps that learn from each generation.

    Attributes:
        tokens: tokens sampled so far.
    """

    def __init__(self, budget: int, completions: int, updates: int = 1) -> None:
        self.budget, self.completions, self.updates = budget, completions, updates
        self.tokens = self._generations = 0
        self._most_steps = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Note the configured end."""
        self._most_steps = state.max_steps

    def remaining(self, epoch: int = 0) -> float:
        """Share of the budget that is left, in [0, 1]: the factor of the learning rate.

        Args:
            epoch: what `LambdaLR` passes; of no meaning here.
        """
        return max(0.0, 1 - self.tokens / self.budget)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Count a step's tokens, set the next learning rate, stop if the budget is spent."""
        mean = (logs or {}).get("completions/mean_length")
        if mean is None:
            return
        self.tokens += round(float(mean) * self.completions + logs.get("frontier/draft_tokens", 0))
        self._generations += 1
        state.log_history[-1]["sampled_tokens"] = self.tokens
        if kwargs.get("lr_scheduler") is not None:
            kwargs["lr_scheduler"].step()  # the trainer's own call came before this step's tokens were known
        if self.tokens >= self.budget:
            control.should_training_stop = True
        else:
            lasts = math.ceil(self._generations * self.updates * self.budget / max(self.tokens, 1))
            beyond_next = state.global_step + self.updates + 1  # the trainer itself must not stop before the next count
            state.max_steps = min(max(lasts, beyond_next), self._most_steps)


def optimizers(
    model: torch.nn.Module, learning_rate: float, counter: TokenBudget
) -> tuple[torch.optim.Optimizer, LambdaLR]:
    """AdamW with betas (0.9, 0.95), and a learning rate that falls linearly to 0 over the token budget.

    Args:
        model: what is trained.
        learning_rate: at the first step.
        counter: the run's budget.
    """
    import torch
    from torch.optim.lr_scheduler import LambdaLR

    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.95), weight_decay=0.0)
    return optimizer, LambdaLR(optimizer, counter.remaining)
