"""Hours against arithmetic by hand, `rlsp plan`'s lines about them, and what it says of 32B on one card."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from trl_rlsp.cli import main
from trl_rlsp.commands import Eval
from trl_rlsp.commands._plan import share_line
from trl_rlsp.pipeline import parse_run, plan
from trl_rlsp.planning import GIB, Architecture, Card, Settings, Work, hours, layout, steps_of
from trl_rlsp.planning._hours import (
    ADAPTED,
    BLOCK,
    GRAPH,
    UNPACKED,
    Shares,
    forward_flops,
    operations,
    passes,
    read_bytes,
    rollout_seconds,
    sequences_at_once,
    update_seconds,
)
from trl_rlsp.stages import load_config, read_stage

RECIPES = Path(__file__).parents[2] / "recipes"
FULL = Shares(flops=1, bandwidth=1, launch=0)
SLOW = Card("slow", memory=80, flops=1e15, bandwidth=1e9)  # reads 1 GB and computes 1 PFLOP in a second
STAGE = Settings(checkpointing=False, rollouts=8, micro_batch=2, accumulation=4, prompt=50, completion=100)
WORK = Work(steps=2, prompt=50, completion=100)
PRODUCTS = 8_030_261_248 - 128_256 * 4096 - 65 * 4096  # weights less the embedding and 65 norms
LINEARS = 6_979_321_856  # 32 x (4096 x (2 x 4096 + 2 x 1024) + 3 x 4096 x 14336)
KV = 131_072  # bytes of a token's keys and values


@pytest.fixture(scope="module")
def llama():
    return Architecture.of(load_config("Llama-3.1-8B"))


class TestRollouts:
    def test_each_position_reads_the_weights_and_each_token_its_context(self, llama):
        found = rollout_seconds(llama, STAGE, WORK, SLOW, FULL)
        # 100 positions; 8 x 100 tokens with 50 + 50 tokens before them on average; 8 prompts of 50 tokens
        read = 100 * 2 * 8_030_261_248 + 8 * 100 * 100 * KV
        assert found == pytest.approx(read / 1e9 + 8 * 50 * forward_flops(llama, 25) / 1e15)

    def test_the_longest_sets_the_number_of_positions(self, llama):
        # a mean of 10 tokens: still 100 positions, a tenth of the tokens, with 55 tokens before them
        found = rollout_seconds(llama, STAGE, replace(WORK, completion=10), SLOW, FULL)
        read = 100 * 2 * 8_030_261_248 + 8 * 10 * 55 * KV
        assert found == pytest.approx(read / 1e9, rel=1e-3)

    def test_many_sequences_are_bound_by_arithmetic(self, llama):
        fast = replace(SLOW, bandwidth=1e18)
        few, many = (rollout_seconds(llama, replace(STAGE, rollouts=n), WORK, fast, FULL) for n in (100, 200))
        assert many == pytest.approx(2 * few)

    def test_four_bits_are_unpacked_for_more_than_four_sequences(self, llama):
        four = replace(STAGE, bits=4, rank=8, targets=("q_proj",))
        # 9/16 of a byte each, the rest in two; LoRA of 32 layers x 8 x (4096 + 4096) in four
        packed = LINEARS * 9 / 16 + 1_050_939_392 * 2 + 32 * 8 * 8192 * 4
        assert read_bytes(llama, four, 4) == pytest.approx(packed, rel=1e-4)
        assert read_bytes(llama, four, 5) - read_bytes(llama, four, 4) == LINEARS * 4

    def test_launches(self, llama):
        """Without vLLM the card waits for them; vLLM adds its replayed graphs to the reading."""
        slow = Shares(flops=1, bandwidth=1, launch=1.0)
        prompts = 8 * 50 * forward_flops(llama, 25) / 1e15
        assert rollout_seconds(llama, STAGE, WORK, SLOW, slow) == pytest.approx(100 * 32 * BLOCK + prompts)
        served = replace(STAGE, vllm="server")
        added = rollout_seconds(llama, served, WORK, SLOW, slow) - rollout_seconds(llama, served, WORK, SLOW, FULL)
        assert added == pytest.approx(100 * 32 * BLOCK * GRAPH)

    def test_operations_of_an_adapted_4_bit_model(self, llama):
        qlora = replace(STAGE, bits=4, rank=8, targets="all-linear")
        assert operations(llama, qlora) == 32 * (BLOCK + 7 * (ADAPTED + UNPACKED))

    def test_vllm_takes_sequences_in_turns_if_its_share_is_small(self, llama):
        settings = replace(STAGE, vllm="colocate", rollouts=64, prompt=0, completion=1000, vllm_context=1000)
        fixed = layout(llama, settings, 1, "ddp").vllm_fixed
        share = (fixed + 16 * 500 * KV) / (80 * GIB)  # weights, and 16 sequences of the mean length
        few = replace(settings, vllm_share=share)
        work = Work(steps=1, prompt=0, completion=500)
        assert sequences_at_once(llama, few, work, SLOW) == pytest.approx(16)
        # 64 x 500 tokens, 16 at once: 2,000 positions instead of 1,000
        read = 2000 * 2 * 8_030_261_248 + 64 * 500 * 250 * KV
        assert rollout_seconds(llama, few, work, SLOW, FULL) == pytest.approx(read / 1e9, rel=1e-3)


class TestUpdates:
    def test_a_forward_pass(self, llama):
        # 32 layers, width 4,096, 1,000 tokens before it
        assert forward_flops(llama, 1000) == 2 * PRODUCTS + 4 * 32 * 4096 * 1000

    def test_passes(self):
        assert passes(STAGE) == 3
        lora = replace(STAGE, rank=8)
        assert passes(lora) == 2
        assert passes(replace(lora, checkpointing=True, kl=True, rescored=True)) == 5
        # reference and old log-probabilities are computed once for two updates on the same generation
        assert passes(replace(lora, kl=True, rescored=True, updates=2)) == 3

    def test_seconds(self, llama):
        # 2 x 4 sequences of 150 tokens
        assert update_seconds(llama, STAGE, WORK, SLOW, FULL) == pytest.approx(
            8 * 150 * 3 * forward_flops(llama, 75) / 1e15
        )
        padded = replace(STAGE, trimmed=False, completion=400)
        assert update_seconds(llama, padded, WORK, SLOW, FULL) == pytest.approx(
            8 * 450 * 3 * forward_flops(llama, 225) / 1e15
        )

    def test_every_micro_batch_unpacks_in_every_pass(self, llama):
        four = replace(STAGE, bits=4, rank=8, targets="all-linear")
        fast = replace(SLOW, flops=1e30)
        read = read_bytes(llama, four, 1e9) / 1e9
        assert update_seconds(llama, four, WORK, fast, FULL) == pytest.approx(4 * 2 * read)


class TestStage:
    def test_generations_and_steps(self, llama):
        # a step has 2 x 4 sequences and a generation 16 with two passes: one generation for four steps
        stage = replace(STAGE, rollouts=16, updates=2)
        found = hours(llama, stage, replace(WORK, steps=8), SLOW, rollout_rates=(100,), update_rates=(1200,))
        assert found.rollouts == pytest.approx([2 * 16 * 100 / 100 / 3600] * 3)
        assert found.updates == pytest.approx([8 * 8 * 150 / 1200 / 3600] * 3)
        assert found.total.expected == pytest.approx((32 + 8) / 3600)
        assert found.measured

    def test_several_measurements_are_bounds(self, llama):
        found = hours(llama, STAGE, WORK, SLOW, rollout_rates=(50, 200), update_rates=(1200,))
        # 2 x 800 tokens at 200, 125 and 50 a second
        assert found.rollouts == pytest.approx([1600 / rate / 3600 for rate in (200, 125, 50)])
        assert not hours(llama, STAGE, WORK, SLOW, rollout_rates=(50,)).measured

    def test_bounds_of_assumed_shares(self, llama):
        found = hours(llama, STAGE, WORK, SLOW)
        for span in (found.rollouts, found.updates, found.total):
            assert span.low < span.expected < span.high
        assert not found.measured

    def test_sft_has_no_rollouts(self, llama):
        found = hours(llama, replace(STAGE, kind="sft", rollouts=0, prompt=0), Work(2, 0, 100), SLOW, update_rates=(1,))
        assert (found.rollouts.expected, found.measured) == (0, True)

    def test_steps_follow_from_rows(self):
        stage = read_stage("sft", ["--config", str(RECIPES / "llama-3.1-8b-math" / "sft.yaml")], processes=1)
        assert steps_of(stage, 8) is None
        assert steps_of(stage, 8, 88_000) == 88_000 * 5 / 64
        limited = read_stage("sft", ["--config", str(RECIPES / "qwen2.5-1.5b-math" / "sft.yaml")], processes=1)
        assert steps_of(limited, 1) == 8000 / 32
        rl = ["--config", str(RECIPES / "qwen2.5-32b-aime" / "grpo.yaml")]
        assert steps_of(read_stage("grpo", rl, processes=1), 8, 918) == 200
        epochs = read_stage("grpo", [*rl, "--max_steps", "-1", "--num_train_epochs", "2"], processes=1)
        assert steps_of(epochs, 8, 960) == 960 * 2 * 8 / 128  # groups of 8, 128 sequences a step


def planned(capsys, *arguments):
    """What `rlsp plan --json` prints."""
    assert main(["plan", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


class TestCommand:
    def test_lines(self, capsys, monkeypatch):
        monkeypatch.setenv("COLUMNS", "400")
        file = RECIPES / "qwen2.5-32b-aime" / "grpo.yaml"
        assert main(["plan", "--config", str(file), "--gpus", "8", "--mean", "150", "1500"]) == 0
        shown = capsys.readouterr().out
        assert "8 GPUs: 200 steps in 11 [7.8 to 15] hours (rollouts 9.1 [6.7 to 12], updates 1.5 [1.1 to 2.3])" in shown
        assert "from peak rates of an H100 SXM, an assumption; not measured" in shown

    def test_measured_rates(self, capsys, monkeypatch):
        monkeypatch.setenv("COLUMNS", "400")
        rates = ["--rollout_rate", "1000", "--update_rate", "2000", "--mean", "500", "1500"]
        file = str(RECIPES / "qwen2.5-32b-aime" / "grpo.yaml")
        assert main(["plan", "--config", file, "--gpus", "8", *rates]) == 0
        # 100 generations of 32 x 1,500 tokens; 200 steps of 16 x 2,000 tokens
        assert "200 steps in 2.2 hours (rollouts 1.3, updates 0.89), from the rates given" in capsys.readouterr().out

    def test_a_recipe_has_hours_of_each_stage_and_their_sum(self, capsys, monkeypatch):
        monkeypatch.setenv("COLUMNS", "400")
        arguments = ["plan", "--recipe", "llama-3.1-8b-math", "--gpus", "8", "--mean", "150", "2000"]
        assert main(arguments) == 0
        shown = capsys.readouterr().out
        assert "8 GPUs: hours depend on the data, give --rows" in shown
        assert "evaluation not included, without the stages whose --rows are unknown" in shown
        assert main([*arguments, "--rows", "88000", "--grpo.max_steps", "400", "--json"]) == 0
        sft, rl = json.loads(capsys.readouterr().out)["stages"]
        assert (sft["kind"], rl["kind"]) == ("sft", "grpo")
        assert (sft["hours"][0]["steps"], rl["hours"][0]["steps"]) == (6875, 400)
        assert main([*arguments, "--rows", "88000"]) == 0
        assert "all stages on 8 GPUs: 8.8 [6.3 to 13] hours" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--card", "h2000"], "rtx4090, a100, h100, h200, got 'h2000' (did you mean 'h200'?); for another card"),
            (["--gpu", "1"], "unknown argument '--gpu' (did you mean 'gpus'?); `rlsp plan --help` lists every field"),
            (["--max_step", "9"], "unknown argument '--max_step' (did you mean 'sft.max_steps'?)"),
            (["--mean", "150"], "--mean takes two numbers"),
            (["--update_rate", "0"], "they and rates are above 0"),
        ],
    )
    def test_refused(self, capsys, arguments, message):
        assert main(["plan", "--recipe", "quickstart", *arguments]) == 2
        assert message in capsys.readouterr().err


class TestEvaluation:
    """AIME at 512 + 8,192 tokens of 64 layers x 8 heads x 128 numbers, keys and values, in two bytes: 2.13 GiB each."""

    def test_a_batch_that_does_not_fit(self, capsys, monkeypatch):
        monkeypatch.setenv("COLUMNS", "400")
        arguments = ["plan", "--recipe", "qwen2.5-32b-aime", "--gpus", "1", "--card", "h200"]
        assert main(arguments) == 0
        shown = capsys.readouterr().out
        assert "eval:" not in shown  # by vLLM
        kept = "to keep that: --grpo.gradient_accumulation_steps 128 --grpo.steps_per_generation 256"
        assert f"the recipe's 8 processes, 128 sequences per step, 256 completions per generation ({kept})" in shown
        assert main([*arguments, "--eval.engine", "transformers"]) == 0
        found = "needs weights of 61.0 GiB and a cache of 510.3 GiB, and does not fit 140 GiB: batch_size: 30 does"
        assert found in capsys.readouterr().out
        small = ["--eval.engine", "transformers", "--eval.batch_size", "30", "--json"]
        assert main([*arguments, *small]) == 0
        assert json.loads(capsys.readouterr().out)["evaluation"]["fits"]

    def test_those_of_the_recipes_fit_where_their_headers_say(self):
        found = {}
        for path in RECIPES.glob("*/eval.yaml"):
            step = plan(parse_run([str(path.parent)]))[0]
            card, given = re.search(r"Hardware: 1 x (\d+) GB", path.read_text()), Eval.parse(step.words()[1:])
            if given.engine == "transformers":
                config, memory = load_config(step.model), float(card[1] if card else 8)
                found[path.parent.name] = given.memory_line(config, 512, given.max_new_tokens, memory)
        assert len(found) == 3
        assert all(fits for fits, _ in found.values()), found


class TestShareOfVLLM:
    """8.03 billion weights in two bytes, 64 sequences of 512 + 4,096 tokens of 131,072 bytes: 36 GiB of cache."""

    def test_line(self, capsys, monkeypatch):
        monkeypatch.setenv("COLUMNS", "400")
        file = str(RECIPES / "llama-3.1-8b-pure-rl" / "grpo.yaml")
        fixed = layout(*self.stage(file), 1, "ddp").vllm_fixed / GIB
        whole, start = ((fixed + tokens * KV / GIB) / 80 for tokens in (64 * 4608, 6144))
        assert main(["plan", "--config", file, "--gpus", "1"]) == 0
        shown = capsys.readouterr().out
        assert "vllm_gpu_memory_utilization 0.35, 28.0 GiB, starts with, but does not hold weights" in shown
        least = f"from {whole + 0.005:.2f} it holds them at full length; from {start + 0.005:.2f} vLLM starts"
        assert least in shown

    @pytest.mark.parametrize(
        ("share", "verdict"), [(0.9, "holds"), (0.35, "starts with, but"), (0.19, "is too small for")]
    )
    def test_verdict(self, llama, share, verdict):
        settings = replace(STAGE, vllm="colocate", vllm_share=share, rollouts=64, completion=4096)
        assert f" GiB, {verdict} " in share_line(layout(llama, settings, 1, "ddp"), settings, 80)

    @staticmethod
    def stage(file):
        stage = read_stage("grpo", ["--config", file], processes=1)
        return Architecture.of(stage.config), Settings.of(stage)

    def test_the_smallest_share_holds_and_a_hundredth_less_does_not(self, llama):
        found = layout(llama, replace(STAGE, vllm="colocate", rollouts=64, completion=4096), 1, "ddp")
        least = found.smallest_share(80)
        assert (least - 0.01) * 80 * GIB < found.vllm_holds <= least * 80 * GIB
        assert found.vllm_needs < found.vllm_holds

    def test_a_context_that_is_not_set_is_the_models(self, capsys, tmp_path):
        """vLLM must hold one sequence of the whole context, 17 GB for 131,072 tokens, or it does not start."""
        file = str(RECIPES / "llama-3.1-8b-pure-rl" / "grpo.yaml")
        architecture, set_ = self.stage(file)
        text = (RECIPES / "llama-3.1-8b-pure-rl" / "grpo.yaml").read_text().replace("vllm_max_model_length: 6144\n", "")
        (tmp_path / "grpo.yaml").write_text(text)
        plan = planned(capsys, "--config", tmp_path / "grpo.yaml", "--gpus", 1)
        needs = plan["layouts"][0]["vllm_needs"]
        assert needs - layout(architecture, set_, 1, "ddp").vllm_needs == (131072 - 6144) * KV
        assert not plan["layouts"][0]["fits"]
        assert ["vllm_max_model_length: 4608"] in [remedy["lines"] for remedy in plan["remedies"]]


class TestThirtyTwoBillionOnOneCard:
    """200 updates of 64 completions with a mean of 1,500 tokens, at most 4,096, on one H200."""

    @pytest.fixture
    def on_one_h200(self, capsys):
        def plan(name, *, generation):
            sizes = ("--gradient_accumulation_steps", 64, "--steps_per_generation", generation)
            file = RECIPES / "qwen2.5-32b-aime" / f"{name}.yaml"
            found = planned(capsys, "--config", file, "--gpus", 1, "--card", "h200", "--mean", 150, 1500, *sizes)
            (time,), (row,) = found["hours"], found["layouts"]
            assert (time["steps"], found["settings"]["micro_batch"] * found["settings"]["accumulation"]) == (200, 64)
            return time["total"], row["fits"]

        return plan

    def test_with_vllm_at_most_12_hours_if_a_generation_serves_four_updates(self, on_one_h200):
        total, fits = on_one_h200("grpo", generation=256)
        assert fits
        assert total["expected"] <= 12 < total["high"]

    def test_a_generation_for_each_update_takes_longer(self, on_one_h200):
        total, fits = on_one_h200("grpo", generation=64)
        assert fits
        assert total["low"] > 12

    def test_without_vllm_it_takes_longer(self, on_one_h200):
        total, fits = on_one_h200("grpo_without_vllm", generation=64)
        assert fits
        assert total["low"] > 12
