"""Several GPUs, remedies, tokens, and the command."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from trl_rlsp.cli import main
from trl_rlsp.planning import GIB, Architecture, Settings, layout, remedies, tokens_per_step
from trl_rlsp.planning._layouts import changes
from trl_rlsp.stages import load_config

RECIPES = Path(__file__).parents[2] / "recipes"
FULL = Settings(dtype="bfloat16", completion=256, prompt=64, rollouts=4, micro_batch=2)
LORA = replace(FULL, rank=8, targets="all-linear")


@pytest.fixture(scope="module")
def small():
    return Architecture.of(load_config("Qwen/Qwen2.5-0.5B-Instruct"))


class TestLayout:
    def test_one_gpu_holds_everything(self, small):
        alone = layout(small, FULL, 1, "ddp")
        # 494 million weights: 2 bytes, 2 of gradient, 4 of two moments
        assert alone.weights == alone.gradients == 494_032_768 * 2
        assert alone.optimizer == pytest.approx(494_032_768 * 4, rel=1e-4)
        assert alone.peak == max(alone.training, alone.rollout)

    def test_buckets_of_ddp(self, small):
        assert layout(small, FULL, 4, "ddp").gradients == 2 * layout(small, FULL, 1, "ddp").gradients

    def test_zero_keeps_float32_copies(self, small):
        # 4 + 8 bytes a weight over 4 GPUs, gradients in two bytes
        found = layout(small, FULL, 4, "zero2")
        assert found.optimizer == 494_032_768 * 12 // 4
        assert found.gradients == 494_032_768 * 2 // 4
        assert found.weights == 494_032_768 * 2
        assert layout(small, FULL, 4, "zero3").weights == 494_032_768 * 2 // 4

    def test_zero_3_gathers_for_rollouts(self, small):
        assert layout(small, FULL, 4, "zero3").rollout_weights == 494_032_768 * 2
        spread = replace(FULL, gathers=False)
        assert layout(small, spread, 4, "zero3").rollout_weights == 494_032_768 * 2 // 4

    @pytest.mark.parametrize("strategy", ["zero2", "zero3", "fsdp"])
    def test_more_gpus_never_take_more(self, small, strategy):
        peaks = [layout(small, LORA, gpus, strategy).training for gpus in (2, 4, 8)]
        assert peaks == sorted(peaks, reverse=True)

    def test_colocated_vllm_takes_its_share(self, small):
        found = layout(small, replace(LORA, vllm="colocate", vllm_share=0.5), 1, "ddp")
        assert found.cache == 0
        # half of the card is vLLM's, a tenth is left free
        assert found.vllm_needs < found.peak
        assert found.fits(found.peak / GIB / 0.39)
        assert not found.fits(found.peak / GIB / 0.41)

    def test_a_share_that_cannot_hold_vllms_own_weights(self):
        # 8.03 billion weights in two bytes are 15 GiB; 0.35 of 24 GiB are 8.4, of 80 are 28
        llama = Architecture.of(load_config("Llama-3.1-8B"))
        found = layout(llama, replace(LORA, vllm="colocate", vllm_share=0.35), 4, "ddp")
        assert found.vllm_needs > 8_030_261_248 * 2
        assert replace(found, weights=0, rollout_weights=0, activations=0).fits(24) is False
        assert found.fits(80)


class TestRemedies:
    def test_none_if_it_fits(self, small):
        assert remedies(small, LORA, 1, "ddp", 80) == []

    def test_each_that_fits_is_tried(self, small):
        whole = layout(small, FULL, 1, "ddp")
        memory = whole.peak * 0.8 / GIB / 0.9
        found = remedies(small, FULL, 1, "ddp", memory)
        assert ("use_peft: true",) in [remedy.lines for remedy in found]
        assert all(remedy.layout.fits(memory) for remedy in found)

    def test_together_if_no_single_one_does(self, small):
        long = replace(FULL, completion=8192, micro_batch=8, rollouts=64, dtype="float32", checkpointing=False)
        (found,) = remedies(small, long, 1, "ddp", 6)
        assert len(found.lines) > 1
        assert found.layout.fits(6)
        names = [line.split(":")[0] for line in found.lines]
        assert len(names) == len(set(names))

    def test_nothing_helps(self, small):
        (found,) = remedies(small, FULL, 1, "ddp", 0.1)
        assert not found.layout.fits(0.1)

    def test_every_change_saves_memory(self, small):
        start = replace(FULL, dtype="float32", checkpointing=False, completion=2048)
        before = layout(small, start, 1, "ddp")
        for line, changed in changes(start):
            after = layout(small, changed, 1, "ddp")
            assert after.training < before.training or after.rollout < before.rollout, line


def test_tokens():
    # 2 GPUs x 4 x 8 micro-batches = 64 completions of 100 tokens; each generation is used twice
    settings = Settings(micro_batch=4, accumulation=8, rollouts=32, completion=100, prompt=50, updates=2)
    found = tokens_per_step(settings, 2)
    assert found == {"sampled": 3200, "scored": 6400}
    assert tokens_per_step(Settings(kind="sft", rollouts=0, completion=100, prompt=0), 1)["sampled"] == 0


class TestCommand:
    @pytest.fixture
    def stage(self, tmp_path):
        fields = {
            "model_name_or_path": "Qwen/Qwen2.5-7B-Instruct",
            "dataset": "math",
            "dtype": "bfloat16",
            "use_peft": True,
            "load_in_4bit": True,
            "lora_target_modules": ["all-linear"],
            "num_generations": 8,
            "per_device_train_batch_size": 2,
            "gradient_accumulation_steps": 4,
            "max_completion_length": 2048,
            "output_dir": str(tmp_path / "out"),
        }
        path = tmp_path / "grpo.yaml"
        path.write_text(yaml.safe_dump(fields))
        return str(path)

    def test_table(self, stage, capsys, monkeypatch):
        monkeypatch.setenv("COLUMNS", "80")
        assert main(["plan", "--config", stage, "--gpus", "1,2"]) == 0
        shown = capsys.readouterr().out
        assert "7.62 billion parameters, 4-bit base, LoRA of rank 16" in shown
        # 2 x 4 completions of 2,048 tokens
        assert "1 GPU: at most 16,384 tokens sampled, 16,384 trained on per step" in shown
        counts = [shown.count(name) for name in ("GPUs: 1 ", "GPUs: 2 ", "ddp", "zero2", "zero3", "fsdp")]
        assert counts == [1, 1, 2, 1, 0, 0]  # packed weights cannot be sharded
        assert "a checkpoint takes 0.45 GiB" in shown  # 40,370,176 weights, two moments, float32
        assert "…" not in shown  # nothing is cut off in 80 columns
        assert "fits with" not in shown

    def test_what_would_make_it_fit(self, stage, capsys, monkeypatch):
        monkeypatch.setenv("COLUMNS", "200")
        assert (
            main(["plan", "--config", stage, "--gpus", "1", "--memory", "8", "--per_device_train_batch_size", "8"]) == 0
        )
        assert "fits with" in capsys.readouterr().out

    def test_json(self, stage, capsys):
        assert main(["plan", "--config", stage, "--gpus", "1", "--json", "--prompt", "100"]) == 0
        plan = json.loads(capsys.readouterr().out)
        assert plan["settings"]["prompt"] == 100
        assert plan["settings"]["bits"] == 4
        (row,) = plan["layouts"]
        assert row["peak"] == max(row["training"], row["rollout"])
        assert row["tokens_per_step"]["scored"] == 2 * 4 * 2048

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ([], "no stage: give its YAML file with --config FILE, or --recipe NAME"),
            (["--config", str(RECIPES / "qwen2.5-32b-aime" / "eval.yaml")], "is no file of `rlsp sft` or `rlsp grpo`"),
            (
                ["--config", "FILE", "--gpus", "0,2"],
                "--gpus are whole numbers of at least 1, such as 1,2,4,8",
            ),
            (["--config", "FILE", "--memory", "0"], "--memory is above 0 GiB"),
            (["--config", "FILE", "--use_peft", "false"], "quantized weights cannot be trained"),
            (["--config", "FILE", "--optim", "adafactor"], "got optim='adafactor'"),
        ],
    )
    def test_refused(self, stage, capsys, arguments, message):
        assert main(["plan", *[stage if word == "FILE" else word for word in arguments]]) == 2
        assert message in capsys.readouterr().err

    def test_a_recipe_whose_start_is_not_trained_yet(self, capsys, monkeypatch, tmp_path):
        """RL starts from the adapter that SFT will write: rank 64, and its frozen copy."""
        recipe = RECIPES / "llama-3.1-8b-math" / "grpo.yaml"
        monkeypatch.chdir(tmp_path)
        assert main(["plan", "--config", str(recipe), "--gpus", "8", "--json"]) == 0
        plan = json.loads(capsys.readouterr().out)
        assert (plan["settings"]["rank"], plan["settings"]["reference"]) == (64, True)
        assert {row["strategy"]: row["fits"] for row in plan["layouts"]}["ddp"]

    def test_a_model_that_cannot_be_reached(self, stage, capsys):
        assert main(["plan", "--config", stage, "--model_name_or_path", "no/model"]) == 2
        assert "the model's configuration (no/model) cannot be read here" in capsys.readouterr().err
