"""What the trainer does fast, what it leaves to TRL, and what it says then."""

from __future__ import annotations

import threading
import time

import pytest
import torch
import transformers
from packaging.version import Version
from tiny_grpo import tiny_grpo

from trl_rlsp import OutcomeVerifier, RLSPGRPOTrainer, RLSPRewards
from trl_rlsp.errors import ConfigError
from trl_rlsp.trainers._fast_step import _sorted, _split

FAST = {"rollout": True, "trim_updates": True, "skip_zero_advantage": True}


def by_length(prompts, completions, **_):
    """No advantage for completions of the second prompt."""
    return [float(len(text)) * ("8 1" in prompt) for prompt, text in zip(prompts, completions, strict=True)]


@pytest.fixture
def build(taught_folder, tmp_path):
    def build(rewards=by_length, rollout_func=None, tests=None, **settings):
        prompts = [f"<user> {problem} <assistant>" for problem in ("8 1 9 : 72", "1 2 : 3")]
        columns = {"prompt": prompts * 8} | ({"tests": [tests] * 16} if tests else {})
        return tiny_grpo(tmp_path, taught_folder, rewards, columns, given={"rollout_func": rollout_func}, **settings)

    return build


def test_fast_without_a_setting(build, caplog):
    trainer = build()
    assert trainer._fast == FAST
    trainer.train()
    assert "off" not in caplog.text
    assert trainer.state.log_history[0]["reward_std"] > 0


def test_each_piece_can_be_turned_off(build):
    trainer = build(rollout="trl", trim_updates=False, skip_zero_advantage=False)
    assert trainer._fast == dict.fromkeys(FAST, False)


def test_a_rollout_that_does_not_exist(build):
    with pytest.raises(ConfigError, match="rollout is 'fast' or 'trl', got 'vllm'"):
        build(rollout="vllm")


@pytest.mark.parametrize(
    ("settings", "off", "message"),
    [
        ({"generation_kwargs": {"top_k": 3}}, {"rollout"}, "rollout is off and TRL's own step is used: generation_kw"),
        ({"pad_to_multiple_of": 8}, {"trim_updates", "skip_zero_advantage"}, "pad_to_multiple_of is set"),
        ({"beta": 0.1}, {"skip_zero_advantage"}, ""),
        ({"entropy_coef": 0.1}, {"skip_zero_advantage"}, ""),
        ({"top_entropy_quantile": 0.2}, {"skip_zero_advantage"}, ""),
        ({"loss_type": "bnpo"}, {"skip_zero_advantage"}, ""),
        ({"loss_type": "vespo"}, {"skip_zero_advantage"}, ""),
    ],
    ids=lambda value: str(sorted(value) if isinstance(value, set) else value),  # a set's order changes with the process
)
def test_what_is_left_to_trl(build, caplog, settings, off, message):
    trainer = build(**settings)
    assert {name for name, on in trainer._fast.items() if not on} == off
    assert message in caplog.text
    trainer.train()


def test_a_static_cache_is_made_and_draws_the_same_tokens(build, caplog, monkeypatch):
    drawn, made = [], []
    original = transformers.StaticCache.__init__
    monkeypatch.setattr(
        transformers.StaticCache, "__init__", lambda *args, **kwargs: (made.append(1), original(*args, **kwargs))[1]
    )
    for settings in ({"rollout": "trl"}, {"cache_implementation": "static"}):
        build(lambda completion_ids, **_: drawn.extend(completion_ids) or [0.0, 1.0] * 4, **settings).train()
    assert len(drawn) == 32
    assert drawn[:16] == drawn[16:]
    assert made  # one for each generation; transformers 5.4 keeps the first
    assert "rollout is off and TRL's own step is used: generation_kwargs or cache_implementation is set" in caplog.text


def test_sharded_weights_and_experts_turn_it_off(build):
    trainer = build()
    assert trainer._why_whole() is None
    trainer.aux_loss_enabled = True
    assert "mixture of experts" in trainer._why_whole()
    trainer.is_fsdp_enabled = True
    assert "FSDP" in trainer._why_whole()


def test_an_own_rollout_function_is_used(build, caplog):
    def play(prompts, trainer):
        ids = trainer.processing_class(prompts)["input_ids"]
        return {"prompt_ids": ids, "completion_ids": [[5, 6, 2]] * len(prompts), "logprobs": None}

    trainer = build(rollout_func=play)
    assert trainer._fast["rollout"] is False
    trainer.train()
    assert trainer.state.log_history[0]["completions/mean_length"] == 3
    assert "off" not in caplog.text


