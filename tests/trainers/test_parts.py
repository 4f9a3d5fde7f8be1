from __future__ import annotations

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM
from trl.trainer import utils

from trl_rlsp.trainers import compute_in_parts

add_fused_lm_head = getattr(utils, "add_fused_lm_head", None)
if add_fused_lm_head is None:
    pytest.skip("this TRL computes log-probabilities without a fused head, as a whole", allow_module_level=True)

PROMPT, COMPLETION = 5, 30


def llama(**settings):
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=40, max_position_embeddings=64, **shape, **settings))
    add_fused_lm_head(model, outputs=("log_probs", "entropy"))
    return model


def gpt2():
    """Positions of its own for each column, also where padding stands."""
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=40, n_positions=64, n_embd=16, n_layer=2, n_head=2)).eval()
    add_fused_lm_head(model, outputs=("log_probs", "entropy"))
    return model


def batch(lengths, *, prompts=(3, 5, 4)):
    """Prompts padded on the left to 5, completions padded on the right, labels for these alone: as the trainer does."""
    torch.manual_seed(1)
    ids = torch.randint(1, 40, (len(lengths), PROMPT + COMPLETION))
    mask = torch.ones_like(ids)
    for row, length in enumerate(lengths):
        mask[row, : PROMPT - prompts[row % len(prompts)]] = 0
        mask[row, PROMPT + length :] = 0
    labels = ids.masked_fill(mask == 0, -100)
    labels[:, :PROMPT] = -100
    return {"input_ids": ids.masked_fill(mask == 0, 0), "attention_mask": mask, "labels": labels}


def results(model, given):
    """(log-probabilities, entropies, gradients of their sum)."""
    model.zero_grad()
    found = model(**given, fused_lm_head=True)
    (found.log_probs.sum() + found.entropy.sum()).backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    return found.log_probs.detach(), found.entropy.detach(), gradients


@pytest.mark.parametrize("make", [llama, gpt2])
@pytest.mark.parametrize("lengths", [[1, 30, 2, 7, 7, 0, 12, 29, 3, 5], [30] * 6, [0] * 6, [0, 9], [1]])
def test_the_numbers_are_those_of_the_whole_batch(make, lengths):
    given, model = batch(lengths), make()
    whole = results(model, given)
    assert compute_in_parts(model, rows=3)
    parts = results(model, given)
    torch.testing.assert_close(parts[:2], whole[:2], rtol=1e-4, atol=1e-5)
    assert parts[2].keys() == whole[2].keys()
    for name, gradient in whole[2].items():
        torch.testing.assert_close(parts[2][name], gradient, rtol=1e-3, atol=1e-4, msg=name)


def test_each_part_is_as_wide_as_its_longest_row():
    """Prompts of 5 and completions of 1 and 2, then 7 and 30; the row without a completion is not computed."""
    widths, model = [], llama()
    model.base_model.layers[0].register_forward_pre_hook(lambda module, given: widths.append(tuple(given[0].shape[:2])))
    compute_in_parts(model, rows=2)
    model(**batch([1, 0, 30, 2, 7], prompts=(5,)), fused_lm_head=True)
    assert widths == [(2, 7), (2, 35)]


def test_padding_before_prompts_is_cut_where_positions_are_relative():
    for make, width in ((llama, 2 + 4), (gpt2, 5 + 4)):
        widths, model = [], make()
        model.base_model.register_forward_pre_hook(
            lambda module, given, named, widths=widths: widths.append(named["input_ids"].shape[1]), with_kwargs=True
        )
        compute_in_parts(model)
        model(**batch([4, 3], prompts=(2,)), fused_lm_head=True)
        assert widths == [width]


def test_memory_for_the_backward_pass_is_less_than_for_the_whole_batch():
    def saved(model, given):
        held = {}

        def note(tensor):
            held[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            found = model(**given, fused_lm_head=True)
        return sum(held.values()), found

    given, model = batch([1, 30, 2, 7, 7, 12, 29, 3, 5]), llama()
    whole, _kept = saved(model, given)
    compute_in_parts(model, rows=3)
    parts, _kept = saved(model, given)
    assert parts < 0.75 * whole


def test_other_passes_are_as_before():
    ids = batch([0] * 6)["input_ids"][:, :PROMPT]
    model = llama()
    before, text = model(input_ids=ids, labels=ids), {"max_new_tokens": 4, "do_sample": False, "pad_token_id": 0}
    tokens = model.generate(input_ids=ids, **text)
    compute_in_parts(model, rows=2)
    after = model(input_ids=ids, labels=ids)
    assert torch.equal(after.logits, before.logits)
    assert torch.equal(after.loss, before.loss)
    assert torch.equal(model.generate(input_ids=ids, **text), tokens)


def test_angles_that_depend_on_the_width_are_left_alone():
    dynamic = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}
    model = llama(rope_parameters=dynamic)
    forward = model.forward
    assert not compute_in_parts(model)
    assert model.forward == forward
