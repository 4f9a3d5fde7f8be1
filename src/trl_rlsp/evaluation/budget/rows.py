"""Where each row of a batch stands in its thinking budget.

B: rows of the batch. T: tokens generated so far, the same for all rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass

import torch
from torch import Tensor

NO_SCRIPT, CONTINUATION, ANSWER = 0, 1, 2
"""What a row is being made to write."""


@dataclass
class Rows:
    """State of the B rows of one generation.

    Attributes:
        start: length of the padded prompts.
        answering_B: the row has begun its answer.
        ended_B: the row has written an end token.
        script_B: `NO_SCRIPT`, `CONTINUATION` or `ANSWER`.
        position_B: tokens of the script already written.
        handed_B: the end's score was handed to the continuation's first token before the token to come.
        extensions_B: continuations begun.
        cut_B: the answer was forced.
    """

    start: int
    answering_B: Tensor
    ended_B: Tensor
    script_B: Tensor
    position_B: Tensor
    handed_B: Tensor
    extensions_B: Tensor
    cut_B: Tensor

    @classmethod
    def of(cls, input_ids: Tensor) -> Rows:
        """The state before the first token.

        Args:
            input_ids: prompts, shape [B, start].
        """
        batch, start = input_ids.shape
        flags = [torch.zeros(batch, dtype=torch.bool, device=input_ids.device) for _ in range(4)]
        counts = [torch.zeros(batch, dtype=torch.long, device=input_ids.device) for _ in range(3)]
        return cls(
            start=start,
            answering_B=flags[0],
            ended_B=flags[1],
            handed_B=flags[2],
            cut_B=flags[3],
            script_B=counts[0],
            position_B=counts[1],
            extensions_B=counts[2],
        )

    def only(self, kept: Tensor) -> Rows:
        """The state of some of the rows.

        Args:
            kept: their positions, ascending, shape [at most B].
        """
        found = copy(self)
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(found, name, value[kept])
        return found

    def advance(self, lengths: Tensor) -> None:
        """Count one more token of each running script; a script that is complete is over.

        Args:
            lengths: tokens of each script, shape [3].
        """
        self.position_B += (self.script_B != NO_SCRIPT).long()
        complete_B = (self.script_B != NO_SCRIPT) & (self.position_B >= lengths[self.script_B])
        self.answering_B = self.answering_B | (complete_B & (self.script_B == ANSWER))
        self.begin(complete_B, NO_SCRIPT, torch.zeros_like(self.position_B))

    def begin(self, chosen_B: Tensor, script: int, position_B: Tensor) -> None:
        """Let the chosen rows write a script from a position on."""
        self.script_B = torch.where(chosen_B, torch.full_like(self.script_B, script), self.script_B)
        self.position_B = torch.where(chosen_B, position_B, self.position_B)


def kept_rows(before: Tensor, now: Tensor) -> Tensor | None:
    """Which rows of a batch are still there after finished ones may have left it.

    Args:
        before: token ids, shape [B, L].
        now: token ids, shape [at most B, L] if the batch goes on.

    Returns:
        Positions in `before` of the rows of `now`, ascending; `None` if `now` holds anything else.
    """
    if before.shape == now.shape and torch.equal(before, now):
        return torch.arange(len(now), device=now.device)
    if before.shape[1] != now.shape[1] or len(now) > len(before):
        return None
    candidates = iter(enumerate(before))
    kept = [next((i for i, old in candidates if torch.equal(old, new)), None) for new in now]
    return None if None in kept else torch.tensor(kept, device=now.device)


def ends_with(generated: Tensor, ids: Sequence[int]) -> Tensor:
    """Which rows end with a token sequence; every row ends with the empty one.

    Args:
        generated: shape [B, T].
        ids: the sequence.

    Returns:
        Shape [B], bool.
    """
    batch, length = generated.shape
    if len(ids) > length:
        return torch.zeros(batch, dtype=torch.bool, device=generated.device)
    tail = generated[:, length - len(ids) :]
    return (tail == torch.tensor(ids, dtype=tail.dtype, device=tail.device)).all(dim=1)


def ends_with_any(generated: Tensor, sequences: Iterable[Sequence[int]]) -> Tensor:
    """Which rows end with one of several sequences; shape [B], bool."""
    found_B = torch.zeros(generated.shape[0], dtype=torch.bool, device=generated.device)
    for ids in sequences:
        found_B = found_B | ends_with(generated, ids)
    return found_B