@pytest.mark.skipif(Version(transformers.__version__) < Version("5.8"), reason="TRL asks for transformers 5.8")
def test_weights_keep_their_type_where_the_rollout_casts_them(build, monkeypatch):
    """TRL turns them into bfloat16 for continuous batching, and the frequencies of rotary embeddings with them."""
    room = {"num_blocks": 32, "max_batch_tokens": 64, "use_cuda_graph": False}
    trainer = build(
        bf16=True,
        learning_rate=0.0,
        use_transformers_continuous_batching=True,
        transformers_continuous_batching_config=room,
    )
    during = set()
    generate = type(trainer.model).generate_batch

    def seen(self, *args, **kwargs):
        during.update(tensor.dtype for tensor in (*self.parameters(), *self.buffers()))
        return generate(self, *args, **kwargs)

    monkeypatch.setattr(type(trainer.model), "generate_batch", seen)
    before = {
        name: tensor.clone() for name, tensor in (*trainer.model.named_parameters(), *trainer.model.named_buffers())
    }
    assert any("inv_freq" in name for name in before)
    trainer.train()
    after = dict((*trainer.model.named_parameters(), *trainer.model.named_buffers()))
    assert during == {torch.bfloat16}
    assert before.keys() == after.keys()
    assert all(after[name].dtype == torch.float32 and torch.equal(after[name], before[name]) for name in before)


def test_rows_without_advantage_are_not_computed(build):
    """Four of eight rows; a batch without any advantage still makes one row's pass, with a gradient of 0."""
    rows = []

    def count(module, args, given):
        if given.get("use_cache") is False and torch.is_grad_enabled():
            rows.append(len(given["input_ids"]))

    trainer = build(skip_zero_advantage=True)
    trainer.model.base_model.register_forward_pre_hook(count, with_kwargs=True)
    trainer.train()
    assert rows == [4, 4]
    rows.clear()
    trainer = build(lambda completions, **_: [1.0] * len(completions))
    trainer.model.base_model.register_forward_pre_hook(count, with_kwargs=True)
    trainer.train()
    assert rows == [1, 1]
    assert trainer.state.log_history[0]["grad_norm"] == 0.0
    assert trainer.state.log_history[0]["entropy"] > 0


def test_rows_are_dealt_out_by_length():
    """Two micro-batches of two; the row without advantage counts as of no length where it is skipped."""

    def batch(lengths, advantages):
        mask = torch.tensor([[1] * length + [0] * (5 - length) for length in lengths])
        return {"completion_mask": mask, "advantages": torch.tensor(advantages), "num_items_in_batch": torch.tensor(13)}

    batches = [batch([5, 1], [0.0, 1.0]), batch([3, 4], [2.0, 3.0])]

    def dealt(skips):
        found = _sorted(batches, skips)
        assert all(int(each["num_items_in_batch"]) == 13 for each in found)
        return [each["completion_mask"].sum(dim=1).tolist() for each in found]

    assert dealt(False) == [[1, 3], [4, 5]]
    assert dealt(True) == [[5, 1], [3, 4]]
    assert [each["advantages"].tolist() for each in _sorted(batches, True)] == [[0.0, 1.0], [2.0, 3.0]]
    assert _sorted(batches[:1], True) == batches[:1]


def test_generate_is_as_before_after_training(build):
    trainer = build()
    trainer.train()
    assert "generate" not in vars(trainer.model)


def test_log_probabilities_of_the_rollout_are_the_old_policys(build, monkeypatch):
    """With two updates a generation, TRL asks for them; they are what a pass of the model gives, without that pass."""
    seen = []
    trainer = build(steps_per_generation=2, temperature=0.7, num_generations=8)
    compute = RLSPGRPOTrainer._get_per_token_logps_and_entropies

    def compare(self, model, input_ids, attention_mask, keep, *args, **kwargs):
        kept = self._drawn_BT
        found = compute(self, model, input_ids, attention_mask, keep, *args, **kwargs)
        if not torch.is_grad_enabled():
            again = compute(self, model, input_ids, attention_mask, keep, *args, **kwargs)
            seen.append((kept is not None, (found[0] - again[0])[attention_mask[:, -keep:].bool()].abs().max()))
        return found

    monkeypatch.setattr(RLSPGRPOTrainer, "_get_per_token_logps_and_entropies", compare)
    trainer.train()
    assert [kept for kept, _ in seen] == [True]
    assert seen[0][1] < 1e-5
    assert trainer.state.log_history[0]["clip_ratio/region_mean"] == 0


@pytest.mark.parametrize("settings", [{"steps_per_generation": 1}, {"steps_per_generation": 2, "top_k": 3}], ids=str)
def test_log_probabilities_of_the_rollout_are_kept_only_where_they_serve(build, settings):
    trainer = build(**settings)
    trainer.train()
    assert trainer._drawn_BT is None
    assert trainer._keeps_drawn is (settings["steps_per_generation"] == 2)


