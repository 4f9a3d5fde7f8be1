r"""A thinking budget as a logits processor: at least and at most N reasoning tokens (budget forcing, 2501.19393).

Works by token ids alone, with greedy decoding and sampling, at any temperature, in left-padded batches. It draws no
random number, so a budget that does not bind changes no token. Beam search reorders its rows and is not supported.

B: rows of the batch. T: tokens generated so far. V: vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from transformers import LogitsProcessor

from trl_rlsp.errors import ConfigError
from trl_rlsp.evaluation.budget.rows import ANSWER, CONTINUATION, NO_SCRIPT, Rows, ends_with, ends_with_any, kept_rows
from trl_rlsp.evaluation.budget.token_strings import Ids, TokenString, encode, spellings, token_string

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

NOTHING = -1
"""In the place of a forced token: the row is free."""


@dataclass(frozen=True)
class Usage:
    """How often a budget was felt.

    A place where the row was likelier to go on with the continuation's first token by itself is not counted.

    Attributes:
        rows: completions.
        extended: completions continued at least once.
        extensions: continuations begun.
        cut: completions whose answer was forced.
    """

    rows: int = 0
    extended: int = 0
    extensions: int = 0
    cut: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def __sub__(self, other: Usage) -> Usage:
        return Usage(*(a - b for a, b in zip(astuple(self), astuple(other), strict=True)))


def usage_of(rows: Rows) -> Usage:
    """How often the budget was felt by rows."""
    return Usage(
        rows=len(rows.ended_B),
        extended=int((rows.extensions_B > 0).sum()),
        extensions=int(rows.extensions_B.sum()),
        cut=int(rows.cut_B.sum()),
    )


class ThinkingBudget(LogitsProcessor):
    r"""At least and at most N reasoning tokens in each row of `model.generate(logits_processor=[...])`.

    Reasoning is what a row writes before its answer begins, forced words included.

    - Before `at_least` tokens, a row that would begin its answer or end goes on with `continuation` instead: the score
      of the end is handed to the first token of the continuation, unless that has the greater one already. If it is
      then drawn, the rest of the continuation follows. So a greedy row goes on exactly where it would have ended; a
      sampled one as often as it would have ended, up to places where it is about to write that token by itself.
    - After `at_most` tokens, the row writes `answer`, without what it has written of it already, and then whatever it
      likes for `answer_tokens` tokens, then the end token. `at_most` has the last word over a running continuation. No
      row is longer than `longest`, whoever began its answer.

    An end of several tokens is stopped at its last token; what was written of it stays. So a shorter end is better:
    `\boxed` leaves a stray backslash where `\boxed{` would leave the beginning of a box.

    The object may be used for one generation after another: rows that go on from those of the call before, all or some
    of them in the same order, are the same generation; anything else is a new one. `reset` says so explicitly.

    Args:
        tokenizer: the model's tokenizer.
        at_least: reasoning tokens before a row may answer; 0 for no such limit.
        at_most: reasoning tokens after which a row must answer; `None` for no such limit.
        continuation: text or token ids that go on with the reasoning.
        answer: text or token ids that begin the answer.
        ends: texts or token ids, each of which ends the reasoning; default `\boxed`, or `\boxed{` if the tokenizer
            knows only that.
        settled: texts or token ids after which a row may end before `at_least`: it has found what it looked for.
        answer_tokens: tokens for the answer after `answer`, the end token not counted.
        eos: end tokens beside the tokenizer's own.

    Raises:
        ConfigError: limits below 0 or at_least > at_most; a text without tokens or with unknown ones; a continuation
            that would itself end the reasoning; a tokenizer without an end token.

    Example:
        >>> from trl_rlsp.countdown.tiny import build_tokenizer
        >>> budget = ThinkingBudget(build_tokenizer(), at_most=64, answer_tokens=12)
        >>> budget.longest  # 64 of reasoning, one that opens the box, 12 of answer, the end token
        78
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        *,
        at_least: int = 0,
        at_most: int | None = None,
        continuation: TokenString = "Wait",
        answer: TokenString = "\\boxed{",
        ends: Sequence[TokenString] | None = None,
        settled: Sequence[TokenString] = (),
        answer_tokens: int = 32,
        eos: Sequence[int] = (),
    ) -> None:
        _check_limits(at_least, at_most, answer_tokens)
        self.at_least, self.at_most, self.answer_tokens = at_least, at_most, answer_tokens
        own = () if tokenizer.eos_token_id is None else (tokenizer.eos_token_id,)
        self.eos: Ids = tuple(dict.fromkeys((*own, *eos)))
        if not self.eos:
            raise ConfigError("a budget needs the token that ends a completion; set tokenizer.eos_token or eos=[...]")
        self.ends = spellings(tokenizer, _default_ends(tokenizer) if ends is None else ends, "each of ends")
        self.settled = spellings(tokenizer, settled, "each of settled")
        self.continuation = token_string(tokenizer, continuation, "continuation") if at_least else ()
        self.answer = token_string(tokenizer, answer, "answer") if at_most is not None else ()
        self._check_continuation()
        self.reset()

    @property
    def longest(self) -> int | None:
        """Tokens of the longest completion, the end token included; `None` without `at_most`."""
        return None if self.at_most is None else self.at_most + len(self.answer) + self.answer_tokens + 1

    def reset(self) -> None:
        """Forget the rows and what was counted: the next call begins a new generation."""
        self._rows: Rows | None = None
        self._seen: Tensor | None = None
        self._left = Usage()

    def usage(self) -> Usage:
        """How often the budget was felt, over all rows since the last `reset`."""
        return self._left if self._rows is None else self._left + usage_of(self._rows)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores of the next token, as the budget has them.

        Args:
            input_ids: prompts and what was generated, shape [B, start + T].
            scores: shape [B, V].

        Returns:
            `scores` itself where no row feels the budget, else a changed copy.
        """
        rows = self._follow(input_ids)
        generated = input_ids[:, rows.start :]
        if self.at_most is not None and generated.shape[1] >= self.at_most:
            self._begin_answers(rows, generated)
        forced_B = self._forced(rows, generated.shape[1])
        if generated.shape[1] < self.at_least:
            scores = self._hand_over(rows, generated, scores, forced_B == NOTHING)
        return _force(scores, forced_B)

    def _follow(self, input_ids: Tensor) -> Rows:
        """The rows, brought up to date with the token that was added since the last call."""
        before, self._seen = self._seen, input_ids
        kept = None if before is None else kept_rows(before, input_ids[:, :-1])
        if self._rows is None or kept is None:
            self._left = self.usage()
            self._rows = Rows.of(input_ids)
            return self._rows
        if len(kept) < len(self._rows.ended_B):
            everything = self.usage()
            self._rows = self._rows.only(kept)
            self._left = everything - usage_of(self._rows)
        self._read(self._rows, input_ids)
        return self._rows

    def _read(self, rows: Rows, input_ids: Tensor) -> None:
        token_B = input_ids[:, -1]
        rows.advance(torch.tensor([0, len(self.continuation), len(self.answer)], device=token_B.device))
        if self.continuation:
            taken_B = rows.handed_B & (token_B == self.continuation[0])
            rows.extensions_B += taken_B.long()
            if len(self.continuation) > 1:
                rows.begin(taken_B, CONTINUATION, torch.ones_like(rows.position_B))
        rows.handed_B = torch.zeros_like(rows.handed_B)
        rows.ended_B = rows.ended_B | torch.isin(token_B, torch.tensor(self.eos, device=token_B.device))
        free_B = rows.script_B == NO_SCRIPT
        rows.answering_B = rows.answering_B | (free_B & ends_with_any(input_ids[:, rows.start :], self.ends))

    def _begin_answers(self, rows: Rows, generated: Tensor) -> None:
        due_B = ~(rows.answering_B | rows.ended_B | (rows.script_B == ANSWER))
        position_B = torch.zeros_like(rows.position_B)
        for written in range(1, len(self.answer)):
            position_B[ends_with(generated, self.answer[:written])] = written
        rows.begin(due_B, ANSWER, position_B)
        rows.cut_B = rows.cut_B | due_B

    def _forced(self, rows: Rows, generated: int) -> Tensor:
        """The token that each row must write now, or `NOTHING`; shape [B]."""
        forced_B = torch.full_like(rows.script_B, NOTHING)
        for script, ids in ((CONTINUATION, self.continuation), (ANSWER, self.answer)):
            running_B = rows.script_B == script
            if ids and running_B.any():
                forced_B[running_B] = torch.tensor(ids, device=forced_B.device)[rows.position_B[running_B]]
        if self.longest is not None and generated >= self.longest - 1:
            forced_B[:] = self.eos[0]
        forced_B[rows.ended_B] = NOTHING
        return forced_B

    def _hand_over(self, rows: Rows, generated: Tensor, scores: Tensor, free_B: Tensor) -> Tensor:
        """Give the score of ending to the first token of the continuation."""
        open_B = free_B & ~(rows.answering_B | rows.ended_B)
        by_last: dict[int, Tensor] = {}
        for *begun, last in [*self.ends, *((token,) for token in self.eos)]:
            settled_B = ends_with_any(generated, [(*ids, *begun) for ids in self.settled])
            completes_B = open_B & ends_with(generated, begun) & ~settled_B
            by_last[last] = by_last.get(last, torch.zeros_like(open_B)) | completes_B
        tokens = torch.tensor(list(by_last), device=scores.device)
        ending = torch.stack(list(by_last.values()), dim=1)
        end_scores = scores[:, tokens]
        best_B = end_scores.masked_fill(~ending, -torch.inf).amax(dim=1)
        first_B = scores[:, self.continuation[0]]
        rows.handed_B = (best_B >= first_B) & (best_B > -torch.inf)
        scores = scores.clone()
        scores[:, tokens] = end_scores.masked_fill(ending, -torch.inf)
        scores[:, self.continuation[0]] = torch.maximum(first_B, best_B)
        return scores

    def _check_continuation(self) -> None:
        if not self.continuation:
            return
        text = self.continuation
        for end in [*self.ends, *((token,) for token in self.eos)]:
            within = any(text[i : i + len(end)] == end for i in range(len(text)))
            if within or text[0] == end[-1]:
                raise ConfigError(
                    f"the continuation must not end the reasoning itself, but its token ids {list(text)} hold the end "
                    f"{list(end)} or begin with its last token; give another text"
                )


def _check_limits(at_least: int, at_most: int | None, answer_tokens: int) -> None:
    if at_least < 0 or (at_most is not None and at_most < at_least):
        raise ConfigError(f"0 <= at_least <= at_most must hold, got at_least={at_least} and at_most={at_most}")
    if answer_tokens < 1:
        raise ConfigError(f"answer_tokens is at least 1, got {answer_tokens}")


def _default_ends(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    short = encode(tokenizer, "\\boxed")
    return ["\\boxed{"] if tokenizer.unk_token_id is not None and tokenizer.unk_token_id in short else ["\\boxed"]


def _force(scores: Tensor, forced_B: Tensor) -> Tensor:
    chosen = (forced_B != NOTHING).nonzero().squeeze(1)
    if len(chosen) == 0:
        return scores
    scores = scores.clone()
    scores[chosen] = -torch.inf
    scores[chosen, forced_B[chosen]] = 0.0
    return scores
