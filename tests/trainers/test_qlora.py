"""QLoRA on real 4-bit weights: SFT's adapter goes on in RL, its reference, and runs that were cut off."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import Trainer

from trl_rlsp.cli import main
from trl_rlsp.commands import model_arguments
from trl_rlsp.errors import SourceError
from trl_rlsp.stages import parse_grpo, tokenizer_of
from trl_rlsp.trainers._adapter import (
    is_adapter,
    keep_full_precision,
    load_trainable,
    trainable_weights,
    types_kept,
)

pytest.importorskip("bitsandbytes")

QLORA = """
load_in_4bit: true
use_bnb_nested_quant: true
use_peft: true
lora_r: 4
lora_alpha: 8
lora_dropout: 0.0
lora_target_modules: all-linear
system_prompt: none
use_cpu: true
gradient_checkpointing: false
per_device_train_batch_size: 8
logging_steps: 1
save_steps: 2
lr_scheduler_type: cosine
report_to: none
"""
TYPES = {"float32": "dtype: float32\nbf16: false\n", "bfloat16": "dtype: bfloat16\nbf16: true\n"}
SFT = 'demonstration_template: "{reasoning} \\\\boxed{ {answer} }"\nmax_length: 64\nlearning_rate: 1.0e-2\n'
GRPO = (
    "num_generations: 4\nmax_completion_length: 12\ntemperature: 1.0\nlength_c: 6\nbeta: 0.05\nlearning_rate: 1.0e-2\n"
)


def write(folder, name, text):
    path = folder / f"{name}.yaml"
    path.write_text(text)
    return str(path)


def weights(folder):
    return load_file(Path(folder) / "adapter_model.safetensors")


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def history(folder):
    """What was logged at each step, without the clock and SFT's count of tokens, which TRL begins anew."""
    log = json.loads((Path(folder) / "trainer_state.json").read_text(encoding="utf-8"))["log_history"]
    left_out = ("num_tokens", "time", "runtime", "per_second", "total_flos")
    return [{k: v for k, v in entry.items() if not any(name in k for name in left_out)} for entry in log]


@pytest.fixture(scope="module")
def place(tmp_path_factory, taught):
    """A folder with demonstrations and problems."""
    folder = tmp_path_factory.mktemp("qlora")
    problems = [{"problem": p, "reasoning": "1 + 2 = 3 no", "answer": p.rpartition(" ")[2]} for p in taught]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in problems * 4))
    return folder


@pytest.fixture(scope="module", params=["float32", pytest.param("bfloat16", marks=pytest.mark.slow)])
def stages(request, place, taught_folder):
    """The files of both stages, SFT's done: (type, sft.yaml, grpo.yaml, folder of SFT's adapter)."""
    folder = place / request.param
    folder.mkdir()
    common = f"dataset: {place / 'rows.jsonl'}\n{QLORA}{TYPES[request.param]}"
    sft = write(folder, "sft", f"model_name_or_path: {taught_folder}\noutput_dir: {folder / 'sft'}\n{SFT}{common}")
    grpo = write(folder, "grpo", f"model_name_or_path: {folder / 'sft'}\noutput_dir: {folder / 'rl'}\n{GRPO}{common}")
    assert main(["sft", "--config", sft, "--max_steps", "4"]) == 0
    return request.param, sft, grpo, folder / "sft"


@pytest.fixture(scope="module")
def trained(stages):
    """The folder of four uninterrupted steps of RL from SFT's adapter."""
    _, _, grpo, adapter = stages
    assert main(["grpo", "--config", grpo, "--max_steps", "4"]) == 0
    return adapter.parent / "rl"


