"""`rlsp merge`: tiny models of the recipes' classes, real adapters."""

from __future__ import annotations

import json

import pytest
import torch
from peft import LoraConfig, PeftModel, PromptTuningConfig, get_peft_model
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, LlamaConfig, Qwen2Config

from trl_rlsp.cli import main
from trl_rlsp.countdown import build_tokenizer
from trl_rlsp.errors import ConfigError, SourceError
from trl_rlsp.trainers import merge_adapter
from trl_rlsp.trainers._adapter import TOLERANCES, largest_difference

SIZES = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
}
KINDS = {"llama": (LlamaConfig, False), "qwen2": (Qwen2Config, True)}


@pytest.fixture(params=sorted(KINDS))
def base(request, tmp_path):
    """A folder with a tiny base in float32, and its tokenizer."""
    config, tied = KINDS[request.param]
    torch.manual_seed(0)
    tokenizer = build_tokenizer()
    model = AutoModelForCausalLM.from_config(config(**SIZES, vocab_size=len(tokenizer), tie_word_embeddings=tied))
    folder = tmp_path / "base"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def trained(base, folder, size=0.2, **settings):
    """An adapter whose B are normal with this deviation, saved to a folder."""
    torch.manual_seed(1)
    config = {"r": 4, "target_modules": ["q_proj", "up_proj"], "task_type": "CAUSAL_LM"} | settings
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), LoraConfig(**config))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".lora_B." in name:
                parameter.normal_(std=size)
    model.save_pretrained(folder)
    return folder


def logits_of(model):
    with torch.no_grad():
        return model.eval()(input_ids=torch.arange(6, 30)[None]).logits[0]


class TestMerge:
    def test_the_merged_model_is_the_adapted_one(self, base, tmp_path):
        adapter = trained(base, tmp_path / "adapter")
        found = merge_adapter(adapter, tmp_path / "merged")
        merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
        adapted = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter)
        assert torch.allclose(logits_of(merged), logits_of(adapted), atol=1e-5)
        assert (found.dtype, found.layers) == ("float32", 4)
        assert found.difference < TOLERANCES["float32"] < found.effect
        assert json.loads((tmp_path / "merged" / "merge.json").read_text())["layers"] == 4
        assert not (tmp_path / "merged" / "adapter_config.json").exists()
        assert (tmp_path / "merged" / "chat_template.jinja").is_file()

    def test_weights_are_w_plus_scaled_b_a(self, base, tmp_path):
        adapter = trained(base, tmp_path / "adapter", lora_alpha=8)
        merge_adapter(adapter, tmp_path / "merged")
        layer = "model.layers.1.self_attn.q_proj.weight"
        adapted = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter).state_dict()
        inside = "base_model.model.model.layers.1.self_attn.q_proj"
        a, b = (adapted[f"{inside}.lora_{part}.default.weight"] for part in "AB")
        # alpha / r = 8 / 4
        expected = adapted[f"{inside}.base_layer.weight"] + 2 * b @ a
        merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged").state_dict()[layer]
        assert torch.allclose(merged, expected, atol=1e-6)

    @pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
    def test_in_half_precision(self, base, tmp_path, dtype):
        found = merge_adapter(trained(base, tmp_path / "adapter"), tmp_path / "merged", dtype=dtype)
        saved = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype="auto")
        assert saved.dtype == getattr(torch, dtype)
        assert 0 < found.difference <= TOLERANCES[dtype]

    def test_an_adapter_of_a_four_bit_base_goes_into_the_unquantized_one(self, base, tmp_path):
        quantized = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4")
        model = AutoModelForCausalLM.from_pretrained(base, quantization_config=quantized, dtype=torch.float32)
        model = get_peft_model(model, LoraConfig(r=4, target_modules=["q_proj"], task_type="CAUSAL_LM"))
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if ".lora_B." in name:
                    parameter.normal_(std=0.5)
        model.save_pretrained(tmp_path / "adapter")
        merge_adapter(tmp_path / "adapter", tmp_path / "merged")
        merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
        plain = AutoModelForCausalLM.from_pretrained(base)
        name = "model.layers.0.mlp.up_proj.weight"  # not adapted: bit for bit the base's
        assert torch.equal(merged.state_dict()[name], plain.state_dict()[name])
        adapted = PeftModel.from_pretrained(plain, tmp_path / "adapter")
        assert torch.allclose(logits_of(merged), logits_of(adapted), atol=1e-5)


