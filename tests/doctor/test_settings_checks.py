"""Checks that look at the settings alone: groups, precision, vLLM, balance, disk."""

from __future__ import annotations

import pytest
from peft import LoraConfig

from trl_rlsp.doctor import _checks, read_stage
from trl_rlsp.planning import Architecture, Settings, checkpoint_bytes, layout
from trl_rlsp.planning._memory import trained_tensors

LORA = {"use_peft": True, "lora_target_modules": "q_proj", "load_in_4bit": True}


def brief(found):
    return [(finding.severity, finding.change) for finding in found]


class TestHealthy:
    @pytest.mark.parametrize("kind", ["sft", "grpo"])
    def test_nothing_is_found(self, findings, kind):
        assert findings(kind) == []

    def test_a_stage_without_its_validation_keeps_what_was_written(self, write_stage):
        # TRL itself would derive 4 from gradient_accumulation_steps
        stage = read_stage("grpo", ["--config", write_stage("grpo", gradient_accumulation_steps=4)])
        assert stage.training.steps_per_generation is None
        assert stage.steps_per_generation == 4
        assert stage.sequences_per_generation == 16


class TestGroups:
    @pytest.mark.parametrize(
        ("processes", "changes", "line"),
        [
            # 2 x 3 ranks x 1 step = 6; multiples of 8 and 6: 24 = 6 x 4 steps
            (3, {"num_generations": 8, "per_device_train_batch_size": 2}, "gradient_accumulation_steps: 4"),
            # 2 x 1 x 5 = 10, next multiple of lcm(2, 4) = 4 is 12 = 2 x 6
            (1, {"per_device_train_batch_size": 2, "steps_per_generation": 5}, "steps_per_generation: 6"),
            # multiples of 4 and of 4 x 2 = 8
            (2, {"generation_batch_size": 12}, "generation_batch_size: 16"),
            (1, {"num_generations": 1, "per_device_train_batch_size": 8}, "num_generations: 8"),
        ],
    )
    def test_refused_with_the_line_that_mends_it(self, findings, processes, changes, line):
        (found,) = findings("grpo", processes=processes, checks=["groups"], **changes)
        assert (found.severity, found.change) == ("error", line)
        name, value = line.split(": ")
        assert findings("grpo", processes=processes, checks=["groups"], **changes | {name: int(value)}) == []

    def test_a_group_split_over_ranks_is_whole(self, findings):
        # 2 x 2 ranks = 4 = one group
        assert findings("grpo", processes=2, checks=["groups"], per_device_train_batch_size=2) == []

    def test_trls_own_refusal_is_not_said_twice(self, findings):
        found = findings("grpo", num_generations=3)
        assert [finding.check for finding in found] == ["groups"]


class TestPrecision:
    def test_four_bit_computes_in_float32_by_default(self, findings):
        found = findings("grpo", checks=["four_bit"], use_cpu=False, dtype=None, **LORA)
        assert brief(found) == [("warning", "dtype: bfloat16")]
        assert found[0].what == "4-bit layers compute in float32"

    @pytest.mark.parametrize("settings", [{"dtype": "bfloat16", "use_cpu": False}, {"dtype": "float32"}])
    def test_four_bit_as_it_should_be(self, findings, settings):
        assert findings("grpo", checks=["four_bit"], **LORA | settings) == []

    def test_that_is_what_trl_does(self):
        """The fact that the check rests on."""
        import torch
        from trl import ModelConfig, get_quantization_config

        assert get_quantization_config(ModelConfig(load_in_4bit=True)).bnb_4bit_compute_dtype == torch.float32
        with pytest.raises(AttributeError, match="auto"):
            get_quantization_config(ModelConfig(load_in_4bit=True, dtype="auto"))

    def test_auto_is_no_type_to_compute_in(self, findings):
        assert brief(findings("grpo", checks=["four_bit"], **LORA | {"dtype": "auto"})) == [
            ("error", "dtype: bfloat16")
        ]

    @pytest.mark.parametrize("bits", ["load_in_4bit", "load_in_8bit"])
    def test_quantized_without_an_adapter(self, findings, bits):
        assert brief(findings("sft", checks=["four_bit"], **{bits: True})) == [("error", "use_peft: true")]

    def test_bf16_without_a_gpu(self, findings, monkeypatch):
        monkeypatch.setattr("transformers.utils.is_torch_bf16_gpu_available", lambda: False)
        assert brief(findings("grpo", checks=["bf16"], bf16=None, use_cpu=False)) == [("error", "bf16: false")]
        assert findings("grpo", checks=["bf16"], use_cpu=False) == []
        monkeypatch.setattr("transformers.utils.is_torch_bf16_gpu_available", lambda: True)
        assert findings("grpo", checks=["bf16"], bf16=True, use_cpu=False) == []

    def test_bf16_on_a_cpu(self, findings, monkeypatch):
        monkeypatch.setattr("trl_rlsp.doctor._checks.cpu_has_bf16", lambda: False)
        assert brief(findings("grpo", checks=["bf16"], bf16=True)) == [("warning", "bf16: false")]
        assert brief(findings("grpo", checks=["bf16"], dtype="bfloat16")) == [("warning", "dtype: float32")]
        monkeypatch.setattr("trl_rlsp.doctor._checks.cpu_has_bf16", lambda: True)
        assert findings("grpo", checks=["bf16"], bf16=True) == []

    def test_of_another_machine_nothing_is_said(self, findings):
        found = findings("grpo", checks=["bf16"], bf16=True, use_cpu=False, elsewhere=True)
        assert [finding.severity for finding in found] == ["not checked"]


