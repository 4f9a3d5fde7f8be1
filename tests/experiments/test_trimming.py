from __future__ import annotations

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from countdown.trimming import without_padding

PADDING = 0


@pytest.fixture
def model():
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    return LlamaForCausalLM(LlamaConfig(vocab_size=40, max_position_embeddings=64, **shape))


def batch(lengths, *, prompts=(3, 5, 4), width=30):
    """Prompts padded on the left to 5, completions padded on the right: as the trainer makes them."""
    torch.manual_seed(1)
    ids = torch.randint(1, 40, (len(lengths), 5 + width))
    mask = torch.ones_like(ids)
    for row, length in enumerate(lengths):
        mask[row, : 5 - prompts[row % len(prompts)]] = 0
        mask[row, 5 + length :] = 0
    return ids.masked_fill(mask == 0, PADDING), mask


def gradients(model, ids, mask):
    """(hidden states where there is text, gradients) of a sum over the text."""
    model.zero_grad()
    hidden = model.base_model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
    kept = hidden * mask.unsqueeze(-1)
    (kept**2).sum().backward()
    return kept.detach(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("lengths", [[1, 30, 2, 7, 7, 0, 12, 29, 3, 5], [30] * 6, [0] * 6])
def test_the_numbers_are_those_of_the_whole_batch(model, lengths):
    ids, mask = batch(lengths)
    whole, whole_gradients = gradients(model, ids, mask)
    parts, part_gradients = gradients(without_padding(model, rows=3), ids, mask)
    torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-5)
    assert part_gradients.keys() == whole_gradients.keys()
    for name, gradient in whole_gradients.items():
        torch.testing.assert_close(part_gradients[name], gradient, rtol=1e-3, atol=1e-4, msg=name)


def test_each_part_is_as_wide_as_its_longest_row(model):
    widths = []
    model.base_model.layers[0].register_forward_pre_hook(lambda module, given: widths.append(given[0].shape[:2]))
    ids, mask = batch([1, 30, 2, 7], prompts=(5,))
    without_padding(model, rows=2).base_model(input_ids=ids, attention_mask=mask, use_cache=False)
    assert [tuple(shape) for shape in widths] == [(2, 7), (2, 35)]  # prompts of 5, completions of 1 and 2, 7 and 30


def test_generation_is_as_before(model):
    ids, mask = batch([0] * 6)
    ids, mask = ids[:, :5], mask[:, :5]
    settings = {"max_new_tokens": 4, "do_sample": False, "pad_token_id": PADDING}
    before = model.generate(input_ids=ids, attention_mask=mask, **settings)
    assert torch.equal(without_padding(model, rows=2).generate(input_ids=ids, attention_mask=mask, **settings), before)
