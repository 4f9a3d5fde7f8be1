"""The model and tokenizer of the quickstart."""

from __future__ import annotations

import pytest
import torch

from trl_rlsp.countdown.tiny import LARGEST_NUMBER, SPECIAL_TOKENS, WORDS, build_model, build_tokenizer

MESSAGES = [
    {"role": "user", "content": "8 1 9 : 72"},
    {"role": "assistant", "content": "8 * 9 = 72 \\boxed{ 8 * 9 }"},
]


class TestTokenizer:
    def test_one_token_for_each_word(self, tokenizer):
        # 6 special tokens, 14 words, 0 to 144
        assert len(tokenizer) == len(SPECIAL_TOKENS) + len(WORDS) + LARGEST_NUMBER + 1 == 6 + 14 + 145
        text = "( 8 - 1 ) * 9 = 63 ? 72 no | yes \\boxed{ 144 }"
        ids = tokenizer(text)["input_ids"]
        assert len(ids) == len(text.split())
        assert tokenizer.unk_token_id not in ids
        assert tokenizer.decode(ids) == text

    def test_unknown_words(self, tokenizer):
        assert tokenizer("145 word")["input_ids"] == [tokenizer.unk_token_id] * 2

    def test_chat(self, tokenizer):
        text = tokenizer.apply_chat_template(MESSAGES, tokenize=False)
        assert text == "<user> 8 1 9 : 72 <assistant> 8 * 9 = 72 \\boxed{ 8 * 9 } <eos>"

    def test_generation_prompt_is_a_prefix_of_the_chat(self, tokenizer):
        prompt = tokenizer.apply_chat_template(MESSAGES[:1], add_generation_prompt=True)["input_ids"]
        whole = tokenizer.apply_chat_template(MESSAGES)["input_ids"]
        assert whole[: len(prompt)] == prompt

    def test_only_the_assistants_turn_is_marked(self, tokenizer):
        encoded = tokenizer.apply_chat_template(MESSAGES, return_dict=True, return_assistant_tokens_mask=True)
        marked = [i for i, m in zip(encoded["input_ids"], encoded["assistant_masks"], strict=True) if m]
        assert tokenizer.decode(marked) == "8 * 9 = 72 \\boxed{ 8 * 9 } <eos>"

    def test_survives_saving(self, tokenizer, tmp_path):
        from transformers import AutoTokenizer

        tokenizer.save_pretrained(tmp_path)
        loaded = AutoTokenizer.from_pretrained(tmp_path)
        assert loaded.apply_chat_template(MESSAGES, tokenize=False) == tokenizer.apply_chat_template(
            MESSAGES, tokenize=False
        )
        assert (loaded.pad_token_id, loaded.eos_token_id) == (tokenizer.pad_token_id, tokenizer.eos_token_id)


class TestModel:
    def test_under_a_million_parameters_by_default(self):
        model = build_model()
        # embeddings 165 * 128 = 21,120, tied; a layer: 4 * 128^2 attention + 3 * 128 * 384 MLP + 2 * 128 norms
        # = 65,536 + 147,456 + 256 = 213,248; 3 layers and the last norm 128: 660,992
        assert sum(p.numel() for p in model.parameters()) == 660_992
        assert model.dtype == torch.float32

    def test_seed_decides_the_weights_and_leaves_torch_alone(self):
        torch.manual_seed(7)
        before = torch.random.get_rng_state()
        first, second, other = (build_model(seed=seed, hidden_size=32, layers=1) for seed in (0, 0, 1))
        assert torch.equal(torch.random.get_rng_state(), before)
        weights = [model.model.embed_tokens.weight for model in (first, second, other)]
        assert torch.equal(weights[0], weights[1])
        assert not torch.equal(weights[0], weights[2])

    @pytest.mark.parametrize(("hidden_size", "layers", "context"), [(32, 2, 64), (64, 1, 256)])
    def test_sizes(self, hidden_size, layers, context):
        config = build_model(hidden_size=hidden_size, layers=layers, context=context).config
        assert (config.hidden_size, config.num_hidden_layers, config.max_position_embeddings) == (
            hidden_size,
            layers,
            context,
        )
        assert config.num_attention_heads == hidden_size // 32

    def test_special_tokens_agree(self):
        tokenizer, config = build_tokenizer(), build_model(hidden_size=32, layers=1).config
        assert (config.pad_token_id, config.eos_token_id) == (tokenizer.pad_token_id, tokenizer.eos_token_id)