class TestRefused:
    def test_a_merge_that_changes_nothing(self, base, tmp_path):
        adapter = trained(base, tmp_path / "adapter", size=0.0)
        with pytest.raises(ConfigError, match="changes no logit: was it trained at all"):
            merge_adapter(adapter, tmp_path / "merged")
        assert not (tmp_path / "merged").exists()

    def test_a_base_that_is_stored_in_four_bits(self, base, tmp_path):
        adapter = trained(base, tmp_path / "adapter")
        quantized = BitsAndBytesConfig(load_in_4bit=True)
        model = AutoModelForCausalLM.from_pretrained(base, quantization_config=quantized)
        model.save_pretrained(tmp_path / "four_bit")
        with pytest.raises(ConfigError, match="is quantized: name the unquantized model with --base"):
            merge_adapter(adapter, tmp_path / "merged", base=str(tmp_path / "four_bit"))

    def test_an_effect_that_rounding_would_lose(self, base, tmp_path):
        adapter = trained(base, tmp_path / "adapter", size=1e-6)
        with pytest.raises(ConfigError, match=r"saving as bfloat16 changes logits by .* nothing was kept"):
            merge_adapter(adapter, tmp_path / "merged", dtype="bfloat16")
        assert not (tmp_path / "merged").exists()
        assert merge_adapter(adapter, tmp_path / "merged").difference < 1e-5

    def test_a_merged_model_that_is_another(self, base, tmp_path, monkeypatch):
        adapter = trained(base, tmp_path / "adapter")
        monkeypatch.setitem(TOLERANCES, "bfloat16", 1e-9)
        with pytest.raises(ConfigError, match="nothing was kept"):
            merge_adapter(adapter, tmp_path / "merged", dtype="bfloat16")
        assert not (tmp_path / "merged").exists()

    def test_another_kind_of_adapter(self, base, tmp_path):
        config = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2)
        get_peft_model(AutoModelForCausalLM.from_pretrained(base), config).save_pretrained(tmp_path / "adapter")
        with pytest.raises(ConfigError, match=r"must be LoRA to be merged, .* is PROMPT_TUNING"):
            merge_adapter(tmp_path / "adapter", tmp_path / "merged")

    def test_a_base_of_another_size(self, base, tmp_path, model_folder):
        adapter = trained(base, tmp_path / "adapter", target_modules=["k_proj"])
        with pytest.raises(ConfigError, match="does not fit the base"):
            merge_adapter(adapter, tmp_path / "merged", base=str(model_folder))

    def test_a_folder_that_is_not_empty(self, base, tmp_path):
        with pytest.raises(ConfigError, match="needs an empty folder"):
            merge_adapter(tmp_path / "adapter", base)

    @pytest.mark.parametrize(
        ("changes", "error", "message"),
        [
            ({"adapter": "nowhere"}, SourceError, "no adapter at 'nowhere'"),
            ({"base": "no/model"}, SourceError, "no base model at 'no/model'"),
            ({"dtype": "int8"}, ConfigError, "dtype is one of float32, float16, bfloat16, got 'int8'"),
        ],
    )
    def test_arguments(self, base, tmp_path, changes, error, message):
        arguments = {"adapter": str(trained(base, tmp_path / "adapter"))} | changes
        with pytest.raises(error, match=message):
            merge_adapter(output_dir=tmp_path / "merged", **arguments)


def test_largest_difference():
    # |1 - 1.5| of 2
    one, two = [torch.tensor([[1.0, 2.0]])], [torch.tensor([[1.5, 2.0]])]
    assert largest_difference(one, two) == 0.25
    assert largest_difference([torch.tensor([[float("nan")]])], [torch.tensor([[1.0]])]) == float("inf")
    assert largest_difference([torch.tensor([[1.0]])], [torch.tensor([[0.0]])]) == float("inf")


def test_command(base, tmp_path, capsys):
    adapter = trained(base, tmp_path / "adapter")
    assert main(["merge", "--adapter", str(adapter), "--output_dir", str(tmp_path / "merged")]) == 0
    shown = capsys.readouterr().out
    assert f"4 layers merged into {base} in float32, saved as float32" in shown
    assert main(["merge", "--adapter", str(adapter), "--output_dir", str(tmp_path / "merged")]) == 2
    assert "needs an empty folder" in capsys.readouterr().err