def test_programs_are_verified_while_others_are_written(build, monkeypatch):
    """Each completion once, the first of them before the rollout has ended, in another thread."""
    judged, over = [], []

    def judge(rows):
        judged.append((threading.current_thread().name.startswith("rlsp-verify-early"), bool(over), len(rows)))
        return [float(len(row.completion) % 2) for row in rows]

    generate = RLSPGRPOTrainer._generate_single_turn

    def generated(self, *args, **kwargs):
        over.clear()
        found = generate(self, *args, **kwargs)
        time.sleep(0.5)  # for the thread to end
        over.append(True)
        return found

    monkeypatch.setattr(RLSPGRPOTrainer, "_generate_single_turn", generated)
    monkeypatch.setattr("trl_rlsp.generation.local.SEGMENT", 2)
    with OutcomeVerifier(custom={"code": judge}) as verifier:
        seen = []
        trainer = build(RLSPRewards(verifier, []), tests='[{"input": "", "output": "1"}]')
        monkeypatch.setattr(verifier, "judged", lambda *a, f=verifier.judged, **k: seen.append(f(*a, **k)) or seen[-1])
        trainer.train()
        early = [count for in_thread, after, count in judged if in_thread]
        assert early
        assert not any(after for in_thread, after, _ in judged if in_thread)
        assert sum(count for *_, count in judged) <= sum(map(len, seen)) == 16  # none twice
        again = [verdict.score for verdict in seen[0]]
        assert {0.0, 1.0} >= set(again)


def test_parts_by_tokens():
    """Ends 3, 4, 6, 10 within 12 tokens: two rows of 4 are 8, a third of 6 would be 18; 6; and 10 alone."""
    order = torch.tensor([2, 0, 3, 1])
    assert [part.tolist() for part in _split(order, [3, 4, 6, 10], 16, 12)] == [[2, 0], [3], [1]]
    assert [part.tolist() for part in _split(order, [3, 4, 6, 10], 16, 1)] == [[2], [0], [3], [1]]
    assert [part.tolist() for part in _split(order, [3, 4, 6, 10], 3, None)] == [[2, 0, 3], [1]]


def test_part_tokens_give_the_same_gradients(build):
    logged = []
    for tokens in (None, 40):
        trainer = build(part_tokens=tokens)
        trainer.train()
        logged.append([entry["grad_norm"] for entry in trainer.state.log_history if "grad_norm" in entry])
    assert logged[0] == pytest.approx(logged[1], rel=1e-4)
    with pytest.raises(ConfigError, match="part_tokens is a number of tokens of at least 1, got 0"):
        build(part_tokens=0)


def test_programs_that_wait_are_left_to_the_rewards(build):
    """So that what was begun early cannot add up beyond the limit of one batch."""
    trainer = build()
    begun, over = threading.Event(), threading.Event()
    running = trainer._thread.submit(lambda: begun.set() or over.wait(60))
    waiting = trainer._thread.submit(pytest.fail)
    begun.wait(60)
    trainer._early = (running, waiting)
    threading.Timer(0.2, over.set).start()
    rows = [{"prompt": "8 1 9 : 72"}]
    trainer._calculate_rewards(rows, ["8 1 9 : 72"], ["72"], [[5]])
    assert running.done()
    assert waiting.cancelled()
    assert trainer._early == ()


@pytest.mark.parametrize("weight", [0.1, 0.0, 1.0])
def test_positive_advantages_are_scaled(build, weight):
    """What TRL would have learned from, with positive advantages times the weight; at 0 they are skipped."""
    trainer = build(positive_weight=weight)
    trainer.train()
    before = torch.tensor(list(trainer._logs["advantages"]))
    after = torch.cat([batch["advantages"] for batch in trainer._buffered_inputs])
    assert before.max() > 0 > before.min()
    assert torch.allclose(
        after.sort().values, torch.where(before > 0, weight * before, before)[-len(after) :].sort().values
    )


def test_skipping_what_has_no_weight_changes_nothing(build):
    weights = []
    for skips in (True, False):
        trainer = build(positive_weight=0.0, skip_zero_advantage=skips, learning_rate=1e-3)
        trainer.train()
        weights.append(torch.cat([weight.detach().flatten() for weight in trainer.model.parameters()]))
    assert torch.allclose(*weights, rtol=0, atol=1e-5)


def test_a_negative_weight_is_refused(build):
    with pytest.raises(ConfigError, match=r"positive_weight is a factor of at least 0, got -1"):
        build(positive_weight=-1)