class TestVllm:
    @pytest.mark.parametrize(
        ("settings", "severity", "part"),
        [
            ({"vllm_mode": "server", "vllm_adapter": False, **LORA}, "error", "server mode with a 4-bit base"),
            ({"vllm_mode": "colocate", "vllm_adapter": False, **LORA}, "error", "colocate mode with a 4-bit base"),
            ({"use_dora": True, **LORA}, "error", "colocate mode with a 4-bit base"),
            ({"lora_modules_to_save": ["lm_head"], **LORA}, "error", "colocate mode with a 4-bit base"),
            ({"load_in_8bit": True, "use_peft": True}, "error", "8-bit base"),
        ],
    )
    def test_known_to_be_broken(self, findings, settings, severity, part):
        safe = {"vllm_importance_sampling_mode": "token_truncate", **settings}
        (found,) = findings("grpo", checks=["vllm"], elsewhere=True, use_vllm=True, **safe)
        assert found.severity == severity
        assert part in found.what
        assert found.change == "use_vllm: false"

    def test_lora_on_bf16_is_fine(self, findings):
        checks = ["vllm"]
        (found,) = findings("grpo", checks=checks, elsewhere=True, use_vllm=True, use_peft=True)
        assert (found.check, found.change) == ("vllm", "vllm_importance_sampling_mode: token_truncate")
        assert findings("grpo", checks=["vllm"], **LORA) == []

    @pytest.mark.parametrize("mode", ["colocate", "server"])
    def test_an_adapter_that_is_sent_alone_leaves_a_quantized_base_as_it_is(self, findings, mode):
        settings = {"use_vllm": True, "vllm_mode": mode, "vllm_importance_sampling_mode": "token_truncate", **LORA}
        assert findings("grpo", checks=["vllm"], elsewhere=True, **settings) == []

    def test_four_bits_are_in_a_plugin(self, findings, monkeypatch):
        installed = {"vllm"}
        monkeypatch.setattr("importlib.util.find_spec", lambda name: name in installed or None)
        settings = {"use_vllm": True, "vllm_importance_sampling_mode": "token_truncate", **LORA}
        (found,) = findings("grpo", checks=["vllm"], **settings)
        assert (found.severity, found.what) == ("error", "vLLM has no 4-bit weights here")
        assert "pip install vllm-bnb-plugin" in found.why
        installed.add("vllm_bnb_plugin")
        assert findings("grpo", checks=["vllm"], **settings) == []

    def test_not_installed(self, findings):
        pytest.importorskip("trl")
        from importlib.util import find_spec

        if find_spec("vllm"):
            pytest.skip("vLLM is installed")
        assert brief(findings("grpo", checks=["vllm"], use_vllm=True))[0] == ("error", "use_vllm: false")


