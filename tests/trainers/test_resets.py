"""Resets of the reference and of the optimizer: when, to what, and the same after resuming."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel
from safetensors.torch import load_file
from tiny_grpo import tiny_grpo
from transformers import AutoConfig, AutoModelForCausalLM, TrainerCallback

from trl_rlsp import RLSPRewards
from trl_rlsp.errors import ConfigError
from trl_rlsp.planning import Architecture, Settings, checkpoint_bytes


def verdicts(completions, **_):
    """Other ones for each length, so that nearly every group has a gradient."""
    return [len(text) % 8 / 7 for text in completions]


class Watch(TrainerCallback):
    """After each update: how far the reference is from the policy, and the updates that the optimizer remembers."""

    def __init__(self):
        self.trainer, self.distances, self.remembered, self.references = None, [], [], []

    def on_step_end(self, args, state, control, **kwargs):
        policy, reference = weights_of(self.trainer)
        self.references.append([weight.clone() for weight in reference])
        self.distances.append(max((p - r).abs().max().item() for p, r in zip(policy, reference, strict=True)))
        self.remembered.append(max((int(each["step"]) for each in self.trainer.optimizer.state.values()), default=0))


def weights_of(trainer):
    """The trained weights and those of the reference, in one order."""
    if trainer.ref_model is not None:
        return list(trainer.model.parameters()), list(trainer.ref_model.parameters())
    named = dict(trainer.model.named_parameters())
    names = [name for name in named if ".default." in name]
    return [named[name] for name in names], [named.get(name.replace(".default.", ".ref.")) for name in names]


@pytest.fixture
def build(taught_folder, tmp_path):
    def build(folder="run", adapter=None, **settings):
        given = {"per_device_train_batch_size": 16, "num_generations": 8, "max_completion_length": 6, "max_steps": 6}
        given |= {"learning_rate": 1e-3, "lr_scheduler_type": "constant", "beta": 0.1, "reset_steps": 2, **settings}
        model = AutoModelForCausalLM.from_pretrained(taught_folder, dtype="float32")
        if isinstance(adapter, str):
            model, adapter = PeftModel.from_pretrained(model, adapter, is_trainable=True), None
        columns = {"prompt": ["<user> 8 1 9 : 72 <assistant>", "<user> 1 2 : 3 <assistant>"] * 16}
        given |= {"model": model, "given": {"peft_config": adapter}}
        watch = Watch()
        watch.trainer = tiny_grpo(tmp_path / folder, taught_folder, RLSPRewards(verdicts, []), columns, **given)
        watch.trainer.add_callback(watch)
        return watch.trainer, watch

    return build


LORA = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights="gaussian")
ADAPTERS = pytest.mark.parametrize("adapter", [None, LORA], ids=["whole", "lora"])


@ADAPTERS
def test_every_second_update_the_reference_is_the_policy_and_the_optimizer_is_new(build, adapter):
    trainer, watch = build(adapter=adapter)
    start = [weight.clone() for weight in weights_of(trainer)[1]]
    trainer.train()
    assert [distance == 0 for distance in watch.distances] == [False, True] * 3
    assert watch.remembered == [1, 0, 1, 0, 1, 0]
    assert all(torch.equal(one, other) for one, other in zip(start, watch.references[0], strict=True))
    entries = [entry["kl"] for entry in trainer.state.log_history if "kl" in entry]
    assert [kl < 1e-9 for kl in entries] == [True, False] * 3  # the first update after a reset starts at the reference
    assert {".ref." in name for name, weight in trainer.model.named_parameters() if weight.requires_grad} == {False}


@ADAPTERS
@pytest.mark.parametrize("settings", [{"save_steps": 3}, {"save_steps": 4}], ids=["between", "at a reset"])
def test_a_resumed_run_has_the_reference_of_the_last_reset(build, adapter, settings, taught_folder):
    """And the plan knows the size of its checkpoint."""
    saving = {"save_strategy": "steps", "save_only_model": False, **settings}
    whole, watched = build("whole", adapter, **saving)
    whole.train()
    resumed, watch = build("resumed", adapter, **saving)
    resumed.train(resume_from_checkpoint=f"{whole.args.output_dir}/checkpoint-{settings['save_steps']}")
    assert watch.remembered == watched.remembered[settings["save_steps"] :]
    if settings["save_steps"] == 3:  # a reset has emptied the other's optimizer
        base = AutoConfig.from_pretrained(taught_folder)
        kind = {"rank": adapter.r, "targets": "all-linear"} if adapter else {}
        planned = Settings(dtype="float32", reference=True, saved=True, **kind)
        folder = Path(whole.args.output_dir, "checkpoint-3")
        saved = [tensor for file in folder.rglob("*.safetensors") for tensor in load_file(file).values()]
        states = torch.load(folder / "optimizer.pt")["state"].values()
        written = sum(tensor.nbytes for tensor in (*saved, *(value for state in states for value in state.values())))
        assert checkpoint_bytes(Architecture.of(base), planned) == written
    for one, other in zip(watch.references[0], watched.references[settings["save_steps"]], strict=True):
        assert torch.equal(one, other)
    for one, other in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_trls_own_reference_is_kept_in_checkpoints_too(build):
    moving = {"sync_ref_model": True, "ref_model_sync_steps": 2, "ref_model_mixup_alpha": 0.5, "reset_steps": None}
    saving = {"save_strategy": "steps", "save_steps": 3, "save_only_model": False, **moving}
    whole, watched = build("whole", **saving)
    whole.train()
    assert watched.remembered == [1, 2, 3, 4, 5, 6]
    resumed, watch = build("resumed", **saving)
    resumed.train(resume_from_checkpoint=f"{whole.args.output_dir}/checkpoint-3")
    for one, other in zip(watch.references[0], watched.references[3], strict=True):
        assert torch.equal(one, other)


def test_an_adapter_from_a_folder_keeps_trls_reference_adapter(build, tmp_path):
    first, _ = build("first", LORA, max_steps=2)
    first.train()
    first.save_model(str(tmp_path / "adapter"))
    trainer, watch = build("second", str(tmp_path / "adapter"), max_steps=2)
    trainer.train()
    assert watch.distances[1] == 0 < watch.distances[0]


def test_without_a_reference_the_optimizer_alone_is_reset(build):
    trainer, watch = build(adapter=LORA, beta=0.0)
    trainer.remove_callback(watch)
    updates = []

    class Remembered(TrainerCallback):
        def on_step_end(self, *_, **__):
            updates.append(max((int(each["step"]) for each in trainer.optimizer.state.values()), default=0))

    trainer.add_callback(Remembered())
    trainer.train()
    assert updates == [1, 0] * 3
    assert list(trainer.model.peft_config) == ["default"]


@pytest.mark.parametrize("steps", [0, -1])
def test_what_cannot_be_meant_is_refused(build, steps):
    with pytest.raises(ConfigError, match=f"reset_steps is a number of updates of at least 1, got {steps}"):
        build(reset_steps=steps)
