"""Texts as token ids: one sequence to write, or every sequence by which a tokenizer may have written it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from trl_rlsp.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TokenString = str | Sequence[int]
"""A text, or the token ids themselves."""

Ids = tuple[int, ...]

BEFORE = ("", " ", "\n", "$", " $", "\n$", "$$", "(", " (", "\\[", "\\(", "**", "=", ":")
"""What may stand before a text: many tokenizers make one token of it and of the text's first character."""


def token_string(tokenizer: PreTrainedTokenizerBase, text: TokenString, role: str) -> Ids:
    """The token ids of a text.

    Args:
        tokenizer: any tokenizer.
        text: a text, or its token ids.
        role: what the text is for, for the message.

    Raises:
        ConfigError: an empty text, one without tokens, or one that the tokenizer only writes as "unknown".
    """
    ids = encode(tokenizer, text) if isinstance(text, str) else tuple(text)
    if not ids:
        raise ConfigError(f"{role} must have at least one token, got {text!r}; give another text or leave it out")
    if tokenizer.unk_token_id is not None and tokenizer.unk_token_id in ids:
        raise ConfigError(
            f"{role} must be words of the tokenizer's vocabulary, but {text!r} holds {tokenizer.unk_token!r}; give a "
            "text that the model can write"
        )
    if not all(0 <= token < len(tokenizer) for token in ids):
        raise ConfigError(f"{role} must be token ids from 0 to {len(tokenizer) - 1}, got {list(ids)}")
    return ids


def spellings(tokenizer: PreTrainedTokenizerBase, texts: Sequence[TokenString], role: str) -> list[Ids]:
    """Every token sequence by which one of `texts` may end what was written, after each of `BEFORE`.

    Args:
        tokenizer: any tokenizer.
        texts: texts or token ids; ids are taken as they are.
        role: what the texts are for, for the message.

    Raises:
        ConfigError: see `token_string`; or a single string in the place of a sequence of them.
    """
    if isinstance(texts, str):
        raise ConfigError(f"{role} must be a sequence of texts, got the text {texts!r}; write [{texts!r}]")
    found: dict[Ids, None] = {}
    for text in texts:
        found[token_string(tokenizer, text, role)] = None
        if isinstance(text, str):
            found |= dict.fromkeys(_after_others(tokenizer, text))
    return list(found)


def encode(tokenizer: PreTrainedTokenizerBase, text: str) -> Ids:
    """The token ids of a text, without the special tokens that a tokenizer puts around it."""
    return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])


def _after_others(tokenizer: PreTrainedTokenizerBase, text: str) -> list[Ids]:
    found = []
    for before in BEFORE:
        alone, both = encode(tokenizer, before), encode(tokenizer, before + text)
        if tokenizer.unk_token_id in both:
            continue
        found.append(both[len(alone) :] if both[: len(alone)] == alone else both)
    return found