class TestRanks:
    def test_dropout_of_a_new_adapter(self, findings):
        (found,) = findings("grpo", checks=["dropout"], use_peft=True)
        assert (found.severity, found.change) == ("warning", "lora_dropout: 0.0")
        assert findings("grpo", checks=["dropout"], use_peft=True, lora_dropout=0.0) == []
        assert findings("grpo", checks=["dropout"]) == []

    def test_parameters_that_are_looked_for_in_vain(self, findings):
        changes = {"use_peft": True, "lora_target_modules": "q_proj"}
        (found,) = findings("grpo", checks=["ranks"], processes=2, **changes)
        assert found.change == "ddp_find_unused_parameters: false"
        assert findings("grpo", checks=["ranks"], processes=2, ddp_find_unused_parameters=False, **changes) == []
        assert findings("grpo", checks=["ranks"], processes=2) == []

    def test_one_process_on_several_gpus(self, findings, monkeypatch):
        monkeypatch.setattr("torch.cuda.device_count", lambda: 8)
        (found,) = findings("grpo", checks=["ranks"], use_cpu=False)
        assert found.what == "one process and 8 visible GPUs"
        assert findings("grpo", checks=["ranks"]) == []

    @pytest.mark.parametrize(
        ("environment", "name"),
        [
            ({"ACCELERATE_USE_FSDP": "true"}, "FSDP"),
            ({"ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_ZERO_STAGE": "3"}, "ZeRO-3"),
        ],
    )
    def test_packed_weights_cannot_be_sharded(self, findings, monkeypatch, environment, name):
        for key, value in environment.items():
            monkeypatch.setenv(key, value)
        (found,) = findings("sft", checks=["four_bit"], **LORA, use_cpu=True)
        assert (found.severity, found.change) == ("error", "load_in_4bit: false")
        assert f"{name} shards weights" in found.what


class TestExploration:
    def test_group_scaling_is_an_error(self, findings):
        (found,) = findings("grpo", gate="none", scale_rewards="group")
        assert (found.check, found.severity, found.change) == ("exploration", "error", "scale_rewards: none")

    @pytest.mark.parametrize(
        ("changes", "line"),
        [
            ({"length_form": "paper", "gate": "none"}, "length_form: bounded"),
            ({"alpha": 0.4, "gate": "none"}, "alpha: 0.8"),
            ({"reward_weights": [1.0, 0.5]}, "leave out reward_weights, and set alpha"),
        ],
    )
    def test_warnings_of_the_balance(self, findings, changes, line, caplog):
        found = findings("grpo", checks=["exploration"], **changes)
        assert brief(found) == [("warning", line)]
        assert caplog.records == []  # said once, as a finding

    def test_unbounded_names_its_form(self, findings):
        (found,) = findings("grpo", checks=["exploration"], length_form="paper", gate="none")
        assert "is unbounded" in found.what

    def test_no_exploration(self, findings):
        assert findings("grpo", checks=["exploration", "judge"], exploration="none") == []


class TestJudge:
    def test_nobody_answers(self, findings, monkeypatch, tmp_path):
        pytest.importorskip("openai")
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        judge = {
            "exploration": "judge",
            "judge_model": "m",
            "judge_base_url": "http://127.0.0.1:9/v1",
            "judge_cache": str(tmp_path / "grades.sqlite3"),
        }
        found = findings("grpo", checks=["judge"], elsewhere=True, **judge)
        assert [finding.severity for finding in found] == ["not checked"]
        (found,) = findings("grpo", checks=["judge"], **judge)
        assert (found.severity, found.change) == ("error", "judge_base_url: http://HOST:PORT/v1")
        assert "the judge 'm'" in found.what


