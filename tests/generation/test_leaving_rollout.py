"""The rollout that drops finished sequences draws what TRL's own rollout draws."""

from __future__ import annotations

import math
from collections import Counter
from contextlib import nullcontext

import pytest
import torch
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    LogitsProcessor,
    LogitsProcessorList,
)
from trl import GRPOConfig, GRPOTrainer

from trl_rlsp.errors import ConfigError
from trl_rlsp.generation import finished_leave, leaving_rollout, why_not
from trl_rlsp.generation.local import SEGMENT


@pytest.fixture
def random_model():
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    ends = {"eos_token_id": 2, "pad_token_id": 0}
    return LlamaForCausalLM(LlamaConfig(vocab_size=40, max_position_embeddings=64, **shape, **ends)).eval()


def trainer(folder, tmp_path, rewards, *, steps=1, rollout=leaving_rollout, prompts=("8 1 9 : 72", "1 2 : 3"), **args):
    """A trainer on the taught model; `prompts` are repeated to 8 rows."""
    from datasets import Dataset

    given = {"per_device_train_batch_size": 8, "num_generations": 4, "max_completion_length": 16, **args}
    config = GRPOConfig(
        str(tmp_path),
        max_steps=steps,
        learning_rate=0.0,
        bf16=False,
        use_cpu=True,
        report_to="none",
        gradient_checkpointing=False,
        save_strategy="no",
        **given,
    )
    rows = Dataset.from_dict({"prompt": list(prompts) * 4})
    return GRPOTrainer(str(folder), rewards, args=config, train_dataset=rows, rollout_func=rollout)


def collected(folder, tmp_path, rollout, steps):
    """(prompt, completion) of every sample of a run."""
    seen = []

    def note(prompts, completions, **kwargs):
        seen.extend(zip(prompts, completions, strict=True))
        return [float(len(text) % 2) for text in completions]

    trainer(folder, tmp_path, note, steps=steps, rollout=rollout, beta=0.0).train()
    return seen


def test_draws_the_distribution_of_trls_rollout(taught_folder, tmp_path):
    """Each of three taught completions a prompt comes up as often as in TRL's own rollout, within 4 standard errors."""
    ours = collected(taught_folder, tmp_path / "a", leaving_rollout, 40)
    theirs = collected(taught_folder, tmp_path / "b", None, 40)
    assert len(ours) == len(theirs) == 320
    a, b = Counter(ours), Counter(theirs)
    common = [text for text, _ in (a + b).most_common(6)]
    assert sum(a[text] + b[text] for text in common) > 0.8 * 640
    for text in common:
        share = (a[text] + b[text]) / 640
        error = math.sqrt(2 * share * (1 - share) / 320)
        assert abs(a[text] - b[text]) / 320 < 4 * error, text


def test_trainer_takes_the_tokens_as_they_are(taught_folder, tmp_path):
    """With the sampling model unchanged, the importance ratio is 1 and the KL to the reference 0."""
    run = trainer(taught_folder, tmp_path, lambda completions, **_: [float(len(c)) for c in completions], beta=0.1)
    run.train()
    logged = [entry for entry in run.state.log_history if "kl" in entry]
    assert logged[0]["kl"] == pytest.approx(0.0, abs=1e-6)
    assert logged[0]["clip_ratio/region_mean"] == 0.0
    assert logged[0]["completions/clipped_ratio"] < 0.1
    assert 5 < logged[0]["completions/mean_length"] < 14


