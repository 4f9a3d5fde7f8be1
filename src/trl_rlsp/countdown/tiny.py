"""A language model small enough to train on a laptop CPU.

It replaces the instruct model of a real recipe: a standard Llama configuration with well under a million parameters,
and a tokenizer with one token for each integer and operator of the countdown task.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

LARGEST_NUMBER = 144
SPECIAL_TOKENS = ("<pad>", "<unk>", "<eos>", "<system>", "<user>", "<assistant>")
WORDS = ("+", "-", "*", "/", "(", ")", "=", "?", ":", "|", "yes", "no", "\\boxed{", "}")

CHAT_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'assistant' %}"
    "<assistant> {% generation %}{{ message['content'] }} <eos>{% endgeneration %}"
    "{% else %}<{{ message['role'] }}> {{ message['content'] }} {% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def build_tokenizer(own: Iterable[str] | None = None) -> PreTrainedTokenizerFast:
    """A word-level tokenizer: special tokens, then `own` words or those of a search trace and the integers 0 to 144."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = [*SPECIAL_TOKENS, *(own or (*WORDS, *map(str, range(LARGEST_NUMBER + 1))))]
    core = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    pad, unknown, end, *turns = SPECIAL_TOKENS
    special: dict = {"pad_token": pad, "unk_token": unknown, "eos_token": end, "additional_special_tokens": turns}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, clean_up_tokenization_spaces=False, **special)
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def build_model(
    tokenizer: PreTrainedTokenizerFast | None = None,
    *,
    seed: int = 0,
    hidden_size: int = 128,
    layers: int = 3,
    context: int = 512,
) -> LlamaForCausalLM:
    """A float32 Llama in training mode for the vocabulary of `build_tokenizer`; 0.66 million random weights by default.

    `hidden_size` is a multiple of 32, the head dimension; `context` is the maximum sequence length, in tokens.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = tokenizer or build_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        intermediate_size=3 * hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=hidden_size // 32,
        num_key_value_heads=hidden_size // 32,
        max_position_embeddings=context,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
        tie_word_embeddings=True,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(config)