class TestDisk:
    def test_checkpoints_that_do_not_fit(self, findings, monkeypatch):
        # 10 steps, one checkpoint each 5: 2. Model: 2 layers of width 32.
        usage = _checks.shutil.disk_usage("/")
        monkeypatch.setattr(_checks.shutil, "disk_usage", lambda folder: usage._replace(free=300_000))
        (found,) = findings("sft", checks=["disk"])
        assert found.severity == "error"
        assert found.what.startswith("2 checkpoints of ")
        assert found.change == "save_total_limit: 1"
        monkeypatch.setattr(_checks.shutil, "disk_usage", lambda folder: usage._replace(free=3_000_000))
        assert findings("sft", checks=["disk"]) == []

    def test_the_estimate_is_what_is_written(self, write_stage, tmp_path, model_folder):
        from trl_rlsp.cli import main

        path = write_stage("sft", max_steps=1, save_steps=1, gradient_checkpointing=False)
        assert main(["sft", "--config", path]) == 0
        folder = tmp_path / "out" / "checkpoint-1"
        written = sum((folder / name).stat().st_size for name in ("model.safetensors", "optimizer.pt"))
        stage = read_stage("sft", ["--config", path])
        # headers of the two files beside the numbers
        assert checkpoint_bytes(Architecture.of(stage.config), Settings.of(stage)) == pytest.approx(written, rel=0.05)

    @pytest.mark.parametrize(("beta", "copies"), [(0.0, 3), (0.05, 4)])
    def test_a_continued_adapter_is_saved_with_its_reference(self, write_stage, beta, copies):
        """Weights and two moments, and with a KL the adapter as it was."""
        stage = read_stage("grpo", ["--config", write_stage("grpo", beta=beta)])
        stage.is_adapter, stage.adapter_config = True, LoraConfig(r=4, target_modules="all-linear")
        tensors = trained_tensors(Architecture.of(stage.config), Settings.of(stage))
        planned = checkpoint_bytes(Architecture.of(stage.config), Settings.of(stage))
        assert planned == copies * 4 * sum(tensors) + 4 * len(tensors)  # and a step of each

    @pytest.mark.parametrize(("beta", "reset_steps", "copies"), [(0.1, 2, 4), (0.1, None, 3), (0.0, 2, 3)])
    @pytest.mark.parametrize("adapter", [False, True], ids=["all", "lora"])
    def test_a_reference_that_is_reset_is_saved_and_planned(self, write_stage, beta, reset_steps, copies, adapter):
        """A new adapter's is a frozen adapter, not the base."""
        given = {"use_peft": adapter, "lora_target_modules": ["q_proj"], "beta": beta, "reset_steps": reset_steps}
        stage = read_stage("grpo", ["--config", write_stage("grpo", **given)])
        architecture, settings = Architecture.of(stage.config), Settings.of(stage)
        tensors = trained_tensors(architecture, settings)
        assert checkpoint_bytes(architecture, settings) == copies * 4 * sum(tensors) + 4 * len(tensors)
        kept = copies == 4 or (beta and not adapter)  # without a reset, a model of its own is kept, and not saved
        assert layout(architecture, settings, 1, "ddp").reference == (4 * sum(tensors) if kept else 0)

    @pytest.mark.parametrize(
        ("settings", "count"),
        [
            ({"save_total_limit": 1}, 2),  # the new one is written before the old one goes
            ({"save_strategy": "no"}, 0),
            ({"max_steps": 12}, 3),  # after 5 and 10 steps and at the end
            ({"save_strategy": "epoch", "num_train_epochs": 3, "max_steps": -1}, 3),
        ],
    )
    def test_how_many_stand_at_once(self, write_stage, settings, count):
        assert _checks.kept_checkpoints(read_stage("sft", ["--config", write_stage("sft", **settings)])) == count


class TestSettings:
    def test_what_the_command_refuses(self, findings):
        (found,) = findings("grpo", checks=["settings"], alpha=7)
        assert "above 0 and at most 1, got 7" in found.why

    def test_rewards_are_judged_elsewhere_too(self, findings):
        found = findings("grpo", elsewhere=True, alpha=7)
        assert [finding.severity for finding in found if finding.check == "settings"] == ["error"]

    def test_wrong_rewards_hide_no_other_finding(self, findings):
        found = findings("grpo", alpha=7, num_generations=3)
        assert ("groups", "error") in [(finding.check, finding.severity) for finding in found]


def test_the_gravest_come_first(findings):
    found = findings("grpo", elsewhere=True, use_cpu=False, bf16=True, num_generations=3, **LORA)
    order = [finding.severity for finding in found]
    assert order == sorted(order, key=["error", "warning", "not checked"].index)
    assert len(set(order)) == 3