class TestSFTThenRL:
    def test_sft_has_trained_an_adapter(self, stages):
        found = weights(stages[3])
        assert is_adapter(str(stages[3]))
        assert len(found) == 2 * 2 * 7  # A and B of 7 matrices in each of 2 layers
        assert all(tensor.dtype == torch.float32 for tensor in found.values())
        assert any(tensor.any() for name, tensor in found.items() if "lora_B" in name)

    def test_rl_starts_from_it(self, stages, tmp_path):
        """At learning rate 0 it comes out as it went in."""
        _, _, grpo, adapter = stages
        out = tmp_path / "still"
        assert (
            main(["grpo", "--config", grpo, "--max_steps", "1", "--learning_rate", "0", "--output_dir", f"{out}"]) == 0
        )
        assert same(weights(out), weights(adapter))

    def test_rl_trains_the_same_adapter(self, stages, trained):
        before, after = weights(stages[3]), weights(trained)
        assert before.keys() == after.keys()
        assert not any(torch.equal(before[name], after[name]) for name in before)
        of = json.loads((trained / "adapter_config.json").read_text())
        assert (
            of["base_model_name_or_path"]
            == json.loads((stages[3] / "adapter_config.json").read_text())["base_model_name_or_path"]
        )

    def test_kl_to_the_reference_is_zero_at_first(self, trained):
        kl = [entry["kl"] for entry in history(trained) if "kl" in entry]
        assert len(kl) == 4
        assert kl[0] == 0.0
        assert min(kl[1:]) > 0

    def test_the_reference_is_the_model_after_sft(self, stages):
        """By log-probabilities: of the policy, of the reference, and of the base without any adapter."""
        from trl_rlsp import RLSPGRPOTrainer

        data, rewards, training, model = parse_grpo(["--config", stages[2]])
        trainer = RLSPGRPOTrainer(
            reward_funcs=rewards,
            args=training,
            train_dataset=data.load(),
            processing_class=tokenizer_of(model, padding_side="left"),
            **model_arguments(model, training),
        )
        rewards.close()
        policy = trainer.model
        # in evaluation bitsandbytes repacks weights for CPUs with AVX512-BF16, which rows of less than 64 cannot be
        policy.train()
        ids = torch.tensor([[4, 14, 7, 15, 25, 9, 30]])

        def logits():
            with torch.no_grad():
                return policy(input_ids=ids).logits

        after_sft = logits()
        with policy.disable_adapter():
            base = logits()
        policy.set_adapter("ref")
        assert torch.equal(logits(), after_sft)
        assert (after_sft - base).abs().max() > 0.1
        assert type(policy.get_submodule("base_model.model.model.layers.0.self_attn.q_proj")).__name__ == "Linear4bit"

    def test_a_new_adapter_has_the_base_as_its_reference(self, stages, taught_folder, tmp_path):
        given = ["--model_name_or_path", str(taught_folder), "--output_dir", str(tmp_path), "--max_steps", "2"]
        assert main(["grpo", "--config", stages[2], *given]) == 0
        first, second = [entry["kl"] for entry in history(tmp_path) if "kl" in entry]
        assert first == 0.0
        assert second > 0


class TestResume:
    """A run cut after step 2 of 4 ends as the one that was not."""

    def cut(self, whole, folder):
        shutil.copytree(whole / "checkpoint-2", folder / "checkpoint-2")
        return ["--output_dir", str(folder), "--max_steps", "4", "--resume_from_checkpoint", "auto"]

    def agree(self, whole, folder):
        assert json.loads((folder / "stage.json").read_text())["resumed_from"] == "checkpoint-2"
        assert same(weights(whole), weights(folder))
        assert history(whole)[:4] == history(folder)[:4]
        for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth"):
            one, other = (
                torch.load(run / "checkpoint-4" / name, map_location="cpu", weights_only=False)
                for run in (whole, folder)
            )
            assert flat(one) == flat(other), name

    def test_rl(self, stages, trained, tmp_path):
        assert main(["grpo", "--config", stages[2], *self.cut(trained, tmp_path)]) == 0
        self.agree(trained, tmp_path)

    def test_rl_where_transformers_leaves_the_trained_adapter_out(self, stages, trained, tmp_path, monkeypatch):
        """As 5.0 to 5.22 do beside a reference, whose own weights are those of the start."""
        monkeypatch.setattr(Trainer, "_load_from_checkpoint", lambda self, checkpoint, model=None: None)
        assert main(["grpo", "--config", stages[2], *self.cut(trained, tmp_path)]) == 0
        self.agree(trained, tmp_path)

    def test_sft(self, stages, tmp_path):
        assert main(["sft", "--config", stages[1], *self.cut(stages[3], tmp_path)]) == 0
        self.agree(stages[3], tmp_path)

    def test_the_comparison_can_fail(self, stages, trained, tmp_path):
        more = [*self.cut(trained, tmp_path), "--learning_rate", "2e-2", "--seed", "1"]
        assert main(["grpo", "--config", stages[2], *more]) == 0
        assert not same(weights(trained), weights(tmp_path))


