"""The suite in a training step of a vision-language model: prompts with an image each."""

from __future__ import annotations

import numpy as np
import pytest
import transformers
from datasets import Dataset
from PIL import Image
from tiny_grpo import ON_CPU, SMALL
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    CLIPVisionConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

from trl_rlsp import LengthExploration, OutcomeVerifier, RLSPGRPOConfig, RLSPGRPOTrainer, RLSPRewards

# the one that needs no torchvision, by its name in transformers 5.23 and in older ones
CLIPImageProcessor = getattr(transformers, "CLIPImageProcessorPil", transformers.CLIPImageProcessor)
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
IMAGE = "<image>"
TEMPLATE = """{% for message in messages %}<|im_start|>{{ message['role'] }}
{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}\
{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}\
{% endfor %}{% endif %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
ANSWERS = ["Two squares: \\boxed{2}<|im_end|>", "\\boxed{3}<|im_end|>"]


def processor():
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    bytewise = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate([*SPECIAL, *letters])}, merges=[]))
    bytewise.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytewise.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=bytewise, eos_token=SPECIAL[2], pad_token=SPECIAL[0], padding_side="left"
    )
    fast.add_special_tokens({"additional_special_tokens": [SPECIAL[1], IMAGE]})
    sizes = {"size": {"shortest_edge": 8}, "crop_size": {"height": 8, "width": 8}}
    settings = {"patch_size": 4, "num_additional_image_tokens": 1, "vision_feature_select_strategy": "full"}
    return LlavaProcessor(CLIPImageProcessor(**sizes), fast, chat_template=TEMPLATE, **settings)


def model(tokenizer):
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = Qwen2Config(vocab_size=len(tokenizer), num_key_value_heads=2, **sizes)
    vision = CLIPVisionConfig(image_size=8, patch_size=4, **sizes)
    image = tokenizer.convert_tokens_to_ids(IMAGE)
    strategy = {"vision_feature_select_strategy": "full", "vision_feature_layer": -1}
    return LlavaForConditionalGeneration(
        LlavaConfig(vision_config=vision, text_config=text, image_token_index=image, **strategy)
    )


def test_a_training_step(tmp_path, monkeypatch):
    images = [Image.fromarray(np.full((56, 56, 3), shade, dtype=np.uint8)) for shade in (0, 255)]
    rows = Dataset.from_list(
        [
            {
                "prompt": [{"role": "user", "content": "How many squares?"}],
                "solution": str(2 + place),
                "image": image,
            }
            for place, image in enumerate(images)
        ]
    )
    prepared = processor()
    settings = {**ON_CPU, **SMALL, "max_completion_length": 40, "max_steps": 1, "log_completions": False}
    args = RLSPGRPOConfig(str(tmp_path), **settings)
    suite = RLSPRewards(OutcomeVerifier(), [LengthExploration(C=6)], gate="adaptive")
    trainer = RLSPGRPOTrainer(model(prepared.tokenizer), suite, args, rows, processing_class=prepared)

    def scripted(prompt_ids, *_, **__):
        return [prepared.tokenizer(text)["input_ids"] for text in ANSWERS * (len(prompt_ids) // 2)], None

    monkeypatch.setattr(trainer, "_generate_single_turn", scripted)
    trainer.train()
    suite.close()
    log = trainer.state.log_history[0]
    assert log["rewards/outcome_verifier/mean"] == pytest.approx(1 / 2)  # a group for each image, half of it right
    assert log["exploration/failure_rate"] == pytest.approx(1 / 2)
    assert log["grad_norm"] > 0
