"""Texts as token ids."""

from __future__ import annotations

import pytest

from trl_rlsp.errors import ConfigError
from trl_rlsp.evaluation.budget.token_strings import encode, spellings, token_string


def test_token_string(tokenizer):
    ids = tuple(tokenizer.convert_tokens_to_ids(["yes", "\\boxed{"]))
    assert token_string(tokenizer, "yes \\boxed{", "answer") == ids
    assert token_string(tokenizer, list(ids), "answer") == ids
    assert encode(tokenizer, " ") == ()


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "answer must have at least one token, got ''"),
        ("yes maybe", "answer must be words of the tokenizer's vocabulary, but 'yes maybe' holds '<unk>'"),
        ([-1], "answer must be token ids from 0 to 164, got .-1."),
    ],
)
def test_bad_text(tokenizer, text, match):
    with pytest.raises(ConfigError, match=match):
        token_string(tokenizer, text, "answer")


def test_spellings_without_unknown_words(tokenizer):
    # "$yes" is one unknown word here, so "yes" has the one spelling
    assert spellings(tokenizer, ["yes", [5, 6]], "ends") == [encode(tokenizer, "yes"), (5, 6)]


def test_a_text_is_no_sequence_of_texts(tokenizer):
    with pytest.raises(ConfigError, match="ends must be a sequence of texts, got the text 'yes'"):
        spellings(tokenizer, "yes", "ends")