def flat(state):
    """A saved state as something that `==` compares."""
    if isinstance(state, dict):
        return {key: flat(value) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return [flat(value) for value in state]
    return state.tolist() if hasattr(state, "tolist") else state


class TestPrecision:
    def test_small_updates_are_kept(self):
        """Why the adapter is not in bfloat16: 0.01 + 1e-6 is 0.01 there."""
        weight = torch.tensor([0.01])
        assert weight.bfloat16() + torch.tensor([1e-6]).bfloat16() == weight.bfloat16()
        assert weight + 1e-6 > weight

    def test_of_a_quantized_model_only(self):
        model = torch.nn.Linear(2, 2).bfloat16()
        assert keep_full_precision(model) == 0
        assert model.weight.dtype == torch.bfloat16
        model.is_loaded_in_4bit = True
        model.bias.requires_grad_(False)
        assert keep_full_precision(model) == 1
        assert (model.weight.dtype, model.bias.dtype) == (torch.float32, torch.bfloat16)

    def test_what_was_rounded_comes_back(self):
        model = torch.nn.Linear(1, 1, bias=False)
        model.is_loaded_in_4bit = True
        model.weight.data.fill_(0.1)
        before = trainable_weights(model)
        model.weight.data = model.weight.data.bfloat16()
        assert model.weight.item() != torch.tensor(0.1).item()
        keep_full_precision(model, before)
        assert model.weight.item() == torch.tensor(0.1).item()

    def test_a_cast_ends(self):
        """Also where generation fails, and of buffers, which a cast replaces."""
        model = torch.nn.BatchNorm1d(2)
        model.weight.data.fill_(0.1)
        weight, mean = model.weight, model.running_mean
        with contextlib.suppress(KeyboardInterrupt), types_kept(model):
            model.to(torch.bfloat16)
            assert weight.dtype == model.running_mean.dtype == torch.bfloat16
            raise KeyboardInterrupt
        assert model.weight is weight
        assert model.running_mean is mean
        assert (weight.dtype, mean.dtype) == (torch.float32, torch.float32)
        assert torch.equal(weight.data, torch.tensor([0.1, 0.1]))

    def test_a_name_has_no_weights(self):
        assert trainable_weights("Qwen/Qwen2.5-0.5B-Instruct") == {}


class TestAdapterFolders:
    def test_a_whole_model_is_none(self, taught_folder):
        assert not is_adapter(str(taught_folder))

    def test_nothing_at_all_is_none(self):
        assert not is_adapter("no/model")
        assert not is_adapter("runs/some/folder")

    def test_without_its_base(self, stages, tmp_path):
        shutil.copytree(stages[3], tmp_path / "adapter")
        path = tmp_path / "adapter" / "adapter_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"base_model_name_or_path": "no/model"}))
        with pytest.raises(SourceError, match=r"the base 'no/model' of adapter .* cannot be loaded"):
            load_trainable(str(tmp_path / "adapter"))