def generated(model, finished=True, **settings):
    """Completions of five prompts of unlike length, four of each, decoded greedily unless said otherwise."""
    prompts = [[5, 6, 7], [8], [9, 10], [11, 12, 13], [14]] * 4
    ids = torch.tensor([[0] * (3 - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (3 - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    given = {"input_ids": ids, "attention_mask": mask, "max_new_tokens": 40, "do_sample": False, "pad_token_id": 0}
    with finished_leave(model) if finished else nullcontext():
        return model.generate(**{**given, **settings})


class Endings(LogitsProcessor):
    """Makes sequences end at different times: when the sum of their tokens leaves a certain rest."""

    row_by_row = True

    def __call__(self, ids, scores):
        scores = scores.index_fill(1, torch.tensor(2), -torch.inf)
        scores[ids.sum(dim=1) % 11 == 0, 2] = torch.inf
        return scores


def test_greedy_completions_are_transformers_own(random_model):
    settings = {"logits_processor": LogitsProcessorList([Endings()])}
    ours, theirs = generated(random_model, **settings), generated(random_model, finished=False, **settings)
    assert torch.equal(ours, theirs)
    lengths = (ours[:, 3:] != 0).sum(dim=1)
    assert lengths.min() <= SEGMENT < lengths.max()


def test_finished_sequences_leave_and_each_prompt_is_read_once(random_model):
    shapes = []
    layer = random_model.base_model.layers[0]
    hook = layer.register_forward_pre_hook(lambda module, given: shapes.append(tuple(given[0].shape[:2])))
    generated(random_model, logits_processor=LogitsProcessorList([Endings()]))
    hook.remove()
    assert shapes[0] == (5, 3)  # five prompts, padded to three tokens, for twenty sequences
    rows = [shape[0] for shape in shapes[1:]]
    assert rows[0] == 20
    assert rows == sorted(rows, reverse=True)
    assert rows[-1] < 20


def test_a_processor_that_keeps_something_of_each_row_is_left_to_transformers(random_model, caplog):
    settings = {"repetition_penalty": 1.3}
    assert torch.equal(generated(random_model, **settings), generated(random_model, finished=False, **settings))
    assert "RepetitionPenaltyLogitsProcessor" in caplog.text


@pytest.mark.parametrize("limit", [1, 7, 8, 13, 40])
def test_sequences_end_at_their_own_limits(random_model, limit):
    """Two of five prompts have a limit; the others do not notice."""
    limits = [limit, limit, 40, 40, 40] * 4
    settings = {"logits_processor": LogitsProcessorList([Endings()])}
    expected = generated(random_model, finished=False, **settings)
    with finished_leave(random_model, limits):
        found = generated(random_model, finished=False, **settings)
    for row, limit in enumerate(limits):
        assert torch.equal(found[row, : 3 + limit], expected[row, : min(3 + limit, found.shape[1])])
        assert (found[row, 3 + limit :] == 0).all()


def test_a_cache_that_cannot_be_cut_is_left_to_transformers(random_model, monkeypatch):
    calls = []
    monkeypatch.setattr(type(random_model), "_sample", lambda *args, **given: calls.append(given) or args[1])
    monkeypatch.setattr("trl_rlsp.generation.local.can_be_cut", lambda given: False)
    generated(random_model)
    assert len(calls) == 1
    assert calls[0]["past_key_values"] is not None


def test_generate_is_as_before_afterwards(random_model):
    before = random_model.generate
    with pytest.raises(ZeroDivisionError), finished_leave(random_model):
        raise ZeroDivisionError
    assert random_model.generate == before
    assert "generate" not in vars(random_model)


@pytest.mark.parametrize("setting", [{"top_k": 1}, {"min_p": 1.0}])
def test_draws_as_the_settings_say(taught_folder, tmp_path, setting):
    """Where only the likeliest token can be drawn, all completions of a prompt are alike."""
    seen = []

    def note(prompts, completions, **_):
        seen.extend(zip(prompts, completions, strict=True))
        return [0.0] * len(completions)

    trainer(taught_folder, tmp_path, note, **setting).train()
    assert len(seen) == 8
    assert len(set(seen)) == 2


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"generation_kwargs": {"num_beams": 2}}, "generation_kwargs"),
        ({"cache_implementation": "static"}, "cache_impl"),
    ],
)
def test_refuses_what_it_cannot_draw(taught_folder, tmp_path, settings, reason):
    with pytest.raises(ConfigError, match=reason):
        trainer(taught_folder, tmp_path, lambda completions, **_: [0.0] * len(completions), **settings).train()


def test_sharded_weights_are_left_to_trl(taught_folder, tmp_path):
    run = trainer(taught_folder, tmp_path, lambda completions, **_: [0.0] * len(completions))
    assert why_not(run) is None
    run.is_fsdp_enabled = True
    assert "FSDP" in why_not(run)
